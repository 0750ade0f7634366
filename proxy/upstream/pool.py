"""The connections to one endpoint: claimed, counted, kept for the next exchange.

Rules: claiming counts in the same step, so that in flight is never too low. A connection that
idled is given to a request that must not be sent twice only if it was used just now and has
nothing to read (an end of file, most likely): RFC 9110 §9.2.2 lets nobody repeat such a request
when the connection turns out to be dead.
"""

import asyncio
import select
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol, cast

from proxy.http1.parser import ResponseParser
from proxy.observability import telemetry
from proxy.observability.telemetry import Group
from proxy.routing.model import Endpoint
from proxy.tasks import Tasks
from proxy.tls.endpoints import EndpointSecurity
from proxy.upstream.connection import AnswerLimits, EndpointConnection, Owner
from proxy.upstream.health import Health


@dataclass(frozen=True)
class PoolLimits:
    """How a pool waits and how much it takes.

    connect_timeout_s, idle_timeout_s: seconds. fresh_s: how long after its last use a
    connection is given to non-idempotent requests. max_connections: to one endpoint.
    answer: see there.
    """

    connect_timeout_s: float
    idle_timeout_s: float
    fresh_s: float
    max_connections: int
    answer: AnswerLimits


class Claimant(Protocol):
    """Who waits for a new connection."""

    def connected(self, connection: EndpointConnection) -> None:
        """Here it is."""

    def connect_failed(self) -> None:
        """The endpoint can't be reached."""


class Claim:
    """One wait for a connection. `cancel` when the claimant no longer wants it."""

    __slots__ = ("claimant",)

    def __init__(self, claimant: Claimant) -> None:
        self.claimant: Claimant | None = claimant

    def cancel(self) -> None:
        """The connection, once made, goes to the pool."""
        self.claimant = None


class Room:
    """The slot, as a pool sees it."""

    __slots__ = ()

    def wake(self) -> None:
        """There may be room for who waits for a connection."""


class Pool(Owner):
    """One endpoint's connections in one worker. group: where they are counted.

    idle: connections that wait for an exchange, the last used last. health: what is thought of the
    endpoint; see there. room: told when a connection is free that no exchange gave back. in_flight:
    what was claimed here and is not over yet. tunnels: those of them that have nothing more to say
    of the endpoint.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        limits: PoolLimits,
        parser: ResponseParser,
        group: Group,
        health: Health,
        room: Room,
        security: EndpointSecurity | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.health = health
        self._room = room
        self.in_flight = 0
        self.tunnels = 0
        self.retired = False
        self._limits = limits
        self._parser = parser
        self._counts = group.values
        self.idle: list[EndpointConnection] = []
        self._open = 0
        self._security = security
        self._tasks = Tasks(f"pool {endpoint}")
        self._checks: asyncio.Task[Any] | None = None

    def __repr__(self) -> str:
        return (
            f"<Pool {self.endpoint} open={self._open} idle={len(self.idle)} "
            f"in_flight={self.in_flight}{' retired' if self.retired else ''}>"
        )

    def take(self, repeatable: bool) -> EndpointConnection | None:
        """An idle connection that this request may use, or None: then `connect`."""
        idle = self.idle
        while idle:
            connection = idle.pop()
            if connection.closed:
                continue
            if not repeatable:
                if time.monotonic() - connection.idle_since > self._limits.fresh_s:
                    idle.append(connection)  # the others have idled longer still
                    return None
                if _has_something_to_read(connection):
                    connection.close()
                    continue
            connection.reused = True
            return connection
        return None

    @property
    def full(self) -> bool:
        """Whether no further connection may be opened, even in place of an idle one."""
        return self._open - len(self.idle) >= self._limits.max_connections

    def connect(self, claimant: Claimant) -> Claim:
        """Open a connection for the claimant, who hears of it later."""
        claim = Claim(claimant)
        if self._open >= self._limits.max_connections and self.idle:
            self.idle.pop(0).close()  # the one that idled longest makes room
        self._open += 1
        self._tasks.start(self._connect(claim), "connect")
        return claim

    async def dial(self, protocol: Callable[[], asyncio.Protocol]) -> None:
        """Open a connection to the endpoint. protocol: makes what is to be joined to it.

        OSError or ValueError: it can't be reached. Names are resolved for each connection, in
        the loop's few threads; the caller's time-out bounds that too.
        """
        if self._security is not None:
            await self._security.connect(self.endpoint, protocol())
            return
        loop = asyncio.get_running_loop()
        await loop.create_connection(protocol, self.endpoint.host, self.endpoint.port)

    async def _connect(self, claim: Claim) -> None:
        limits = self._limits
        connection = EndpointConnection(self._parser, self, limits.idle_timeout_s, limits.answer)
        # asyncio asks for no base class, only for the methods; see `proxy.parties`.
        protocol = cast("asyncio.Protocol", connection)
        try:
            async with asyncio.timeout(self._limits.connect_timeout_s):
                await self.dial(lambda: protocol)
        # TimeoutError is the one, a name that can't be the other.
        except (OSError, ValueError) as error:
            if self._security is not None:
                self._security.failures.say(f"TLS to endpoint {self.endpoint}", error)
            if not connection.made:  # else `lost` is told of it: the time ended as it was made
                self._open -= 1
            self._counts[telemetry.CONNECT_FAILURES] += 1
            if claim.claimant is not None:
                claim.claimant.connect_failed()
            else:
                self._room.wake()
            return
        if claim.claimant is None:
            self._keep(connection, time.monotonic())
            self._room.wake()
        elif connection.closed:
            claim.claimant.connect_failed()
        else:
            claim.claimant.connected(connection)

    def give_back(self, connection: EndpointConnection, now: float) -> None:
        """The exchange is over: keep the connection if it can serve another."""
        connection.holder = None
        if connection.keep_alive and not connection.owes_answer and not self.retired:
            connection.idle_since = now
            self.idle.append(connection)
        else:
            connection.close()

    def _keep(self, connection: EndpointConnection, now: float) -> None:
        if self.retired or connection.closed:
            connection.close()
            return
        connection.idle_since = now
        self.idle.append(connection)

    def check_by(self, checks: Coroutine[Any, Any, None]) -> None:
        """Run health checks until the endpoint is retired."""
        self._checks = self._tasks.start(checks, "health checks")

    def retire(self) -> None:
        """The endpoint left the slot: exchanges under way finish, nothing is kept."""
        self.retired = True
        if self._checks is not None:
            self._checks.cancel()
        for connection in self.idle:
            connection.close()
        self.idle.clear()

    def sweep(self, now: float) -> None:
        """Close what has idled too long. now: monotonic seconds."""
        kept = []
        for connection in self.idle:
            if now - connection.idle_since >= connection.idle_limit_s:
                connection.close()
            elif not connection.closed:
                kept.append(connection)
        self.idle = kept

    async def close(self) -> None:
        """Retire, and give up connecting."""
        self.retire()
        await self._tasks.cancel()

    def opened(self) -> None:
        """A connection was made (it has counted as open since `connect`)."""
        self._counts[telemetry.ENDPOINT_CONNECTIONS] += 1

    def lost(self, connection: EndpointConnection) -> None:
        """A connection is gone."""
        self._open -= 1
        self._counts[telemetry.ENDPOINT_CONNECTIONS] -= 1
        if connection.holder is None and connection in self.idle:
            self.idle.remove(connection)
        self._room.wake()


def _has_something_to_read(connection: EndpointConnection) -> bool:
    """An end of file that the loop has not told yet, or bytes that nobody asked for."""
    connected = connection.transport.get_extra_info("socket")
    if connected is None:  # TLS has let go of it, and `connection_lost` is on its way
        return True
    poll = select.poll()
    poll.register(connected.fileno(), select.POLLIN)
    return bool(poll.poll(0))
