"""A table is scanned while others wait."""

from admin.migrations.lint import remedies
from admin.migrations.lint.action import Action
from admin.migrations.lint.context import how_long
from admin.migrations.lint.model import Cost, Verdict
from admin.migrations.lint.rule import Rule, Scene, blocking
from admin.migrations.lint.sqltext import bare, expression, quoted


def _judge(action: Action, scene: Scene) -> Verdict | None:
    locked, size = scene.locking, scene.context.size(action.table)
    if locked.cost is not Cost.SCAN or not locked.lock.blocks_writes or action.kind == "Index":
        return None
    if size and size.is_small:
        return None
    name = action.table or "each table"
    waits = f"{name} is scanned: {locked.lock.blocks} wait{how_long(size, locked.cost)}"
    return blocking(waits, _remedy(action))


def _remedy(action: Action) -> str:
    table = action.table
    match action.kind:
        case "AddConstraint:CHECK":
            name = quoted(action.also.conname or f"{bare(table)}_check")
            return remedies.validated(table, name, f"CHECK ({expression(action.also.raw_expr)})")
        case "AT_SetNotNull":
            return remedies.proven_not_null(table, quoted(action.column))
        case "RefreshMatView":
            return "-- It blocks other refreshes and writes to the view, and no reader."
    if action.kind.startswith("Reindex:"):
        what = action.kind.rpartition("_")[2]
        return f"-- turnout:transaction off\nREINDEX {what} CONCURRENTLY {table};"
    return ""


RULE = Rule("blocking-scan", (), _judge)
