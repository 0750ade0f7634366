"""The trail of releases in PostgreSQL: added to, read, and gone along to see that it holds."""

import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

import asyncpg

from admin.releases.chain import Broken, Entry, Verifier, digest
from admin.routing.database import Connection

_PAGE = 1000
_HEAD = "SELECT seq, hash, clock_timestamp() AS at FROM turnout.release_chain FOR UPDATE"
_ADD = """
INSERT INTO turnout.release_events (seq, at, release, kind, actor, body, before, hash)
VALUES ($1, $2, $3, $4, $5, $6::json, $7, $8)
"""
_MOVE = "UPDATE turnout.release_chain SET seq = $1, hash = $2"
_OF = """
SELECT * FROM turnout.release_events WHERE release = $1 AND seq > $2 ORDER BY seq LIMIT $3
"""
_ALL = "SELECT * FROM turnout.release_events WHERE seq > $1 ORDER BY seq LIMIT $2"
_END = "SELECT seq, hash FROM turnout.release_chain"


async def add(
    connection: Connection, release: str, kind: str, actor: str, body: Mapping[str, Any]
) -> None:
    """One more row. The caller's transaction: the row is there if, and only if, what it tells is."""
    head = await connection.fetchrow(_HEAD)
    assert head is not None  # noqa: S101 - the table has one row, always
    told = json.loads(json.dumps(body, allow_nan=False))
    entry = Entry(head["seq"] + 1, head["at"].astimezone(UTC), release, kind, actor, told)
    own = digest(entry, head["hash"])
    await connection.execute(
        *(_ADD, entry.seq, entry.at, release, kind, actor),
        *(json.dumps(told), head["hash"], own),
    )
    await connection.execute(_MOVE, entry.seq, own)


async def page(connection: Connection, release: str, after: int, limit: int) -> list[Entry]:
    """A release's rows, oldest first, after this place."""
    return [_entry(row) for row in await connection.fetch(_OF, release, after, limit)]


async def verify(connection: Connection) -> tuple[Verifier, Broken | None]:
    """Go along all of it: where it ends, and where it does not hold, if it doesn't."""
    verifier = Verifier()
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        async for rows in _pages(connection):
            if broken := verifier.follow(rows):
                return verifier, broken
        end = await connection.fetchrow(_END)
    if end is None or (end["seq"], end["hash"]) != (verifier.seq, verifier.last):
        return verifier, Broken(verifier.seq + 1, "the last rows are missing")
    return verifier, None


async def _pages(connection: Connection) -> AsyncIterator[list[tuple[Entry, str, str]]]:
    after = 0
    while rows := await connection.fetch(_ALL, after, _PAGE):
        yield [(_entry(row), row["before"], row["hash"]) for row in rows]
        after = rows[-1]["seq"]


def _entry(row: asyncpg.Record) -> Entry:
    at: datetime = row["at"]
    return Entry(row["seq"], at, row["release"], row["kind"], row["actor"], json.loads(row["body"]))
