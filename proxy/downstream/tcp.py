"""Plain TCP clients (equipment): a tenant by the port or by the name in TLS, then a tunnel.

Rules:
1. `TRANSITIONS` is a connection's whole life until its tunnel has it.
2. The slot is decided once, when the connection begins, by the same router as requests: a tenant
   that moves takes its new connections along, and leaves the open ones.
3. TLS is not opened: only the ClientHello is read, in bounds, and goes on with the rest.
4. There is no language to refuse in: who can't be served is closed, and counted among the
   proxy's own answers by the status that a request would have got.
"""

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from enum import IntEnum
from time import monotonic
from typing import Final, Protocol, cast

from proxy.config import TcpListener
from proxy.downstream.acceptor import Acceptor
from proxy.downstream.client_hello import HelloError, IncompleteError, server_name
from proxy.exchange.services import Services
from proxy.exchange.tunnel import Tunnel
from proxy.http1 import reply as replies
from proxy.http1.reply import LocalReply
from proxy.observability import telemetry
from proxy.parties import Upgraded
from proxy.router import NOWHERE
from proxy.routing.identity import Identity, IdentityRules, Rejected, Source, identify
from proxy.routing.model import Endpoint, Slot

log = logging.getLogger("turnout.tcp")


class State(IntEnum):
    """Where a connection stands."""

    HELLO = 0  # its ClientHello is not complete
    CONNECTING = 1  # its slot is decided; an endpoint is being connected to
    TUNNEL = 2  # the tunnel has both sides
    ENDED = 3  # it is closing, or gone


class Event(IntEnum):
    """What happens to a connection."""

    ROUTED = 0  # its slot is decided
    CONNECTED = 1  # an endpoint is there
    CLOSE = 2  # it can't be served, or a side is gone


TRANSITIONS: Final = {
    (State.HELLO, Event.ROUTED): State.CONNECTING,
    (State.HELLO, Event.CLOSE): State.ENDED,
    (State.CONNECTING, Event.CONNECTED): State.TUNNEL,
    (State.CONNECTING, Event.CLOSE): State.ENDED,
    (State.TUNNEL, Event.CLOSE): State.ENDED,
    (State.ENDED, Event.CLOSE): State.ENDED,
}

BAD_HELLO: Final = LocalReply(400, "bad-client-hello", "the connection begins with no TLS")
NO_HELLO: Final = LocalReply(408, "hello-timeout", "the ClientHello did not arrive in time")
_RULES_ORDER: Final = (Source.SUBDOMAIN,)


class Joinable(Upgraded, Protocol):
    """A new connection to an endpoint. early, ended: what it has said already."""

    early: bytes
    ended: bool


class Claimant(Protocol):
    """Who waits for one; see `proxy.upstream.plain`."""

    def connected(self, endpoint: Joinable) -> None:
        """Here it is."""

    def connect_failed(self) -> None:
        """No endpoint can be reached."""


class Attempt(Protocol):
    """One wait for a connection."""

    def cancel(self) -> None:
        """It is no longer wanted."""


Connect = Callable[[int, Sequence[Endpoint], Claimant], Attempt]
"""Connect to one of these endpoints; the number of their slot (0 blue) comes first."""


class TcpConnection(asyncio.Protocol):
    """One client. deadline: monotonic seconds by which the tunnel must stand."""

    __slots__ = (
        "_attempt",
        "_began",
        "_client",
        "_door",
        "_ended",
        "_group",
        "_held",
        "_joined_to",
        "_routed",
        "_services",
        "_tunnel",
        "deadline",
        "state",
        "transport",
    )

    def __init__(self, services: Services, door: "TcpDoor") -> None:
        self._services = services
        self._door = door
        self._attempt: Attempt | None = None
        self._tunnel: Tunnel | None = None
        self._held = b""
        self._ended = False
        self._began = monotonic()
        self._routed = NOWHERE
        self._client = self._joined_to = ""
        self._group = services.block.groups[telemetry.LOCAL]
        self.state = State.HELLO
        self.deadline = services.now + door.settings.hello_s
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)

    def __repr__(self) -> str:
        return f"<TcpConnection {self.state.name} {self._tunnel}>"

    def _advance(self, event: Event) -> None:
        following = TRANSITIONS.get((self.state, event))
        if following is None:
            raise RuntimeError(f"a connection in {self.state.name} can't take {event.name}")
        self.state = following

    # ── asyncio ───────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A port of one tenant is decided at once; else the ClientHello is waited for."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(self._services.settings.limits.write_buffer_bytes)
        self._client = _name_of(self.transport).rpartition(":")[0]
        self._door.entered(self)
        if self._door.settings.tenant:
            self._route(self._door.settings.tenant)

    def data_received(self, data: bytes) -> None:
        """Hold what comes before the tunnel stands: a ClientHello, then one read more."""
        if self.state is State.ENDED:
            return
        self._held += data
        if self.state is State.HELLO:
            self._read_hello()
        if self.state is State.CONNECTING:
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        """A client may send all it has, end, and wait for the answer."""
        self._ended = True
        return self.state is State.CONNECTING

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """The client is gone before the tunnel stood."""
        self._end()
        self._door.left(self)

    # ── whose it is, and where it goes ────────────────────────────────────────────────────────

    def _read_hello(self) -> None:
        try:
            name = server_name(self._held)
        except IncompleteError:
            return
        except HelloError:
            self._refuse(BAD_HELLO)
            return
        tenant = self._door.tenant(name)
        if isinstance(tenant, LocalReply):
            self._refuse(tenant)
        else:
            self._route(tenant)

    def _route(self, tenant: str | None) -> None:
        services = self._services
        route = services.router.route_tenant(tenant, services.next_request_id())
        if isinstance(route, LocalReply):
            self._refuse(route)
            return
        endpoints = self._door.endpoints(route.slot)
        if not endpoints:
            self._refuse(replies.NO_ENDPOINT)
            return
        self._routed = route
        self._group = services.block.groups[route.group]
        self._advance(Event.ROUTED)
        self._attempt = self._door.connect(route.slot_number, endpoints, self)

    def connected(self, endpoint: Joinable) -> None:
        """Join both; first what they have said already."""
        self._attempt = None
        if self.transport.is_closing():
            endpoint.transport.abort()
            return
        self._advance(Event.CONNECTED)
        held, self._held = self._held, b""
        self._joined_to = _name_of(endpoint.transport)
        self._tunnel = tunnel = Tunnel(
            self._services,
            self.transport,
            endpoint,
            self._group,
            self._tunnel_closed,
            idle_s=self._door.settings.idle_s,
        )
        for side, said, ended in (
            (tunnel.client, held, self._ended),
            (tunnel.endpoint, endpoint.early, endpoint.ended),
        ):
            if said:
                side.data_received(said)
            if ended:
                side.eof_received()
            elif not side.transport.is_reading() and not side.transport.is_closing():
                side.transport.resume_reading()

    def connect_failed(self) -> None:
        """Neither of two endpoints could be reached."""
        self._attempt = None
        self._refuse(replies.CONNECT_FAILED)

    def _refuse(self, refusal: LocalReply) -> None:
        log.info("a connection to %s is closed: %s", self._door.settings.listen, refusal.code)
        self._services.block.groups[telemetry.LOCAL].finished(refusal.status, 0)
        self._end()

    def _end(self) -> None:
        self._advance(Event.CLOSE)
        self._held = b""
        if self._attempt is not None:
            self._attempt.cancel()
            self._attempt = None
        self.transport.abort()

    def _tunnel_closed(self) -> None:
        lines, tunnel = self._services.observing.log, self._tunnel
        if lines is not None and tunnel is not None:
            taken = tunnel.client.taken, tunnel.endpoint.taken
            door = self._door.settings.listen
            lines.joined(self._client, door, self._routed, self._joined_to, self._began, taken)
        self._advance(Event.CLOSE)
        self._door.left(self)

    # ── the worker ────────────────────────────────────────────────────────────────────────────

    def sweep(self, now: float) -> None:
        """Act on a deadline that has passed. now: monotonic seconds."""
        if self._tunnel is not None:
            self._tunnel.sweep(now)
        elif self.state is State.HELLO and now >= self.deadline:
            self._refuse(NO_HELLO)

    def drain(self, idle_since: float) -> None:
        """What is open may go on until the limit: nobody can be told to come back."""

    def close(self) -> None:
        """Close a tunnel after its last byte; break off what is none yet."""
        if self._tunnel is not None:
            self._tunnel.close()
        else:
            self._end()


class TcpDoor:
    """One listener: its settings, its open connections. connect: see there."""

    def __init__(
        self, listening: socket.socket, settings: TcpListener, services: Services, connect: Connect
    ) -> None:
        self.settings = settings
        self.connect = connect
        self.connections: set[TcpConnection] = set()
        self._services = services
        self._names = {name.lower().strip("."): of for name, of in settings.names.items()}
        domains = services.settings.identity.domains
        self._rules = IdentityRules(
            _RULES_ORDER, tuple(domain.lower().strip(".") for domain in domains)
        )
        self._own = {
            slot: tuple(Endpoint.parse(text) for text in texts)
            for slot, texts in ((Slot.BLUE, settings.blue), (Slot.GREEN, settings.green))
        }
        self._acceptor = Acceptor(
            listening, lambda: TcpConnection(services, self), settings.connections
        )
        self.start, self.stop = self._acceptor.start, self._acceptor.stop

    def tenant(self, name: str | None) -> str | LocalReply | None:
        """Whom a server name belongs to; None: nobody said so."""
        if name is None:
            return None
        tenant = self._names.get(name)
        if tenant is not None:
            return tenant
        found = identify(self._rules, host=name)
        if isinstance(found, Rejected):
            return LocalReply(found.status, found.code, found.detail)
        return found.tenant if isinstance(found, Identity) else None

    def endpoints(self, slot: Slot) -> Sequence[Endpoint]:
        """Where the slot's equipment port is served, by the table of now."""
        table = self._services.router.table
        if not self.settings.port or table is None:
            return self._own[slot]
        hosts = dict.fromkeys(endpoint.host for endpoint in table.endpoints[slot])
        return [Endpoint(host, self.settings.port) for host in hosts]

    def entered(self, connection: TcpConnection) -> None:
        """A connection was accepted."""
        self.connections.add(connection)
        cells = self._services.block.cells
        cells[telemetry.ACCEPTED] += 1
        cells[telemetry.CONNECTIONS] += 1

    def left(self, connection: TcpConnection) -> None:
        """A connection is gone."""
        if connection in self.connections:
            self.connections.discard(connection)
            self._services.block.cells[telemetry.CONNECTIONS] -= 1
            self._acceptor.left()

    def sweep(self, now: float) -> None:
        """Act on deadlines that have passed. now: monotonic seconds."""
        for connection in list(self.connections):
            try:
                connection.sweep(now)
            except Exception:
                log.exception("a connection's deadline could not be acted on")


def _name_of(transport: asyncio.Transport) -> str:
    """Who is at the other end, as host:port."""
    name = transport.get_extra_info("peername")
    return f"{name[0]}:{name[1]}" if isinstance(name, tuple) else "unix:"
