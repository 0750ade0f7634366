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
from tests.support.statement_effects import (
    Effect,
    Table,
    effect_of,
    failure,
    fetched,
    flushed,
    tables_of,
)
from tests.support.statement_outcomes import Outcome, answers, run

POLL_SECONDS = 0.002

_LOCKED = """
    SELECT relation, mode FROM pg_locks
    WHERE pid = $1 AND locktype = 'relation' AND database <> 0
"""
_WAITS = "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND NOT granted)"

_numbers = itertools.count()


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
            await run(session, setup)
            before = await answers(session, queries)
            effect = await Trial(url, session, self._observer).committed(first, last)
            await run(session, new)
            return Tried(before, effect, await answers(session, queries))

    async def held(self, file: str, setup: Sequence[str]) -> Mapping[str, str]:
        """The strongest lock on each table when a file has run in one transaction."""
        async with self._own_database() as (url, session):
            await run(session, setup)
            return await Trial(url, session, self._observer).held(file)

    async def _rolled_back(
        self, setup: Sequence[str], file: Sequence[str], queries: Sequence[str], *, locks: bool
    ) -> Tried:
        session, trial = self._shared, Trial(self._url, self._shared, self._observer)
        transaction = session.transaction()
        await transaction.start()
        try:
            await run(session, setup)
            there = await tables_of(session)
            before = await answers(session, queries)
            await run(session, file[:-1])
            if locks and await trial.holds(there):
                raise _EntangledError
            effect = await trial.watched(there, file[-1])
            after = [] if effect.error else await answers(session, queries)
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
        there = await tables_of(self._session)
        await run(self._session, first)
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

    async def held(self, file: str) -> Mapping[str, str]:
        """The strongest lock on each table when all of it has run, and nothing is committed."""
        there = list((await tables_of(self._session)).values())
        transaction = self._session.transaction()
        await transaction.start()
        try:
            await run(self._session, [piece.text for piece in statements(file)])
            return effect_of(there, {}, await self._locks(self._session), {}).locks
        finally:
            await transaction.rollback()

    async def watched(self, there: Mapping[int, Table], statement: str) -> Effect:
        """Run it in the session's transaction. there: what is not of the file itself."""
        session = self._session
        tables = await tables_of(session)
        read = await fetched(session, tables, "pg_stat_get_xact_blocks_fetched")
        try:
            await session.execute(statement)
        except asyncpg.ActiveSQLTransactionError:
            raise
        except asyncpg.PostgresError as error:
            return failure(error)
        taken = await self._locks(session)
        read_then = await fetched(session, tables, "pg_stat_get_xact_blocks_fetched")
        known = [table for oid, table in tables.items() if oid in there]
        read = {oid: count - read[oid] for oid, count in read_then.items()}
        return effect_of(known, await tables_of(session), taken, read)

    async def _held_up(self, session: asyncpg.Connection, statement: str) -> Effect:
        """Of a statement that runs in no transaction.

        Another session lets go of the tables by and by, so that each of its waits is seen: for the
        first lock, for one that conflicts with itself, for older transactions to end, and at last
        for a partition whose parent is free.
        """
        async with connected(self._url) as first, connected(self._url) as last:
            tables = await tables_of(session)
            before = await flushed(session, tables)
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
                return failure(error)
            after = await flushed(session, tables)
            read = {oid: count - before[oid] for oid, count in after.items()}
            return effect_of(list(tables.values()), await tables_of(session), taken, read)

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
