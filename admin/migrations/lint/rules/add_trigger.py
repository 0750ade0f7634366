"""A trigger runs within the old version's statements too."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, conditional
from admin.migrations.lint.sqltext import quoted


def _judge(action: Action, _: Scene) -> Verdict:
    name = quoted(action.node.trigname)
    return conditional(
        f"safe if {name} does nothing to the old version's writes to {action.table} that it doesn't bear: it runs within "
        "them, and an error in it is theirs",
        "-- Try the old version's writes with the trigger in place: verify does.",
    )


RULE = Rule("add-trigger", ("CreateTrig",), _judge)
