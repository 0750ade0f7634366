"""NULL is refused: the old version may write it."""

from admin.migrations.lint import remedies
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, breaking, conditional
from admin.migrations.lint.sqltext import quoted


def _judge(action: Action, scene: Scene) -> Verdict | None:
    if scene.schema.promises_not_null(action.table, action.column):
        return None
    column = quoted(action.column)
    known = scene.schema.column(action.table, action.column)
    if known and known.has_default:
        return conditional(
            f"safe if the old version never writes NULL to {action.table}.{column}: what leaves it out gets its default; and this "
            "statement fails if there are such rows",
            remedies.not_null(action.table, column, has_default=True),
        )
    return breaking(
        f"the old version's INSERTs and UPDATEs that leave {action.table}.{column} NULL fail; and so does this statement if "
        "there are such rows",
        remedies.not_null(action.table, column),
    )


RULE = Rule("set-not-null", ("AT_SetNotNull", "AddConstraint:NOTNULL"), _judge)
