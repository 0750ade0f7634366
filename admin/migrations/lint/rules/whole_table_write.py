"""An UPDATE or DELETE of all rows in one transaction."""

from admin.migrations.lint import remedies
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, breaking, conditional
from admin.migrations.lint.sqltext import expression, quoted


def _judge(action: Action, _: Scene) -> Verdict | None:
    if action.node.HasField("where_clause"):
        return None
    verb = "UPDATE" if action.kind == "Update" else "DELETE"
    if verb == "DELETE":
        return breaking(
            f"all rows of {action.table} are lost to the old version; a transaction of all rows holds each until its end",
            remedies.later(remedies.batch(f"DELETE FROM {action.table}", action.table, "true")),
        )
    first = action.node.target_list[0].res_target
    column = quoted(first.name)
    value = expression(first.val)
    return conditional(
        f"safe if the old version can read what is written to {action.table}.{column}; each row is locked until the whole "
        "transaction ends, and written anew",
        f"""\
-- In batches, each a transaction of its own, until one changes no row:
{remedies.batch(f"UPDATE {action.table} SET {column} = {value}", action.table, f"{column} IS DISTINCT FROM {value}")}""",
    )


RULE = Rule("whole-table-write", ("Update", "Delete"), _judge)
