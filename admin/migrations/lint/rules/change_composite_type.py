"""A composite type with other attributes."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, breaking
from admin.migrations.lint.schema import unqualified


def _judge(action: Action, scene: Scene) -> Verdict | None:
    if (
        action.kind != "Rename:OBJECT_ATTRIBUTE"
        and unqualified(action.table) in scene.schema.types_here
    ):
        return None
    return breaking(
        f"the old version's rows of type {action.table} have other attributes: ROW(…) casts of it fail, and drivers read it by place",
        f"-- A second type beside it: CREATE TYPE {action.table}_2 AS (…);",
    )


RULE = Rule(
    "change-composite-type",
    (
        "OBJECT_TYPE:AT_AddColumn",
        "OBJECT_TYPE:AT_DropColumn",
        "OBJECT_TYPE:AT_AlterColumnType",
        "Rename:OBJECT_ATTRIBUTE",
    ),
    _judge,
)
