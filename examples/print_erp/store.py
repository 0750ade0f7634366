"""PostgreSQL: a bounded pool whose every wait has an end, and whose outages become 503.

The only file that opens connections. Statements live beside the resource that they serve.
"""

import asyncio
import os
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from examples.print_erp.problems import Problem, unavailable

ACQUIRE_SECONDS = 5.0
STATEMENT_SECONDS = 10.0

_OUTAGES = (OSError, TimeoutError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError)
# The server is starting, stopping, full or cancelled us: the same request may succeed later.
_BUSY = (
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.QueryCanceledError,
)


def new_id() -> uuid.UUID:
    """A UUID of version 7 (RFC 9562 §5.7): sorted by creation, so that lists page by it."""
    milliseconds = time.time_ns() // 1_000_000
    noise = int.from_bytes(os.urandom(10), "big")
    value = (milliseconds & (1 << 48) - 1) << 80 | noise
    value = value & ~(0xF << 76) | 7 << 76
    return uuid.UUID(int=value & ~(0b11 << 62) | 0b10 << 62)


class Store:
    """The statements of this instance, each on a pooled connection."""

    def __init__(self, pool: "asyncpg.Pool[asyncpg.Record]") -> None:
        self._pool = pool

    @classmethod
    async def open(cls, url: str, connections: int, instance: str) -> "Store":
        """Connect once, so that a wrong URL is known at start; at most `connections` later."""
        pool = await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=connections,
            timeout=ACQUIRE_SECONDS,
            command_timeout=STATEMENT_SECONDS,
            server_settings={"application_name": f"print-erp {instance}"[:63]},
        )
        return cls(pool)

    async def close(self, seconds: float = 2.0) -> None:
        """Give the connections back; those that do not end in time are cut."""
        try:
            await asyncio.wait_for(self._pool.close(), seconds)
        except TimeoutError:
            self._pool.terminate()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        try:
            async with self._pool.acquire(timeout=ACQUIRE_SECONDS) as connection:
                yield connection
        except (*_OUTAGES, *_BUSY) as error:
            raise unavailable("the database does not answer") from error
        except asyncpg.ForeignKeyViolationError as error:
            raise Problem(409, "in-use", "this refers to, or is used by, another record") from error
        except (asyncpg.DataError, asyncpg.CheckViolationError) as error:
            raise Problem(400, "invalid", "the database refuses a value") from error

    async def rows(self, statement: str, *values: Any) -> list[Any]:
        """Every row. Problem 503 when the database does not answer, 409 and 400 as it refuses."""
        async with self._connection() as connection:
            return list(await connection.fetch(statement, *values))

    async def row(self, statement: str, *values: Any) -> Any:
        """The first row or None; problems as `rows`."""
        async with self._connection() as connection:
            return await connection.fetchrow(statement, *values)

    async def run(self, statement: str, *values: Any) -> int:
        """How many rows the statement touched; problems as `rows`."""
        async with self._connection() as connection:
            tag = await connection.execute(statement, *values)
        return int(tag.rpartition(" ")[2])
