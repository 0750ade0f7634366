"""A trigger is dropped: what it did for the old version is not done."""

from admin.migrations.lint import remedies
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, conditional
from admin.migrations.lint.sqltext import object_name


def _judge(action: Action, _: Scene) -> Verdict:
    name = object_name(action.node.objects[0]).rpartition(".")[2]
    return conditional(
        f"safe if the old version doesn't count on what {name} does on {action.table}; one that keeps two columns "
        "equal has to stay while either version may write",
        remedies.later(f"DROP TRIGGER {name} ON {action.table};"),
    )


RULE = Rule("drop-trigger", ("Drop:OBJECT_TRIGGER",), _judge)
