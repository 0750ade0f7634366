"""What a statement does, as a real PostgreSQL shows it: to old queries, locks and data.

Rules:
- A trial is a transaction in a shared database, rolled back once the old queries have been asked in
  it. It gets a database of its own, and is committed there, if the statement runs in no
  transaction, if what comes before it holds locks that would be taken for its own, or if the new
  version is to write.
- Queries of the old version run as its role, each rolled back after its deferred constraints were
  checked.
- The locks are read by another session, from pg_locks: of a transaction that is still open, or,
  for what runs in none, whenever the statement waits behind a session that is in its way.
- The cost is counted in blocks, never in time: *rewrite* is a table that has got a new file with
  data in it; *scan* is a table of which every block was fetched; *instant* is neither, and at
  most half of each table. Anything between is no evidence.
- What the file itself created counts for neither: nobody waits for it yet.
"""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import asyncpg

from admin.migrations.catalogue.grammar import statements
from tests.support.statement_corpus import LOCKS

ROLE = "erp"
POLL_SECONDS = 0.002
_INSTANT_SHARE = 0.5
_STRINGS = {"text", "varchar", "bpchar"}
"""They look the same to every client, on the wire too: no query sees one become the other."""

_TABLES = """
    SELECT c.oid, c.oid::regclass::text AS name, c.relkind::text AS kind,
        c.relfilenode, CASE WHEN c.relkind IN ('r', 'm') THEN pg_relation_size(c.oid) / 8192 END
        AS blocks
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'm', 'v', 'S') AND n.nspname !~ '^pg_|^information_schema$'
"""
_LOCKED = """
    SELECT relation, mode FROM pg_locks
    WHERE pid = $1 AND locktype = 'relation' AND database <> 0
"""
_WAITS = "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND NOT granted)"

_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a query gave: an error, or the command's tag, its columns and its rows."""

    error: str | None
    tag: str = ""
    columns: tuple[tuple[str, str], ...] = ()
    rows: tuple[tuple[object, ...], ...] = ()


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


@dataclass(frozen=True, slots=True)
class Tried:
    """A statement's effect, and what the old queries gave before and after it."""

    before: list[Outcome]
    effect: Effect
    after: list[Outcome]


class _EntangledError(Exception):
    """What came before the statement holds locks, which in one transaction are not told apart."""


class Laboratory:
    """A server with a template. observer: a session on it that looks at the others.

    shared: a session on a copy of the template.
    """

    def __init__(
        self, url: str, template: str, observer: asyncpg.Connection, shared: asyncpg.Connection
    ) -> None:
        self._url, self._template = url, template
        self._observer, self._shared = observer, shared

    async def tried(
        self,
        file: str,
        queries: Sequence[str],
        setup: Sequence[str] = (),
        new: Sequence[str] = (),
        *,
        locks: bool = True,
    ) -> Tried:
        """Run a file after `setup`, and watch its last statement.

        new: run before the last look. locks: whether they have to be its own.
        """
        *first, last = [piece.text for piece in statements(file)]
        if not new:
            with contextlib.suppress(asyncpg.ActiveSQLTransactionError, _EntangledError):
                return await self._rolled_back(setup, [*first, last], queries, locks=locks)
        async with self._own_database() as (url, session):
            await _run(session, setup)
            before = await _answers(session, queries)
            effect = await Trial(url, session, self._observer).committed(first, last)
            await _run(session, new)
            return Tried(before, effect, await _answers(session, queries))

    async def _rolled_back(
        self, setup: Sequence[str], file: Sequence[str], queries: Sequence[str], *, locks: bool
    ) -> Tried:
        session, trial = self._shared, Trial(self._url, self._shared, self._observer)
        transaction = session.transaction()
        await transaction.start()
        try:
            await _run(session, setup)
            there = await _tables(session)
            before = await _answers(session, queries)
            await _run(session, file[:-1])
            if locks and await trial.holds(there):
                raise _EntangledError
            effect = await trial.watched(there, file[-1])
            after = [] if effect.error else await _answers(session, queries)
            return Tried(before, effect, after)
        finally:
            await transaction.rollback()

    @contextlib.asynccontextmanager
    async def _own_database(self) -> AsyncIterator[tuple[str, asyncpg.Connection]]:
        """A new database like the template, dropped at the end: its URL, and a session on it."""
        name = f"trial_{next(_numbers)}"
        # The files are copied as they are: faster than through the log, for one so small.
        await self._observer.execute(
            f"CREATE DATABASE {name} TEMPLATE {self._template} STRATEGY file_copy"
        )
        url = self._url.rpartition("/")[0] + "/" + name
        try:
            async with connected(url) as session:
                yield url, session
        finally:
            await self._observer.execute(f"DROP DATABASE {name} WITH (FORCE)")


class Trial:
    """A session that runs a statement, and how it is watched."""

    def __init__(self, url: str, session: asyncpg.Connection, observer: asyncpg.Connection) -> None:
        self._url, self._session, self._observer = url, session, observer

    async def committed(self, first: Sequence[str], statement: str) -> Effect:
        """Commit each; the effect of the last."""
        there = await _tables(self._session)
        await _run(self._session, first)
        try:
            transaction = self._session.transaction()
            await transaction.start()
            try:
                effect = await self.watched(there, statement)
            except asyncpg.ActiveSQLTransactionError:
                await transaction.rollback()
                raise
            await (transaction.rollback() if effect.error else transaction.commit())
        except asyncpg.ActiveSQLTransactionError:
            return await self._held_up(self._session, statement)
        return effect

    async def holds(self, tables: Mapping[int, Table]) -> bool:
        """Whether the session has a lock on one of them."""
        return any(oid in tables for oid, _ in await self._locks(self._session))

    async def watched(self, there: Mapping[int, Table], statement: str) -> Effect:
        """Run it in the session's transaction. there: what is not of the file itself."""
        session = self._session
        tables = await _tables(session)
        read = await _fetched(session, tables, "pg_stat_get_xact_blocks_fetched")
        try:
            await session.execute(statement)
        except asyncpg.ActiveSQLTransactionError:
            raise
        except asyncpg.PostgresError as error:
            return _failure(error)
        taken = await self._locks(session)
        read_then = await _fetched(session, tables, "pg_stat_get_xact_blocks_fetched")
        known = [table for oid, table in tables.items() if oid in there]
        read = {oid: count - read[oid] for oid, count in read_then.items()}
        return _effect(known, await _tables(session), taken, read)

    async def _held_up(self, session: asyncpg.Connection, statement: str) -> Effect:
        """Of a statement that runs in no transaction.

        Another session lets go of the tables by and by, so that each of its waits is seen: for the
        first lock, for one that conflicts with itself, for older transactions to end, and at last
        for a partition whose parent is free.
        """
        async with connected(self._url) as first, connected(self._url) as last:
            tables = await _tables(session)
            before = await _flushed(session, tables)
            leaves = [table.name for table in tables.values() if table.kind == "r"]
            roots = [f"ONLY {table.name}" for table in tables.values() if table.kind == "p"]
            # Another transaction, as it is a transaction's end that older ones are waited for.
            await last.execute(f"BEGIN; {_lock(leaves, 'ROW EXCLUSIVE')}")
            await first.execute(f"BEGIN; {_lock([*roots, *leaves], 'ROW EXCLUSIVE')}")
            await first.execute(
                f"SAVEPOINT held; {_lock([*roots, *leaves], 'SHARE UPDATE EXCLUSIVE')}"
            )
            running = asyncio.ensure_future(session.execute(statement))
            taken = await self._waiting(session, running)
            for release in ("ROLLBACK TO held", "ROLLBACK"):
                await first.execute(release)
                taken |= await self._waiting(session, running)
            await last.execute("ROLLBACK")
            try:
                await running
            except asyncpg.PostgresError as error:
                return _failure(error)
            after = await _flushed(session, tables)
            read = {oid: count - before[oid] for oid, count in after.items()}
            return _effect(list(tables.values()), await _tables(session), taken, read)

    async def _waiting(
        self, session: asyncpg.Connection, running: asyncio.Future[str]
    ) -> set[tuple[int, str]]:
        """What it holds and asks for once it waits; nothing if it ends before."""
        while not running.done():
            if await self._observer.fetchval(_WAITS, session.get_server_pid()):
                return await self._locks(session)
            await asyncio.sleep(POLL_SECONDS)
        return set()

    async def _locks(self, session: asyncpg.Connection) -> set[tuple[int, str]]:
        rows = await self._observer.fetch(_LOCKED, session.get_server_pid())
        return {(row["relation"], row["mode"]) for row in rows}


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    """A session as the trials have it."""
    session = await asyncpg.connect(url, server_settings={"jit": "off"}, statement_cache_size=0)
    try:
        yield session
    finally:
        await session.close()


def _lock(tables: Sequence[str], mode: str) -> str:
    return f"LOCK TABLE {', '.join(tables)} IN {mode} MODE"


async def _run(session: asyncpg.Connection, scripts: Sequence[str]) -> None:
    for script in filter(None, scripts):
        await session.execute(script)


async def _answers(session: asyncpg.Connection, queries: Sequence[str]) -> list[Outcome]:
    """The queries' outcomes, as the old version's role."""
    # Or the client would take a type for what it was.
    await session.reload_schema_state()
    return [await _outcome(session, query) for query in queries]


async def _outcome(session: asyncpg.Connection, query: str) -> Outcome:
    transaction = session.transaction()  # a savepoint, if there is one already
    await transaction.start()
    try:
        await session.execute(f"SET LOCAL ROLE {ROLE}")
        prepared = await session.prepare(query)
        rows = await prepared.fetch()
        await session.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except asyncpg.PostgresError as error:
        return Outcome(str(error))
    finally:
        await transaction.rollback()
    columns = tuple((column.name, _seen(column.type)) for column in prepared.get_attributes())
    return Outcome(None, prepared.get_statusmsg() or "", columns, tuple(tuple(row) for row in rows))


def _seen(kind: asyncpg.Type) -> str:
    """A column's type, as a client tells types apart."""
    return "string" if kind.name in _STRINGS else f"{kind.schema}.{kind.name}"


async def _tables(session: asyncpg.Connection) -> dict[int, Table]:
    rows = await session.fetch(_TABLES)
    return {
        row["oid"]: Table(row["oid"], row["name"], row["kind"], row["relfilenode"], row["blocks"])
        for row in rows
    }


async def _fetched(
    session: asyncpg.Connection, tables: Mapping[int, Table], counter: str
) -> dict[int, int]:
    oids = [table.oid for table in tables.values() if table.blocks is not None]
    rows = await session.fetch(
        f"SELECT oid, coalesce({counter}(oid), 0) AS n FROM unnest($1::oid[]) AS oid", oids
    )
    return {row["oid"]: row["n"] for row in rows}


async def _flushed(session: asyncpg.Connection, tables: Mapping[int, Table]) -> dict[int, int]:
    """The counters that all sessions see, with all that this one has done."""
    await session.execute("SELECT pg_stat_force_next_flush()")
    return await _fetched(session, tables, "pg_stat_get_blocks_fetched")


def _effect(
    known: Sequence[Table],
    after: Mapping[int, Table],
    taken: set[tuple[int, str]],
    read: Mapping[int, int],
) -> Effect:
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
        {table.name: read[table.oid] for table in known if table.blocks},
        rewritten,
        full,
    )


def _failure(error: asyncpg.PostgresError) -> Effect:
    return Effect(str(error), {}, {}, frozenset(), {})
