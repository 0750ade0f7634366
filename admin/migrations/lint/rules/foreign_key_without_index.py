"""Rows go, or their keys change, and each makes PostgreSQL scan a table that refers to them."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.context import how_long
from admin.migrations.lint.model import Cost, Verdict
from admin.migrations.lint.rule import Rule, Scene, blocking
from admin.migrations.lint.sqltext import quoted


def _judge(action: Action, scene: Scene) -> Verdict | None:
    size = scene.context.size(action.table)
    if scene.locking.cost is not Cost.SCAN or (size and size.is_small):
        return None
    columns = ", ".join(map(quoted, action.also.columns))
    gone = "deleted" if action.node.DESCRIPTOR.name == "DeleteStmt" else "changed or deleted"
    return blocking(
        f"{action.table} ({columns}) refers to {action.also.parent}, and no index there is known: {action.table} is scanned "
        f"for each row that is {gone}{how_long(size, Cost.SCAN)} a row, and rows already touched stay locked until the end",
        f"""\
-- First, in a migration of its own; the old version's deletes become quicker too:
-- turnout:transaction off
CREATE INDEX CONCURRENTLY ON {action.table} ({columns});""",
    )


RULE = Rule("foreign-key-without-index", ("Reached",), _judge)
