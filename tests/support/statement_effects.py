"""What a statement does to tables: locks, blocks read, files written anew. See statement_evidence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from tests.support.statement_corpus import LOCKS

_INSTANT_SHARE = 0.5
_TABLES = """
    SELECT c.oid, c.oid::regclass::text AS name, c.relkind::text AS kind,
        c.relfilenode, CASE WHEN c.relkind IN ('r', 'm') THEN pg_relation_size(c.oid) / 8192 END
        AS blocks
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'm', 'v', 'S') AND n.nspname !~ '^pg_|^information_schema$'
"""


@dataclass(frozen=True, slots=True)
class Table:
    """A table, a view or a sequence. kind: as in pg_class, r or p for a table (partitioned).

    blocks: None where it has no data of its own.
    """

    oid: int
    name: str
    kind: str
    filenode: int
    blocks: int | None


@dataclass(frozen=True, slots=True)
class Effect:
    """What the last statement of a file did. locks, read: by the table's name before.

    error: what it failed with; then the rest is empty. locks: the strongest on each table that
    was there. read: blocks fetched. rewritten: those with a new file that isn't empty.
    """

    error: str | None
    locks: Mapping[str, str]
    read: Mapping[str, int]
    rewritten: frozenset[str]
    blocks: Mapping[str, int]

    @property
    def cost(self) -> str:
        """instant, scan or rewrite; AssertionError where the counts say neither."""
        if self.rewritten:
            return "rewrite"
        shares = {name: self.read[name] / blocks for name, blocks in self.blocks.items() if blocks}
        most = max(shares.values(), default=0.0)
        assert most >= 1 or most <= _INSTANT_SHARE, f"in part read: {shares}"
        return "scan" if most >= 1 else "instant"


async def tables_of(session: asyncpg.Connection) -> dict[int, Table]:
    """All that can be locked, by oid."""
    rows = await session.fetch(_TABLES)
    return {
        row["oid"]: Table(row["oid"], row["name"], row["kind"], row["relfilenode"], row["blocks"])
        for row in rows
    }


async def fetched(
    session: asyncpg.Connection, tables: Mapping[int, Table], counter: str
) -> dict[int, int]:
    """Blocks by oid. counter: PostgreSQL's function that has them."""
    oids = [table.oid for table in tables.values() if table.blocks is not None]
    rows = await session.fetch(
        f"SELECT oid, coalesce({counter}(oid), 0) AS n FROM unnest($1::oid[]) AS oid", oids
    )
    return {row["oid"]: row["n"] for row in rows}


async def flushed(session: asyncpg.Connection, tables: Mapping[int, Table]) -> dict[int, int]:
    """The counters that all sessions see, with all that this one has done."""
    await session.execute("SELECT pg_stat_force_next_flush()")
    return await fetched(session, tables, "pg_stat_get_blocks_fetched")


def effect_of(
    known: Sequence[Table],
    after: Mapping[int, Table],
    taken: set[tuple[int, str]],
    read: Mapping[int, int],
) -> Effect:
    """What the last statement did to those that were known."""
    locks = {
        table.name: max(
            (mode for oid, mode in taken if oid == table.oid), key=LOCKS.index, default=""
        )
        for table in known
    }
    rewritten = frozenset(
        table.name
        for table in known
        if table.oid in after
        and after[table.oid].filenode != table.filenode
        and after[table.oid].blocks
    )
    full = {table.name: table.blocks for table in known if table.blocks}
    return Effect(
        None,
        locks,
        {table.name: read.get(table.oid, 0) for table in known if table.blocks},
        rewritten,
        full,
    )


def failure(error: asyncpg.PostgresError) -> Effect:
    """Of a statement that failed."""
    return Effect(str(error), {}, {}, frozenset(), {})
