"""Rows are changed, merged or deleted."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, conditional
from admin.migrations.lint.schema import unqualified


def _judge(action: Action, scene: Scene) -> Verdict | None:
    if action.kind == "Merge":
        return conditional(f"safe if the old version can read what is written to {action.table}")
    if not action.node.HasField("where_clause"):
        return None
    if action.kind == "Delete":
        return conditional(
            f"safe if the old version doesn't need the rows of {action.table} that go"
        )
    if all(each.res_target.name in _new_columns(action, scene) for each in action.node.target_list):
        return None
    return conditional(f"safe if the old version can read what is written to {action.table}")


def _new_columns(action: Action, scene: Scene) -> set[str]:
    """The columns that this file has added, which the old version doesn't know."""
    return scene.schema.columns_here.get(unqualified(action.table), set())


RULE = Rule("change-rows", ("Update", "Delete", "Merge"), _judge)
