"""A sequence is set to a number."""

from admin.migrations.lint import defaults
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, conditional


def _judge(action: Action, _: Scene) -> Verdict | None:
    if "setval" not in defaults.functions(action.node):
        return None
    return conditional(
        "safe if the number is above all that were given out, the old version's included: nextval gives the next ones again "
        "else, and INSERTs fail on the key. It is not undone by ROLLBACK",
        "-- SELECT setval('the_sequence', (SELECT max(id) FROM the_table) + 1000);",
    )


RULE = Rule("set-sequence", ("Select",), _judge)
