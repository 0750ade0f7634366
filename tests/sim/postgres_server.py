"""A PostgreSQL server and asyncpg's pool, as far as the admin uses them, on virtual time.

Rules: a statement outside of a transaction has its whole effect when it arrives; those of a
transaction have theirs together, when its COMMIT arrives. A session's locks last until it ends, and
it ends when the server hears that its client is gone. The errors are asyncpg's own.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import asyncpg

from admin.config import Settings
from admin.switches.store import _MOVE
from tests.sim.network import OPENING, Connection, Network, connect, nothing
from tests.sim.postgres_data import (
    EPOCH,
    LOCK,
    NEEDS_HEAD,
    READS,
    TRY_LOCK,
    UNLOCK,
    WRITES,
    Args,
    Data,
    Row,
)
from tests.sim.world import Node, World

BEGIN, COMMIT, ROLLBACK = "BEGIN", "COMMIT", "ROLLBACK"
_HEAD_ROW = "the head row"


class Session:
    """What the server knows of a connection. snapshot: of a transaction that sees one state."""

    def __init__(self) -> None:
        self.within = self.repeatable = False
        self.snapshot: Data | None = None
        self.writes: list[tuple[str, Args]] = []


class Lock:
    """One lock, and who waits for it."""

    def __init__(self) -> None:
        self.holder: Connection | None = None
        self.waiting: deque[tuple[Connection, Callable[[], None]]] = deque()

    def take(self, connection: Connection, then: Callable[[], None]) -> bool:
        """Call `then` once it is this connection's: now, or later (False)."""
        if self.holder in {None, connection}:
            self.holder = connection
            then()
            return True
        self.waiting.append((connection, then))
        return False

    def free(self, connection: Connection) -> None:
        """The connection holds it no more, and waits for it no more."""
        self.waiting = deque(each for each in self.waiting if each[0] is not connection)
        if self.holder is connection:
            self.holder = None
            if self.waiting:
                self.take(*self.waiting.popleft())


class PostgresServer:
    """The server. data: what is committed. on_commit: told of it. trap: told of a change of the routing, or
    of a switch, that is committed and not answered yet.
    """

    name = "postgres"

    def __init__(self, world: World, settings: Settings) -> None:
        self.world = world
        self.data = Data()
        self.on_commit: Callable[[Data], None] = lambda _: None
        self.trap: Callable[[Connection, str], None] = nothing
        self._lock_timeout_s = settings.database_lock_timeout_s
        self._ahead_s = world.random.uniform(-100.0, 100.0)
        self._sessions: dict[Connection, Session] = {}
        self._locks: dict[Any, Lock] = {}

    def promote(self, data: Data) -> None:
        """A replica takes over, and this is all that it has. Connections must be cut."""
        self.commit(replace(data, timeline=self.data.timeline + 1))

    def commit(self, data: Data) -> None:
        """This is committed now."""
        self.data = data
        self.on_commit(data)

    def broken(self) -> Exception:
        return asyncpg.ConnectionDoesNotExistError("connection was closed in the middle")

    def refused(self) -> Exception:
        return ConnectionRefusedError("nobody listens")

    def lost(self, connection: Connection) -> None:
        self._sessions.pop(connection, None)
        for lock in self._locks.values():
            lock.free(connection)

    def receive(self, connection: Connection, request: Any) -> None:
        if request is OPENING:
            self._sessions[connection] = Session()
            connection.answer(True)
            return
        text, args = request
        session = self._sessions[connection]
        if text in {BEGIN, COMMIT, ROLLBACK}:
            self._transaction(connection, session, text, *args)
        elif text in {LOCK, TRY_LOCK, UNLOCK}:
            self._advisory(connection, text, args[0])
        elif text in NEEDS_HEAD:
            self._in_turn(
                connection, _HEAD_ROW, lambda: self._of_head(connection, session, text, args)
            )
        else:
            answer = self._run(session, text, args)
            if text == _MOVE:
                self.trap(connection, "move")
            connection.answer(answer)

    def _run(self, session: Session, text: str, args: Args) -> list[Row] | int:
        now = EPOCH + timedelta(seconds=self._ahead_s + self.world.now)
        if text in READS:
            seen = self.data
            if session.repeatable:
                seen = session.snapshot = session.snapshot or self.data
            return READS[text](seen, now, args)
        after, touched = WRITES[text](self.data, now, args)
        if session.within:
            session.writes.append((text, args))
        elif after is not self.data:
            self.commit(after)
        return touched

    def _of_head(self, connection: Connection, session: Session, text: str, args: Args) -> None:
        answer = self._run(session, text, args)
        if not session.within:
            self.trap(connection, "commit")
        connection.answer(answer)
        if not session.within:
            self._locks[_HEAD_ROW].free(connection)

    def _transaction(
        self, connection: Connection, session: Session, text: str, repeatable: bool = False
    ) -> None:
        writes, session.writes = session.writes, []
        session.within, session.repeatable = text == BEGIN, repeatable
        session.snapshot = None
        if text == COMMIT:
            for written, args in writes:
                self._run(session, written, args)
            if writes:
                self.trap(connection, "commit")
        connection.answer(0)
        if text != BEGIN and _HEAD_ROW in self._locks:
            self._locks[_HEAD_ROW].free(connection)

    def _advisory(self, connection: Connection, text: str, number: int) -> None:
        lock = self._locks.setdefault(number, Lock())
        if text == LOCK:
            self._in_turn(connection, number, lambda: connection.answer([Row(lock="")]))
            return
        if text == UNLOCK:
            lock.free(connection)
            free = True
        else:
            free = lock.holder is None and lock.take(connection, lambda: None)
        connection.answer([Row(done=free)])

    def _in_turn(self, connection: Connection, name: Any, then: Callable[[], None]) -> None:
        """Once nobody else holds this lock, or an error when that takes too long."""
        lock = self._locks.setdefault(name, Lock())
        if lock.take(connection, then):
            return
        waits = lock.waiting[-1]

        def give_up() -> None:
            if waits in lock.waiting:
                lock.waiting.remove(waits)
                connection.answer(
                    asyncpg.LockNotAvailableError("canceling statement due to lock timeout")
                )

        self.world.after(self._lock_timeout_s, give_up)


class PostgresPool:
    """asyncpg's pool, of one process."""

    def __init__(self, node: Node, settings: Settings) -> None:
        self._node, self._settings = node, settings
        self._network: Network = node.world.network
        self._server: PostgresServer = node.world.servers["postgres"]
        self._room = asyncio.Semaphore(settings.database_pool_max)
        self._idle: list[Connection] = []

    @asynccontextmanager
    async def acquire(self, timeout: float) -> AsyncIterator["PostgresConnection"]:  # noqa: ASYNC109
        """A connection for as long as the block runs."""
        async with asyncio.timeout(timeout):
            await self._room.acquire()
        try:
            async with asyncio.timeout(timeout):
                connection = await self._connection()
            try:
                yield PostgresConnection(connection, self._settings.database_statement_timeout_s)
            finally:
                if connection.open:
                    self._idle.append(connection)
        finally:
            self._room.release()

    async def _connection(self) -> Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.open:
                return connection
        limit_s = self._settings.database_connect_timeout_s
        return await connect(self._network, self._node, self._server, limit_s)


class PostgresConnection:
    """asyncpg's connection."""

    def __init__(self, connection: Connection, limit_s: float) -> None:
        self._connection, self._limit_s = connection, limit_s
        self._within = False

    async def _ask(self, text: str, args: Args) -> Any:
        return await self._connection.ask((text, args), self._limit_s)

    async def fetch(self, text: str, *args: Any) -> list[Row]:
        found: list[Row] = await self._ask(text, args)
        return found

    async def fetchrow(self, text: str, *args: Any) -> Row | None:
        found = await self._ask(text, args)
        return found[0] if found else None

    async def fetchval(self, text: str, *args: Any) -> Any:
        """The first value; of a writing statement that gives one back, how many rows it wrote."""
        found = await self._ask(text, args)
        if isinstance(found, int):
            return found or None
        return next(iter(found[0])) if found else None

    async def execute(self, text: str, *args: Any) -> str:
        found = await self._ask(text, args)
        if not isinstance(found, int):
            return f"SELECT {len(found)}"
        return f"INSERT 0 {found}" if text.lstrip().startswith("INSERT") else f"UPDATE {found}"

    def is_closed(self) -> bool:
        return not self._connection.open

    def terminate(self) -> None:
        self._connection.close()

    @asynccontextmanager
    async def transaction(
        self, *, isolation: str = "", readonly: bool = False
    ) -> AsyncIterator[None]:
        if self._within:  # a savepoint: what is done in it is done with the rest
            yield
            return
        await self._ask(BEGIN, (isolation == "repeatable_read" and readonly,))
        self._within = True
        try:
            yield
        except BaseException:
            self._within = False
            await self._ask(ROLLBACK, ())
            raise
        self._within = False
        await self._ask(COMMIT, ())
