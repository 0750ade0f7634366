"""NULL is allowed: the old version may read one."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, conditional
from admin.migrations.lint.sqltext import quoted


def _judge(action: Action, _: Scene) -> Verdict:
    column = quoted(action.column)
    return conditional(
        f"safe if the old version bears NULL in {action.table}.{column}, or the new one writes none before it is gone",
        "-- Allow NULL in this release; write NULL in the next.",
    )


RULE = Rule("drop-not-null", ("AT_DropNotNull",), _judge)
