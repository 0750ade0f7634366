"""Plain connections to endpoints: bytes, no HTTP. Each is made for one tunnel and used once.

Rules:
1. Which endpoint, and which none: as for requests (see cluster.py), but judged apart for each TCP
   listener, by what can be seen there: whether a connection can be made.
2. What can't be made is tried once more, at another endpoint: nothing was sent yet.
3. What an endpoint says before its tunnel stands is held, at most one read of it.
4. An attempt that nobody waits for any more is broken off.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final, Protocol, cast

from proxy.config import TcpListener
from proxy.http1.reply import LocalReply
from proxy.observability import telemetry
from proxy.observability.telemetry import Group
from proxy.routing.model import Endpoint, Slot
from proxy.tasks import Tasks
from proxy.upstream.cluster import Cluster
from proxy.upstream.pool import Pool
from proxy.upstream.slots import Slots

_TRIES: Final = 2

Endpoints = Mapping[Slot, tuple[Endpoint, ...]]


class PlainConnection(asyncio.Protocol):
    """One connection. early: what came before its tunnel took over. ended: so did the end."""

    __slots__ = ("_counts", "_pool", "closed", "early", "ended", "made", "transport")

    def __init__(self, pool: Pool, counted: Group) -> None:
        self._pool = pool
        self._counts = counted.values
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.early = b""
        self.ended = False
        self.made = False
        self.closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It counts as open."""
        self.transport = cast("asyncio.Transport", transport)
        self.made = True
        self._pool.tunnels += 1
        self._counts[telemetry.ENDPOINT_CONNECTIONS] += 1

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
        self._pool.tunnels -= 1
        self._pool.in_flight -= 1
        self._counts[telemetry.ENDPOINT_CONNECTIONS] -= 1

    def give_up(self) -> None:
        """Count it no more, at once or when a connection that was just made is gone."""
        if self.made:
            self.transport.abort()
        else:
            self._pool.in_flight -= 1


class Claimant(Protocol):
    """Who waits for a connection."""

    def connected(self, endpoint: PlainConnection) -> None:
        """Here it is."""

    def connect_failed(self, refusal: LocalReply) -> None:
        """There is no endpoint, or none can be reached."""


class Attempt:
    """One wait for a connection. `cancel` when the claimant no longer wants it."""

    __slots__ = ("_task",)

    def __init__(self, task: "asyncio.Task[None]") -> None:
        self._task = task

    def cancel(self) -> None:
        """Connect no further; what is made already is closed."""
        self._task.cancel()


class PlainEndpoints:
    """Those of one TCP listener. slots: its own, shared with nobody."""

    def __init__(self, settings: TcpListener, slots: Slots) -> None:
        self._settings = settings
        self._slots = slots
        self._table: Endpoints | None = None
        self._tasks = Tasks("plain connections")

    def __repr__(self) -> str:
        return f"<PlainEndpoints {[group.pools for group in self._slots.groups]}>"

    def update(self, table: Endpoints) -> None:
        """Serve by the endpoints of this table from now on."""
        if table != self._table:  # most changes concern tenants, and ports may be many
            self._table = table
            self._slots.update(_served(self._settings, table))

    def connect(self, slot_number: int, claimant: Claimant) -> Attempt:
        """Connect to an endpoint of a slot for the claimant, who hears of it later."""
        work = self._connect(self._slots.groups[slot_number], claimant)
        return Attempt(self._tasks.start(work, "connect"))

    async def _connect(self, cluster: Cluster, claimant: Claimant) -> None:
        failed: Pool | None = None
        for _ in range(_TRIES):
            pool = cluster.claim(failed)
            if pool is None:
                break
            connection = await self._dial(cluster, pool)
            if connection is not None:
                claimant.connected(connection)
                return
            failed = pool
        claimant.connect_failed(cluster.refusal(failed))

    async def _dial(self, cluster: Cluster, pool: Pool) -> PlainConnection | None:
        """A connection to an endpoint that was claimed; None: it failed."""
        connection = PlainConnection(pool, cluster.counted)
        try:
            async with asyncio.timeout(self._settings.connect_s):
                await pool.dial(lambda: connection)
        except (OSError, ValueError):  # TimeoutError is the one, a name that can't be the other
            cluster.counted.values[telemetry.CONNECT_FAILURES] += 1
            connection.give_up()
            cluster.failed(pool, self._slots.now)
            return None
        except asyncio.CancelledError:
            connection.give_up()
            raise
        if connection.closed:  # reset as it was made
            cluster.failed(pool, self._slots.now)
            return None
        cluster.joined(pool, self._slots.now)
        return connection

    def sweep(self, now: float) -> None:
        """Act on what time has brought. now: monotonic seconds."""
        self._slots.sweep(now)

    async def close(self) -> None:
        """Give up connecting and checking."""
        await self._tasks.cancel()
        await self._slots.close()


def _served(settings: TcpListener, table: Endpoints) -> Endpoints:
    """A listener's endpoints: its own, or its port at each host of the table's."""
    if not settings.port:
        own = {Slot.BLUE: settings.blue, Slot.GREEN: settings.green}
        return {slot: _each_once(map(Endpoint.parse, own[slot])) for slot in Slot}
    return {
        slot: _each_once(Endpoint(each.host, settings.port) for each in endpoints)
        for slot, endpoints in table.items()
    }


def _each_once(endpoints: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
    return tuple(dict.fromkeys(endpoints))
