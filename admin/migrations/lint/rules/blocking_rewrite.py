"""A table is written anew while nobody can read it."""

from admin.migrations.lint import defaults, remedies
from admin.migrations.lint.action import Action
from admin.migrations.lint.context import how_long
from admin.migrations.lint.model import Cost, Verdict
from admin.migrations.lint.rule import Rule, Scene, blocking
from admin.migrations.lint.sqltext import expression, quoted, type_of


def _judge(action: Action, scene: Scene) -> Verdict | None:
    locked, size = scene.locking, scene.context.size(action.table)
    if locked.cost is not Cost.REWRITE or not locked.lock.blocks_writes:
        return None
    if size and size.is_small:
        return None
    name = action.table or "each table"
    waits = f"{name} is written anew: {locked.lock.blocks} wait{how_long(size, locked.cost)}"
    return blocking(waits, _remedy(action))


def _remedy(action: Action) -> str:
    match action.kind:
        case "AT_AddColumn":
            return _of_column(action)
        case "RefreshMatView":
            return f"""\
-- Needs a unique index on the view; it blocks other refreshes and no reader.
REFRESH MATERIALIZED VIEW CONCURRENTLY {action.table};"""
        case "Vacuum" | "Cluster":
            return f"""\
VACUUM (ANALYZE) {action.table}; -- gives the room to the table's new rows, and blocks nobody
-- To give it back to the disk: pg_repack, which copies the table beside the traffic."""
        case "AT_SetTableSpace" | "AT_SetAccessMethod" | "AT_SetLogged" | "AT_SetUnLogged":
            return (
                "-- A copy of the table beside it, kept equal by a trigger, and the names swapped."
            )
    return ""


def _of_column(action: Action) -> str:
    """The column without a value, then its default for new rows, then the rows of old."""
    column = action.also
    name, type_ = quoted(action.column), type_of(column.type_name)
    given = defaults.of(column)
    if given is None:
        return ""
    value = expression(given)
    change = f"UPDATE {action.table} SET {name} = {value}"
    return f"""\
ALTER TABLE {action.table} ADD COLUMN {name} {type_};
ALTER TABLE {action.table} ALTER COLUMN {name} SET DEFAULT {value};
-- Then in batches, each a transaction of its own, until one changes no row:
{remedies.batch(change, action.table, f"{name} IS NULL")}"""


RULE = Rule("blocking-rewrite", (), _judge)
