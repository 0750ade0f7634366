"""An UPDATE or DELETE of all rows in one transaction."""

from admin.migrations.lint import remedies
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, blocking, breaking, conditional
from admin.migrations.lint.sqltext import expression, quoted


def _judge(action: Action, scene: Scene) -> Verdict | None:
    if action.node.HasField("where_clause"):
        return None
    verb = "UPDATE" if action.kind == "Update" else "DELETE"
    if verb == "DELETE":
        return breaking(
            f"all rows of {action.table} are lost to the old version; a transaction of all rows holds each until its end",
            remedies.later(remedies.batch(f"DELETE FROM {action.table}", action.table, "true")),
        )
    written = {each.res_target.name for each in action.node.target_list}
    if written <= scene.schema.new_columns(action.table):
        return blocking(
            f"each row of {action.table} is locked until the whole transaction ends, and written anew",
            _in_batches(action),
        )
    return conditional(
        f"safe if the old version can read what is written to {action.table}; each row is locked until "
        "the whole transaction ends, and written anew",
        _in_batches(action),
    )


def _in_batches(action: Action) -> str:
    """The same by a part of the rows at a time; empty if what is written isn't one plain value."""
    first = action.node.target_list[0].res_target
    if first.val.HasField("multi_assign_ref") or first.indirection or action.node.from_clause:
        return ""
    column, value = quoted(first.name), expression(first.val)
    change = f"UPDATE {action.table} SET {column} = {value}"
    return f"""\
-- In batches, each a transaction of its own, until one changes no row:
{remedies.batch(change, action.table, f"{column} IS DISTINCT FROM {value}")}"""


RULE = Rule("whole-table-write", ("Update", "Delete"), _judge)
