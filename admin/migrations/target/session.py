"""Sessions on the databases of targets, opened by reference and kept for the next job.

Rules:
1. Nothing of a migration runs without a lock time-out and a statement time-out: `Session.run` is
   the only way, and it sets both before each statement, whatever the one before has set.
2. A session names its fence (application_name), so that who comes after can end it.
3. A server that hangs can't keep its own time-outs: each wait for it has a bound here too.
4. A connection is used again only after an end in good order, and with nothing left on it.
5. No error holds a URL, a part of one, or what a server's address is.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import asyncpg

from admin.migrations.config import Settings
from admin.migrations.faults import LOST, RETRYABLE, Again, Failed, Failure, remedy
from admin.migrations.references import ReferenceFault, database_url
from admin.migrations.targets import Target, literal, quoted

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = Any

APPLICATION = "turnout-worker"
CHECK_MS = 1000
"""How often a busy backend looks whether its client is still there: a killed worker's CREATE INDEX
ends within this time."""
SILENCE_S = 5.0
"""How much longer than its time-out a statement is waited for: a server that hasn't spoken by then hangs."""
_CLOSE_S = 2.0
_UNLOCK = "SELECT pg_advisory_unlock_all()"


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a lock is waited for, and how long a statement may take, in seconds."""

    lock_s: float
    statement_s: float

    def __post_init__(self) -> None:
        # PostgreSQL reads 0 as "for ever", and what is below a millisecond as 0.
        if min(self.lock_s, self.statement_s) < 0.001:
            raise ValueError("a migration runs with time-outs of at least a millisecond")

    def sql(self, word: str) -> str:
        """The statements that set them. word: SET or SET LOCAL."""
        return (
            f"{word} lock_timeout = {round(self.lock_s * 1000)};"
            f"{word} statement_timeout = {round(self.statement_s * 1000)};"
        )


class Session:
    """One connection in the hands of one job."""

    def __init__(self, connection: Connection, target: Target, path: str, limits: Limits) -> None:
        """path: the search path, quoted."""
        self.connection, self.target, self.limits = connection, target, limits
        self._path = path

    async def begin(self) -> None:
        """Begin a transaction with time-outs and the target's search path."""
        await self.connection.execute(f"BEGIN; {self._settings('SET LOCAL')}")

    async def commit(self) -> None:
        """Make the transaction's work last."""
        await self.connection.execute("COMMIT")

    async def leave(self, *, unlocks: bool) -> None:
        """Drop the transaction's work. unlocks: the session's advisory locks too.

        A connection on which that can't be had is cut: the server does the same as soon as it looks.
        """
        try:
            async with asyncio.timeout(_CLOSE_S):
                if not self.connection.is_closed() and self.connection.is_in_transaction():
                    await self.connection.execute("ROLLBACK")
                if unlocks and not self.connection.is_closed():
                    await self.connection.execute(_UNLOCK)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            self.connection.terminate()

    async def run(self, sql: str, limits: Limits | None = None) -> str:
        """Run one statement of a migration; its command tag. limits: in place of the session's."""
        word = "SET LOCAL" if self.connection.is_in_transaction() else "SET"
        await self.connection.execute(self._settings(word, limits))
        return await self.connection.execute(sql)

    def _settings(self, word: str, limits: Limits | None = None) -> str:
        return f"{(limits or self.limits).sql(word)}{word} search_path TO {self._path}"


class Sessions:
    """The sessions of one worker; those that are idle are kept, a bounded number for each server."""

    def __init__(self, settings: Settings, environ: Mapping[str, str] | None = None) -> None:
        """environ: where references of the kind env: are looked up; None: this process's."""
        self._settings, self._environ = settings, environ
        self._idle: dict[str, list[tuple[str, Connection]]] = defaultdict(list)
        """By server: its databases and their connections, the one that was used last at the end."""

    @asynccontextmanager
    async def open(self, target: Target, fence: int, limits: Limits) -> AsyncIterator[Session]:
        """A session for one job. Again, Failed: it can't be had."""
        connection = await self._take(target)
        good = False
        try:
            name = literal(f"{APPLICATION} {fence} {target.name}"[:63])
            await connection.execute(f"SET application_name TO {name}")
            path = ", ".join(map(quoted, (target.schema, *self._settings.extra_schemas)))
            yield Session(connection, target, path, limits)
            good = not connection.is_closed() and not connection.is_in_transaction()
        finally:
            if good:
                await self._keep(target, connection)
            else:
                await _close(connection)

    async def close(self) -> None:
        """End those that are idle."""
        idle = [each for kept in self._idle.values() for _, each in kept]
        self._idle.clear()
        await asyncio.gather(*map(_close, idle))

    async def _keep(self, target: Target, connection: Connection) -> None:
        """For the next job; beyond the bound, that which was used longest ago is closed for it."""
        kept = self._idle[target.server]
        kept.append((target.database, connection))
        over = len(kept) - self._settings.idle_connections
        if over > 0:
            closing = [each for _, each in kept[:over]]
            del kept[:over]
            await asyncio.gather(*map(_close, closing))

    def _kept(self, target: Target) -> Connection | None:
        """An idle one on the target's database, no longer kept."""
        kept = self._idle[target.server]
        for index in reversed(range(len(kept))):
            if kept[index][0] == target.database:
                return kept.pop(index)[1]
        return None

    async def _take(self, target: Target) -> Connection:
        while (connection := self._kept(target)) is not None:
            try:
                await connection.execute("DISCARD ALL", timeout=self._settings.connect_timeout_s)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await _close(connection)
            except asyncio.CancelledError:
                connection.terminate()  # it is nobody's by now
                raise
            else:
                return connection
        return await self._connect(target)

    async def _connect(self, target: Target) -> Connection:
        server = self._settings.servers.get(target.server)
        if server is None:
            raise Failed(_missing(target, f"this worker knows no server {target.server}"))
        try:
            return await asyncpg.connect(
                database_url(server.url, self._environ),
                database=target.database or None,
                timeout=self._settings.connect_timeout_s,
                command_timeout=self._settings.statement_timeout_s + SILENCE_S,
                statement_cache_size=0,
                server_settings={
                    "application_name": APPLICATION,
                    "lock_timeout": _ms(self._settings.lock_timeout_s),
                    "statement_timeout": _ms(self._settings.statement_timeout_s),
                    "idle_in_transaction_session_timeout": _ms(self._settings.lease_s),
                    "client_connection_check_interval": str(CHECK_MS),
                },
            )
        except ReferenceFault as error:
            raise Failed(_missing(target, str(error))) from None
        except ValueError:
            # Its words repeat parts of the URL, and what isn't percent-encoded in one is a password.
            message = f"{server.url}: what stands there is no URL that can be used"
            raise Failed(_missing(target, message)) from None
        except asyncpg.PostgresError as error:
            state = error.sqlstate or LOST
            if state in RETRYABLE:
                raise Again(state) from None
            message = f"{target.server} refuses the worker ({type(error).__name__})"
            raise Failed(
                Failure(message, remedy(state, ""), code="refused", sqlstate=state)
            ) from None
        except (OSError, TimeoutError, asyncpg.InterfaceError) as error:
            # Their messages hold addresses: the class.
            raise Again(
                "08001", f"{target.server} can't be reached ({type(error).__name__})"
            ) from None


def _missing(target: Target, message: str) -> Failure:
    advice = f"Give the worker [migrations.servers.{target.server}] and what its url names."
    return Failure(message, advice, code="no-server")


async def _close(connection: Connection) -> None:
    """End it, in good order if it can be had at once."""
    if connection.is_closed():
        return
    if connection.is_in_transaction():
        connection.terminate()
        return
    try:
        await asyncio.wait_for(connection.close(), _CLOSE_S)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        connection.terminate()


def _ms(seconds: float) -> str:
    return str(round(seconds * 1000))
