"""Rows are changed, merged or deleted."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, conditional
from admin.migrations.lint.schema import unqualified

_SAID = {
    "Merge": "can read what is written to",
    "Insert": "bears the new rows of",
    "Copy": "bears the new rows of",
    "RefreshMatView": "bears newer rows in",
    "Update": "can read what is written to",
    "Delete": "doesn't need the rows that go from",
}


def _judge(action: Action, scene: Scene) -> Verdict | None:
    if action.kind in {"Update", "Delete"} and not action.node.HasField("where_clause"):
        return None  # whole-table-write says it
    if action.kind == "Update":
        new = _new_columns(action, scene)
        if all(each.res_target.name in new for each in action.node.target_list):
            return None
    return conditional(f"safe if the old version {_SAID[action.kind]} {action.table}")


def _new_columns(action: Action, scene: Scene) -> set[str]:
    """The columns that this file has added, which the old version doesn't know."""
    return scene.schema.columns_here.get(unqualified(action.table), set())


RULE = Rule(
    "change-rows", ("Update", "Delete", "Merge", "Insert", "Copy", "RefreshMatView"), _judge
)
