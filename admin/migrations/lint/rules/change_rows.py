"""Rows are changed, merged or deleted."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, conditional

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
        written = {each.res_target.name for each in action.node.target_list}
        if written <= scene.schema.new_columns(action.table):
            return None
    return conditional(f"safe if the old version {_SAID[action.kind]} {action.table}")


RULE = Rule(
    "change-rows", ("Update", "Delete", "Merge", "Insert", "Copy", "RefreshMatView"), _judge
)
