"""A composite type with other attributes."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, breaking, conditional
from admin.migrations.lint.schema import unqualified


def _judge(action: Action, scene: Scene) -> Verdict | None:
    if (
        action.kind != "Rename:OBJECT_ATTRIBUTE"
        and unqualified(action.table) in scene.schema.types_here
    ):
        return None
    if action.kind == "OBJECT_TYPE:AT_AddColumn":
        return conditional(
            f"safe if the old version makes no value of {action.table}: ROW(…) casts of it fail, and drivers "
            "read attributes by their place",
            f"-- A second type beside it: CREATE TYPE {action.table}_2 AS (…);",
        )
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
