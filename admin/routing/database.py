"""The connection to PostgreSQL: a bounded pool, time-outs on everything, one error for "gone".

Rule: what is wrong with the connection becomes `DatabaseUnavailableError`; what is wrong with a
statement is a fault of this program and is left as it is.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg

from admin.config import Settings

if TYPE_CHECKING:
    # asyncpg's classes are generic in its stubs alone.
    from asyncpg.pool import PoolConnectionProxy

    Pool = asyncpg.Pool[asyncpg.Record]
    Connection = PoolConnectionProxy[asyncpg.Record] | asyncpg.Connection[asyncpg.Record]
else:
    Pool = Connection = Any

UNREACHABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.TransactionRollbackError,
)

SILENT = (
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)


class DatabaseUnavailableError(Exception):
    """PostgreSQL can't be reached, or not in time. Carries the kind of fault, never the URL.

    answered: it said itself that it did not do what it was asked; otherwise it fell silent, and a
    commit under way may have been made.
    """

    def __init__(self, error: BaseException) -> None:
        # Messages of connection errors hold addresses, so: the class.
        super().__init__(type(error).__name__)
        self.answered = isinstance(error, asyncpg.PostgresError) and not isinstance(error, SILENT)


async def _keep_session(_: object) -> None:
    """Nothing that this program leaves on a connection needs a reset, which costs a round trip."""


async def open_pool(url: str, settings: Settings) -> "Pool":
    """Connect. DatabaseUnavailableError if it can't be reached now."""
    try:
        return await asyncpg.create_pool(
            url,
            min_size=settings.database_pool_min,
            max_size=settings.database_pool_max,
            timeout=settings.database_connect_timeout_s,
            command_timeout=settings.database_statement_timeout_s,
            reset=_keep_session,
            server_settings={
                "application_name": "turnout-admin",
                "lock_timeout": _ms(settings.database_lock_timeout_s),
                "statement_timeout": _ms(settings.database_statement_timeout_s),
                "idle_in_transaction_session_timeout": _ms(settings.database_statement_timeout_s),
            },
        )
    except UNREACHABLE as error:
        raise DatabaseUnavailableError(error) from error


class Database:
    """A pool whose faults are told apart from a statement's."""

    def __init__(self, pool: "Pool", wait_s: float) -> None:
        """wait_s: how long a free connection is waited for."""
        self._pool, self._wait_s = pool, wait_s

    @asynccontextmanager
    async def connection(self) -> AsyncIterator["Connection"]:
        """A connection for as long as the block runs. DatabaseUnavailableError."""
        try:
            async with self._pool.acquire(timeout=self._wait_s) as connection:
                try:
                    yield connection
                except asyncpg.InternalClientError:
                    # The server's farewell met our question: this connection is of no more use.
                    connection.terminate()
                    raise
        except UNREACHABLE as error:
            # asyncpg's DataError is an InterfaceError too: a wrong argument, our own fault.
            if isinstance(error, ValueError):
                raise
            raise DatabaseUnavailableError(error) from error

    async def reachable(self) -> bool:
        """Whether it answers now."""
        try:
            async with self.connection() as connection:
                await connection.fetchval("SELECT 1")
        except DatabaseUnavailableError:
            return False
        return True

    async def close(self) -> None:
        """End all connections; those in use are given a moment first."""
        try:
            await asyncio.wait_for(self._pool.close(), 2.0)
        except TimeoutError:
            self._pool.terminate()


def _ms(seconds: float) -> str:
    return str(round(seconds * 1000))
