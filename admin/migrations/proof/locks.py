"""What a statement locks, and which tables it writes anew: read from PostgreSQL's own catalogues.

Source: PostgreSQL's documentation of pg_locks.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import asyncpg

from admin.migrations.proof.model import LOCK_ORDER, Lock
from admin.migrations.proof.servers import Connection

_LOCKS = """
SELECT l.relation, l.mode FROM pg_locks l
 WHERE l.pid = $1 AND l.locktype = 'relation' AND l.granted
   AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
_RELATIONS = """
SELECT c.oid, c.relname, c.relkind::text AS relkind, pg_relation_filenode(c.oid) AS node
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_(toast|temp)'
   AND c.relkind IN ('r', 'p', 'm', 'v', 'i', 'I', 'S', 'f')
"""
_POLL_S = 0.005
Held = Mapping[int, str]
"""Relation → the strongest mode."""


class Relations:
    """The relations as they were: names and files."""

    def __init__(self, rows: list[asyncpg.Record]) -> None:
        self._names = {row["oid"]: row["relname"] for row in rows}
        self._nodes = {row["oid"]: row["node"] for row in rows if row["relkind"] in "rm"}

    @classmethod
    async def read(cls, connection: Connection) -> "Relations":
        """As they are now, for this session."""
        return cls(await connection.fetch(_RELATIONS))

    def locks(self, before: Held, after: Held) -> tuple[Lock, ...]:
        """What was taken between, on relations that are known; strongest first."""
        taken = [
            (mode, self._names[oid])
            for oid, mode in after.items()
            if oid in self._names and before.get(oid) != mode
        ]
        taken.sort(key=lambda each: (-LOCK_ORDER.index(each[0]), each[1]))
        return tuple(Lock(name, mode) for mode, name in taken)

    def rewritten(self, later: "Relations") -> tuple[str, ...]:
        """The tables that have another file by now."""
        found = (
            self._names[oid]
            for oid, node in self._nodes.items()
            if later._nodes.get(oid, node) != node  # noqa: SLF001 - of the same class
        )
        return tuple(sorted(found))


async def held(connection: Connection, pid: int) -> Held:
    """What a session holds now."""
    return _strongest(await connection.fetch(_LOCKS, pid))


@asynccontextmanager
async def watched(watcher: Connection, pid: int) -> AsyncIterator[dict[int, str]]:
    """What another session holds while the block runs, looked at again and again.

    A lock that is held for less than the pause between two looks may be missed.
    """
    seen: dict[int, str] = {}

    async def look() -> None:
        while True:
            for oid, mode in (await held(watcher, pid)).items():
                seen[oid] = max(seen.get(oid, mode), mode, key=LOCK_ORDER.index)
            await asyncio.sleep(_POLL_S)

    looking = asyncio.get_running_loop().create_task(look(), name="locks of the migration")
    try:
        yield seen
    finally:
        looking.cancel()
        await asyncio.wait([looking])


def _strongest(rows: list[asyncpg.Record]) -> Held:
    found: dict[int, str] = {}
    for row in rows:
        mode = row["mode"]
        if mode in LOCK_ORDER:
            found[row["relation"]] = max(
                found.get(row["relation"], mode), mode, key=LOCK_ORDER.index
            )
    return found
