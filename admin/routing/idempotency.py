"""Answers kept for repeated requests, and the ends of what is kept."""

from admin.routing.audit import Author
from admin.routing.database import Database, DatabaseUnavailableError
from admin.routing.store import Key

_KEEP = """
UPDATE turnout.idempotency SET status = $3, body = $4 WHERE actor = $1 AND key = $2
"""


async def keep(database: Database, author: Author, key: Key, status: int, body: bytes) -> None:
    """Keep the answer to a change that was made. Without it a repetition is answered anew."""
    try:
        async with database.connection() as connection:
            await connection.execute(_KEEP, author.actor, key.key, status, body)
    except DatabaseUnavailableError:
        return


async def prune(database: Database, hours: int, entries: int) -> None:
    """Take off keys older than `hours`, and log entries beyond the last `entries`."""
    async with database.connection() as connection:
        await connection.execute(
            "DELETE FROM turnout.idempotency WHERE at < now() - make_interval(hours => $1)", hours
        )
        await connection.execute(
            "DELETE FROM turnout.changes WHERE version <="
            " (SELECT version FROM turnout.routing_head) - $1",
            entries,
        )
