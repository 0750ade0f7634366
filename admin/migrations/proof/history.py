"""What a target has applied, by its own version table, as the worker writes it."""

import asyncpg

from admin.migrations.identifiers import quoted
from admin.migrations.proof.limits import CannotProve
from admin.migrations.proof.servers import Connection

HISTORY = "turnout_schema_history"


async def applied(connection: Connection, schema: str) -> dict[str, str] | None:
    """Key → checksum; None: there is no such table. CannotProve: one is half applied."""
    try:
        rows = await connection.fetch(
            f"SELECT key, checksum, state FROM {quoted(schema)}.{HISTORY} WHERE key <> ''"  # noqa: S608 - quoted
        )
    except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        return None
    half = [row["key"] for row in rows if row["state"] != "applied"]
    if half:
        raise CannotProve(
            f"{', '.join(half)} is applied in part: let the worker finish it (`turnout migrations status`)"
        )
    return {row["key"]: row["checksum"] for row in rows}
