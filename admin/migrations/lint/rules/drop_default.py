"""A default is dropped: the old version's INSERTs count on it."""

from admin.migrations.lint import remedies
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, breaking, conditional
from admin.migrations.lint.sqltext import quoted


def _judge(action: Action, scene: Scene) -> Verdict | None:
    if action.node.HasField("def"):
        return None
    column = quoted(action.column)
    remedy = remedies.later(f"ALTER TABLE {action.table} ALTER COLUMN {column} DROP DEFAULT;")
    known = scene.schema.column(action.table, action.column)
    if scene.schema.holds_not_null(action.table, action.column):
        return breaking(
            f"the old version's INSERTs that leave {column} out fail: it is NOT NULL, and has no default now",
            remedy,
        )
    if known and not known.has_default:
        return None
    return conditional(
        f"safe if the old version always writes {column}, or bears to read NULL there; its INSERTs fail if the "
        "column is NOT NULL",
        remedy,
    )


RULE = Rule("drop-default", ("AT_ColumnDefault",), _judge)
