"""Plain TCP clients (equipment): a tenant by the port or by the name in TLS, then a tunnel.

Rules:
1. `TRANSITIONS` is a connection's whole life until its tunnel has it.
2. The slot is decided once, when the connection begins, by the same router as requests: a tenant
   that moves takes its new connections along, and leaves the open ones. While a switch holds the
   tenant, its new connections wait, unread, among its requests.
3. TLS is not opened: only the ClientHello is read, in bounds, and goes on with the rest.
4. There is no language to refuse in: who can't be served is closed, and counted among the
   proxy's own answers by the status that a request would have got.
"""

import asyncio
import logging
from collections.abc import Callable
from enum import IntEnum
from time import monotonic
from typing import Final, Protocol, cast

from proxy.config import TcpListener
from proxy.downstream.client_hello import HelloError, IncompleteError, server_name
from proxy.downstream.listener import Lost
from proxy.downstream.peer import Peer
from proxy.exchange import parking
from proxy.exchange.drains import Lasting
from proxy.exchange.services import Services
from proxy.exchange.tunnel import Tunnel
from proxy.http1.reply import LocalReply
from proxy.observability import telemetry
from proxy.parties import Upgraded
from proxy.router import NOWHERE, Held, Route
from proxy.routing.identity import Identity, IdentityRules, Rejected, Source, identify
from proxy.routing.lasting import TCP
from proxy.tls.session import Secure

log = logging.getLogger("turnout.tcp")


class State(IntEnum):
    """Where a connection stands."""

    HELLO = 0  # its ClientHello is not complete
    CONNECTING = 1  # its slot is decided; an endpoint is being connected to
    TUNNEL = 2  # the tunnel has both sides
    ENDED = 3  # it is closing, or gone
    PARKED = 4  # a switch holds its tenant


class Event(IntEnum):
    """What happens to a connection."""

    ROUTED = 0  # its slot is decided
    CONNECTED = 1  # an endpoint is there
    CLOSE = 2  # it can't be served, or a side is gone
    PARK = 3  # a switch holds its tenant


TRANSITIONS: Final = {
    (State.HELLO, Event.ROUTED): State.CONNECTING,
    (State.HELLO, Event.PARK): State.PARKED,
    (State.HELLO, Event.CLOSE): State.ENDED,
    (State.PARKED, Event.ROUTED): State.CONNECTING,
    (State.PARKED, Event.CLOSE): State.ENDED,
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

    def connect_failed(self, refusal: LocalReply) -> None:
        """There is none, or none can be reached."""


class Attempt(Protocol):
    """One wait for a connection."""

    def cancel(self) -> None:
        """It is no longer wanted."""


Connect = Callable[[int, Claimant], Attempt]
"""Connect to an endpoint of a slot, by its number: 0 blue, 1 green."""


class TcpConnection(asyncio.Protocol):
    """One client. deadline: monotonic seconds by which the tunnel must stand."""

    __slots__ = (
        "_admitted",
        "_attempt",
        "_began",
        "_device",
        "_ended",
        "_group",
        "_held",
        "_joined_to",
        "_lost",
        "_peer",
        "_port",
        "_routed",
        "_server_name",
        "_services",
        "_tenant",
        "_tunnel",
        "deadline",
        "state",
        "transport",
    )

    def __init__(self, services: Services, port: "TcpPort", peer: Peer, lost: Lost) -> None:
        self._services = services
        self._port = port
        self._peer = peer
        self._lost = lost
        self._attempt: Attempt | None = None
        self._tunnel: Tunnel | None = None
        self._tenant: str | None = None
        self._server_name = ""
        self._device: str | None = None  # not asked yet
        self._admitted = False
        self._held = b""
        self._ended = False
        self._began = monotonic()
        self._routed = NOWHERE
        self._joined_to = ""
        self._group = services.block.groups[telemetry.LOCAL]
        self.state = State.HELLO
        self.deadline = services.now + port.settings.hello_s
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
        if self._port.settings.tenant:
            self._route(self._port.settings.tenant)

    def data_received(self, data: bytes) -> None:
        """Hold what comes before the tunnel stands: a ClientHello, then one read more."""
        if self.state is State.ENDED:
            return
        self._held += data
        if self.state is State.HELLO:
            self._read_hello()
        if self.state in {State.CONNECTING, State.PARKED}:
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        """A client may send all it has, end, and wait for the answer."""
        self._ended = True
        return self.state is State.CONNECTING

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        """The client is gone before the tunnel stood."""
        self._end()
        self._lost(self)

    # ── whose it is, and where it goes ────────────────────────────────────────────────────────

    def _read_hello(self) -> None:
        try:
            name = server_name(self._held)
        except IncompleteError:
            return
        except HelloError:
            self._refuse(BAD_HELLO)
            return
        self._server_name = name or ""
        tenant = self._port.tenant(name)
        if isinstance(tenant, LocalReply):
            self._refuse(tenant)
        else:
            self._route(tenant)

    def _route(self, tenant: str | None) -> None:
        services = self._services
        self._tenant = tenant
        found = services.router.route_tenant(tenant, services.next_request_id())
        if isinstance(found, Route):
            self._carry_out(found)
        elif isinstance(found, LocalReply):
            self._refuse(found)
        elif not services.parking.takes(len(self._held)):
            self._refuse(parking.FULL)
        else:
            self._advance(Event.PARK)
            self.deadline = services.now + services.parking.limits.wait_s
            services.parking.park(self, tenant, len(self._held))

    def unpark(self) -> bool:
        """Go on, as the table has it now. False: there is no room in the slot yet."""
        services = self._services
        found = services.router.route_parked(self._tenant, services.next_request_id())
        if isinstance(found, Held):
            return False
        if isinstance(found, LocalReply):
            self._refuse(found)
            return True
        if not services.slots.groups[found.slot_number].has_room_for(found.tenant_line):
            return False
        services.parking.leave(self, self._tenant)
        self._carry_out(found)
        return True

    def _carry_out(self, route: Route) -> None:
        """It counts among what is under way of its tenant in the slot from now on."""
        services = self._services
        refusal = services.slots.groups[route.slot_number].enter(route.tenant_line)
        if refusal is not None:
            self._refuse(refusal)
            return
        self._admitted = True
        self._routed = route
        self._group = services.block.groups[route.group]
        self._advance(Event.ROUTED)
        self._attempt = self._port.connect(route.slot_number, self)

    def _leave(self) -> None:
        if self._admitted:
            self._admitted = False
            route = self._routed
            self._services.slots.groups[route.slot_number].leave(route.tenant_line)

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
            idle_s=self._port.settings.idle_s,
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

    def connect_failed(self, refusal: LocalReply) -> None:
        """There is no endpoint, or neither of two could be reached."""
        self._attempt = None
        self._refuse(refusal)

    def _refuse(self, refusal: LocalReply) -> None:
        log.info("a connection to %s is closed: %s", self._port.settings.listen, refusal.code)
        self._services.block.groups[telemetry.LOCAL].finished(refusal.status, 0)
        self._end()

    def _end(self) -> None:
        if self.state is State.PARKED:
            self._services.parking.leave(self, self._tenant)
        self._leave()
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
            client, port = self._peer.address.decode(), self._port.settings.listen
            lines.joined(client, port, self._routed, self._joined_to, self._began, taken)
        self._leave()
        self._advance(Event.CLOSE)
        self._lost(self)

    # ── the worker ────────────────────────────────────────────────────────────────────────────

    def sweep(self, now: float) -> None:
        """Act on a deadline that has passed. now: monotonic seconds."""
        if self._tunnel is not None:
            self._tunnel.sweep(now)
        elif now < self.deadline:
            return
        elif self.state is State.HELLO:
            self._refuse(NO_HELLO)
        elif self.state is State.PARKED:
            self._refuse(parking.TOO_LONG)

    def drain(self, idle_since: float) -> None:
        """What is open may go on until the limit: nobody can be told to come back."""

    def close(self) -> None:
        """Close a tunnel after its last byte; break off what is none yet."""
        if self._tunnel is not None:
            self._tunnel.close()
        else:
            self._end()

    def lasting(self) -> Lasting | None:
        """The connection, once it counts in a slot."""
        if not self._admitted:
            return None
        route, tunnel = self._routed, self._tunnel
        idle_since = self._began if tunnel is None else tunnel.idle_since
        may_end = tunnel is not None and tunnel.is_open
        return Lasting(TCP, route.slot, self._tenant, idle_since, may_end=may_end)

    def device(self) -> str:
        """The device that it is from; empty: nothing names it."""
        if self._device is None:
            devices, listen = self._services.devices, self._port.settings.listen
            peer = self._peer.address.decode()
            found = "" if devices is None else devices.of_tcp(peer, self._server_name, listen)
            self._device = found
        return self._device

    def end(self) -> None:
        """Close a tunnel after its last byte; break off what is none yet."""
        self.close()


class TcpPort:
    """One port, as its settings have it: whose connections come in there. connect: see there."""

    def __init__(self, settings: TcpListener, services: Services, connect: Connect) -> None:
        self.settings = settings
        self.connect = connect
        self._services = services
        self._names = {name.lower().strip("."): of for name, of in settings.names.items()}
        domains = services.settings.identity.domains
        self._rules = IdentityRules(
            _RULES_ORDER, tuple(domain.lower().strip(".") for domain in domains)
        )

    def make(self, peer: Peer, lost: Lost, _: Secure | None = None) -> TcpConnection:
        """A connection that comes in here. lost: called once it is gone."""
        return TcpConnection(self._services, self, peer, lost)

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


def _name_of(transport: asyncio.Transport) -> str:
    """Who is at the other end, as host:port."""
    name = transport.get_extra_info("peername")
    return f"{name[0]}:{name[1]}" if isinstance(name, tuple) else "unix:"
