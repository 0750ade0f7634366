"""Applies migrations in a clone, statement by statement, and looks on.

Rule: a migration is one transaction if it can be, as the worker applies it. After each statement the
observer may try queries, also within that transaction; what it does there is rolled back by itself.
"""

import re
import time
from collections.abc import Iterable
from typing import Protocol

import asyncpg

from admin.migrations.catalogue.model import Migration, Statement
from admin.migrations.catalogue.transactions import needs_none
from admin.migrations.proof.errors import told
from admin.migrations.proof.limits import Limits, milliseconds
from admin.migrations.proof.locks import Relations, held, watched
from admin.migrations.proof.model import Error, Point, Ran
from admin.migrations.proof.servers import Connection, Place, connected

_ROWS = re.compile(r"(?:INSERT 0|UPDATE|DELETE|MERGE|COPY|SELECT) (\d+)")

LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.CannotConnectNowError,
)
"""The session is gone, which is nothing that the migration did."""
_SETTLE = """
SELECT set_config('search_path', $1, $4), set_config('lock_timeout', $2, $4),
       set_config('statement_timeout', $3, $4)
"""


class Broken(Exception):  # noqa: N818 - an answer, not a fault of this program
    """A statement of a migration fails."""

    def __init__(self, point: Point, error: Error) -> None:
        super().__init__(error.message)
        self.point, self.error = point, error


class Observer(Protocol):
    """Who is told of each step."""

    async def begins(self, migration: Migration) -> None:
        """A migration is about to be applied."""

    async def ran(self, ran: Ran, statement: Statement, *, visible: bool) -> None:
        """A statement has run. visible: others see it already."""

    async def committed(self, migration: Migration) -> None:
        """All of a migration is there for others to see."""


class Nobody:
    """An observer that does nothing."""

    async def begins(self, migration: Migration) -> None:
        """See Observer."""

    async def ran(self, ran: Ran, statement: Statement, *, visible: bool) -> None:
        """See Observer."""

    async def committed(self, migration: Migration) -> None:
        """See Observer."""


async def apply(
    connection: Connection,
    place: Place,
    migrations: Iterable[Migration],
    limits: Limits,
    observer: Observer,
) -> None:
    """Apply all of them on the connection, which is to `place`. Broken."""
    path = await connection.fetchval("SELECT current_setting('search_path')")
    settings = (
        path,
        milliseconds(limits.lock_timeout_s),
        milliseconds(limits.statement_timeout_s),
    )
    async with connected(place, limits) as watcher:
        for migration in migrations:
            await observer.begins(migration)
            applied = _Applied(connection, watcher, migration, observer, settings)
            await (applied.whole() if migration.transactional else applied.in_steps())
            await observer.committed(migration)


class _Applied:
    """One migration on its way. watcher: a second session, for what needs one.

    settings: search path, lock time-out and statement time-out.
    """

    def __init__(
        self,
        connection: Connection,
        watcher: Connection,
        migration: Migration,
        observer: Observer,
        settings: tuple[str, str, str],
    ) -> None:
        self._connection, self._watcher = connection, watcher
        self._migration, self._observer = migration, observer
        self._settings = settings
        self._pid = connection.get_server_pid()

    async def whole(self) -> None:
        """All statements in one transaction."""
        relations = await Relations.read(self._connection)
        transaction = self._connection.transaction()
        await transaction.start()
        try:
            for statement in self._migration.statements:
                ran = await self._within(statement, relations)
                await self._observer.ran(ran, statement, visible=False)
        except BaseException:
            await transaction.rollback()
            raise
        await self._commit(transaction)

    async def in_steps(self) -> None:
        """Each statement for itself."""
        for statement in self._migration.statements:
            relations = await Relations.read(self._watcher)
            if needs_none(statement.node):
                ran = await self._beside(statement, relations)
            else:
                transaction = self._connection.transaction()
                await transaction.start()
                try:
                    ran = await self._within(statement, relations)
                except BaseException:
                    await transaction.rollback()
                    raise
                await self._commit(transaction)
            await self._observer.ran(ran, statement, visible=True)

    async def _within(self, statement: Statement, relations: Relations) -> Ran:
        """In the transaction that is under way, where its locks stay to be looked at."""
        before = await held(self._connection, self._pid)
        earlier = await Relations.read(self._connection)
        tag, ms = await self._run(statement)
        after = await held(self._connection, self._pid)
        later = await Relations.read(self._connection)
        locks = relations.locks(before, after)
        return Ran(self._point(statement), ms, locks, earlier.rewritten(later), _rows(tag))

    async def _beside(self, statement: Statement, relations: Relations) -> Ran:
        """Without a transaction, its locks seen by the second session."""
        async with watched(self._watcher, self._pid) as seen:
            tag, ms = await self._run(statement)
        later = await Relations.read(self._watcher)
        locks = relations.locks({}, seen)
        return Ran(self._point(statement), ms, locks, relations.rewritten(later), _rows(tag))

    async def _run(self, statement: Statement) -> tuple[str, float]:
        """The command's tag, and how long it took. Broken."""
        await self._settle()
        begun = time.perf_counter()
        try:
            tag = await self._connection.execute(statement.sql)
        except LOST:
            raise
        except asyncpg.PostgresError as error:
            raise Broken(self._point(statement), told(error)) from None
        return tag, (time.perf_counter() - begun) * 1000

    async def _settle(self) -> None:
        """The search path and the time-outs, before each statement, as the worker does: none outlasts it."""
        local = self._connection.is_in_transaction()
        await self._connection.execute(_SETTLE, *self._settings, local)

    async def _commit(self, transaction: asyncpg.transaction.Transaction) -> None:
        """Deferred constraints are checked only here. Broken."""
        try:
            await transaction.commit()
        except LOST:
            raise
        except asyncpg.PostgresError as error:
            raise Broken(self._point(self._migration.statements[-1]), told(error)) from None

    def _point(self, statement: Statement) -> Point:
        return Point(self._migration.key, self._migration.path, statement.line, statement.sql)


def _rows(tag: str) -> int | None:
    found = _ROWS.fullmatch(tag)
    return int(found[1]) if found else None
