"""Plain connections to endpoints: bytes, no HTTP. Each is made for one tunnel and used once.

Rules: the endpoint with the least open connections is tried first, and one other after it. What
an endpoint says before its tunnel stands is held, at most one read of it. An attempt that nobody
waits for any more is broken off.
"""

import asyncio
from collections.abc import Sequence
from typing import Protocol, cast

from proxy.observability import telemetry
from proxy.observability.telemetry import REST, Block, group_of
from proxy.routing.model import Endpoint, Slot
from proxy.tasks import Tasks

_TRIES = 2


class PlainConnection(asyncio.Protocol):
    """One connection. early: what came before its tunnel took over. ended: so did the end."""

    __slots__ = ("_endpoint", "_pool", "_slot", "closed", "early", "ended", "made", "transport")

    def __init__(self, pool: "PlainPool", endpoint: Endpoint, slot: int) -> None:
        self._pool = pool
        self._endpoint = endpoint
        self._slot = slot
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.early = b""
        self.ended = False
        self.made = False
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It counts as open."""
        self.transport = cast("asyncio.Transport", transport)
        self.made = True
        self._pool.opened(self._slot)

    def data_received(self, data: bytes) -> None:
        """An endpoint that speaks first: hold it, and read no more for now."""
        self.early += data
        self.transport.pause_reading()

    def eof_received(self) -> bool:
        """It has ended its direction already."""
        self.ended = True
        return True

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """It counts no more."""
        self.closed = True
        self._pool.lost(self._endpoint, self._slot)


class Claimant(Protocol):
    """Who waits for a connection."""

    def connected(self, endpoint: PlainConnection) -> None:
        """Here it is."""

    def connect_failed(self) -> None:
        """No endpoint can be reached."""


class Attempt:
    """One wait for a connection. `cancel` when the claimant no longer wants it."""

    __slots__ = ("claimant", "task")

    def __init__(self, claimant: Claimant) -> None:
        self.claimant: Claimant | None = claimant
        self.task: asyncio.Task[None] | None = None

    def cancel(self) -> None:
        """Connect no further; what is made already is closed."""
        self.claimant = None
        if self.task is not None:
            self.task.cancel()


class PlainPool:
    """Connects on behalf of one listener. connect_s: seconds for each endpoint."""

    def __init__(self, block: Block, connect_s: float) -> None:
        self._counts = tuple(block.groups[group_of(n, REST)].values for n in range(len(Slot)))
        self._connect_s = connect_s
        self._open: dict[Endpoint, int] = {}
        self._tasks = Tasks("plain connections")

    def __repr__(self) -> str:
        return f"<PlainPool {self._open}>"

    def connect(self, slot: int, endpoints: Sequence[Endpoint], claimant: Claimant) -> Attempt:
        """Connect to one of these for the claimant, who hears of it later. slot: 0 blue, 1 green."""
        attempt = Attempt(claimant)
        attempt.task = self._tasks.start(self._connect(attempt, slot, endpoints), "connect")
        return attempt

    async def _connect(self, attempt: Attempt, slot: int, endpoints: Sequence[Endpoint]) -> None:
        for endpoint in sorted(endpoints, key=self._open_to)[:_TRIES]:
            connection = await self._dial(endpoint, slot)
            if connection is None or connection.closed:
                continue
            if attempt.claimant is None:
                connection.transport.abort()
            else:
                attempt.claimant.connected(connection)
            return
        if attempt.claimant is not None:
            attempt.claimant.connect_failed()

    def _open_to(self, endpoint: Endpoint) -> int:
        return self._open.get(endpoint, 0)

    async def _dial(self, endpoint: Endpoint, slot: int) -> PlainConnection | None:
        connection = PlainConnection(self, endpoint, slot)
        self._open[endpoint] = self._open_to(endpoint) + 1
        try:
            async with asyncio.timeout(self._connect_s):
                await asyncio.get_running_loop().create_connection(
                    lambda: connection, endpoint.host, endpoint.port
                )
        except (OSError, ValueError):  # TimeoutError is the one, a name that can't be the other
            self._counts[slot][telemetry.CONNECT_FAILURES] += 1
            self._give_up(connection, endpoint)
            return None
        except asyncio.CancelledError:
            self._give_up(connection, endpoint)
            raise
        return connection

    def _give_up(self, connection: PlainConnection, endpoint: Endpoint) -> None:
        """Count it no more, at once or when a connection that was just made is gone."""
        if connection.made:
            connection.transport.abort()
        else:
            self._release(endpoint)

    def opened(self, slot: int) -> None:
        """A connection is made."""
        self._counts[slot][telemetry.ENDPOINT_CONNECTIONS] += 1

    def lost(self, endpoint: Endpoint, slot: int) -> None:
        """A connection is gone."""
        self._counts[slot][telemetry.ENDPOINT_CONNECTIONS] -= 1
        self._release(endpoint)

    def _release(self, endpoint: Endpoint) -> None:
        left = self._open[endpoint] - 1
        if left:
            self._open[endpoint] = left
        else:
            del self._open[endpoint]  # or those that left the slots would stay for ever

    async def close(self) -> None:
        """Give up connecting."""
        await self._tasks.cancel()
