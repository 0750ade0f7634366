"""Another default: what the old version leaves out has another value."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, conditional
from admin.migrations.lint.sqltext import quoted


def _judge(action: Action, _: Scene) -> Verdict | None:
    if not action.node.HasField("def"):
        return None
    column = quoted(action.column)
    return conditional(
        f"safe if the old version can read the new default: rows that it writes without {column} have it from now on",
        "-- Let the new version write the value itself, and set the default once the old one is gone.",
    )


RULE = Rule("set-default", ("AT_ColumnDefault", "OBJECT_VIEW:AT_ColumnDefault"), _judge)
