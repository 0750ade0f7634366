"""Accepting clients of all kinds on the sockets that all workers share.

Rules: a worker takes one connection at a time from a shared queue, so that idle workers get
theirs; what it has not taken, another takes, so a worker's death costs only its own. One with
more connections than another leaves it the next (see share.py). Above a limit, the door's or
the worker's, it takes none: they wait in the kernel's queue, or go to other workers.
"""

import asyncio
import errno
import ipaddress
import logging
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, cast

from proxy.config import Network, parse_networks
from proxy.downstream.handshake import Preparing, read_header
from proxy.downstream.peer import Peer
from proxy.downstream.proxy_protocol import HeaderError
from proxy.downstream.share import PAUSE_S, Share
from proxy.exchange.drains import Lasting
from proxy.exchange.services import Services
from proxy.observability import telemetry
from proxy.tasks import Tasks
from proxy.tls.certificates import Certificates
from proxy.tls.failures import Failures, reason_of
from proxy.tls.session import Secure, secure
from proxy.tls.transport import TlsTransport, accept

log = logging.getLogger("turnout.listener")

_OUT_OF_FILES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_OUT_OF_FILES_S = 0.1
_UNIX = "unix"


class Connection(Protocol):
    """A client's connection, as it is held here."""

    def sweep(self, now: float) -> None:
        """Act on a deadline that has passed. now: monotonic seconds."""

    def drain(self, idle_since: float) -> None:
        """End what has been idle since before this time; monotonic seconds."""

    def close(self) -> None:
        """End it, as gently as that can be done at once."""

    def lasting(self) -> Lasting | None:
        """What is under way in a slot; None: nothing."""

    def device(self) -> str | None:
        """The device that what lasts here is from; empty: nothing names it; None: it has left."""

    def end(self) -> None:
        """End what lasts: in good order where it may end, else cut it."""


Lost = Callable[[Connection], None]
Make = Callable[[Peer, Lost, Secure | None], Connection]
"""The asyncio protocol of a connection, which calls the second argument once it is gone."""


@dataclass(slots=True, eq=False)
class Door:
    """Where clients come in.

    limit: connections at once. told: whether each begins with a PROXY header. certificates: by
    which clients are met with TLS; None: without. open: connections that came in here.
    """

    listening: socket.socket
    make: Make
    limit: int
    told: bool = False
    certificates: Certificates | None = None
    open: int = 0


class Listener:
    """Accepts at all doors; holds this worker's client connections, each with its door."""

    def __init__(self, doors: Sequence[Door], services: Services, share: Share) -> None:
        self._doors = doors
        self._share = share
        self._services = services
        self._stopped = False
        self._full: set[Door] = set()  # not accepting until somebody leaves
        self._tasks = Tasks("listener")
        settings = services.settings
        self._limit = settings.limits.connections
        self._networks = settings.networks()
        self._tellers = parse_networks(settings.proxy_protocol.networks)
        self._failures = Failures()
        self._peer = lru_cache(maxsize=4096)(self._make_peer)
        self.connections: dict[Connection, Door] = {}

    def start(self) -> None:
        """Begin to accept."""
        for door in self._doors:
            self._watch(door)

    def stop(self) -> None:
        """Accept no more; the sockets stay with the other workers."""
        self._stopped = True
        for door in self._doors:
            self._look_away(door)

    def _watch(self, door: Door) -> None:
        if not self._stopped:
            loop = asyncio.get_running_loop()
            loop.add_reader(door.listening.fileno(), self._accept, door)

    @staticmethod
    def _look_away(door: Door) -> None:
        asyncio.get_running_loop().remove_reader(door.listening.fileno())

    def _pause(self, door: Door, seconds: float) -> None:
        self._look_away(door)
        asyncio.get_running_loop().call_later(seconds, self._watch, door)

    def _has_room(self, door: Door) -> bool:
        return door.open < door.limit and len(self.connections) < self._limit

    def _accept(self, door: Door) -> None:
        if not self._has_room(door):
            self._look_away(door)
            self._full.add(door)
            return
        if self._share.leaves_it():
            self._pause(door, PAUSE_S)
            return
        try:
            accepted, address = door.listening.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another worker was faster, or the client has gone
        except OSError as error:
            if error.errno not in _OUT_OF_FILES:
                raise
            log.error("can't accept: %s", error.strerror)  # noqa: TRY400 - no trace: the cause is known
            self._pause(door, _OUT_OF_FILES_S)
            return
        accepted.setblocking(False)
        if accepted.family != socket.AF_UNIX:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        host = address[0] if isinstance(address, tuple) else _UNIX
        self._services.block.cells[telemetry.ACCEPTED] += 1
        if door.told or door.certificates is not None:
            preparing = Preparing()
            self._take(preparing, door)
            preparing.task = self._tasks.start(
                self._prepare(preparing, accepted, host, door), "prepare"
            )
        else:
            connection = door.make(self._peer(host, secure=False), self._lost, None)
            self._take(connection, door)
            self._tasks.start(self._serve(connection, accepted), "accept")

    def _take(self, connection: Connection, door: Door) -> None:
        self._services.block.cells[telemetry.CONNECTIONS] += 1
        self.connections[connection] = door
        door.open += 1

    async def _serve(self, connection: Connection, accepted: socket.socket) -> None:
        try:
            # asyncio asks for no base class, only for the methods; see `proxy.parties`.
            protocol = cast("asyncio.Protocol", connection)
            await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, accepted)
        except OSError:
            accepted.close()
            self._lost(connection)

    async def _prepare(
        self, preparing: Preparing, accepted: socket.socket, host: str, door: Door
    ) -> None:
        """The PROXY header and TLS, where they are wanted; then serve, or drop the connection."""
        try:
            peer = await self._find_peer(accepted, host, door)
            if peer is None:
                accepted.close()
            elif door.certificates is None:
                connection = door.make(peer, self._lost, None)
                self._replace(preparing, connection)
                await self._serve(connection, accepted)
            else:
                await self._handshake(preparing, accepted, peer, door.certificates)
        except asyncio.CancelledError:
            accepted.close()
            raise
        finally:
            self._lost(preparing)

    async def _find_peer(self, accepted: socket.socket, host: str, door: Door) -> Peer | None:
        """Whom the PROXY header tells of, or who connected; None: nobody who may."""
        secure = door.certificates is not None
        if not door.told:
            return self._peer(host, secure=secure)
        settings = self._services.settings
        try:
            if not _lies_in(_address(host), self._tellers):
                raise HeaderError("not from a network that tells of others")  # noqa: TRY301
            header = await read_header(
                accepted, settings.timeouts.proxy_header_s, settings.limits.proxy_header_bytes
            )
        except (HeaderError, OSError) as error:  # TimeoutError is the latter
            self._services.block.cells[telemetry.PROXY_HEADER_REFUSALS] += 1
            log.debug("refused %s: %s", host, error)
            return None
        if header.address is not None:
            return self._peer(header.address, secure=secure)
        if header.local:
            return self._peer(host, secure=secure)
        # Somebody whom the balancer does not name: its own trust is not theirs.
        return Peer(host, trusted=False, secure=secure)

    async def _handshake(
        self,
        preparing: Preparing,
        accepted: socket.socket,
        peer: Peer,
        certificates: Certificates,
    ) -> None:
        settings, cells = self._services.settings, self._services.block.cells
        timeouts = settings.timeouts

        def ready(transport: TlsTransport) -> asyncio.Protocol | None:
            said: ssl.SSLObject = transport.get_extra_info("ssl_object")
            name: str | None = getattr(said, "server_name", None)
            try:
                client = secure(certificates, settings.tls, said, name)
            except ValueError as error:  # OpenSSL could read its certificate, cryptography can't
                self._failures.say("refused a client's certificate", error)
                return None
            connection = self.connections[preparing].make(peer, self._lost, client)
            cells[telemetry.HANDSHAKES] += 1
            self._replace(preparing, connection)
            return cast("asyncio.Protocol", connection)

        try:
            await accept(
                accepted,
                certificates.front,
                ready,
                limit_s=timeouts.tls_handshake_s,
                end_s=timeouts.write_idle_s + timeouts.linger_s,
            )
        except OSError as error:  # as are TLS's own and those of time
            accepted.close()
            cells[telemetry.HANDSHAKE_FAILURES] += 1
            if isinstance(error, ssl.SSLCertVerificationError):
                self._failures.say("refused a client's certificate", error)
            else:
                log.debug("no handshake with %s: %s", peer.address.decode(), reason_of(error))

    def _replace(self, preparing: Preparing, connection: Connection) -> None:
        """The connection is the same, so the counts are."""
        self.connections[connection] = self.connections.pop(preparing)

    def _lost(self, connection: Connection) -> None:
        door = self.connections.pop(connection, None)
        if door is None:
            return
        self._services.block.cells[telemetry.CONNECTIONS] -= 1
        door.open -= 1
        for waiting in [each for each in self._full if self._has_room(each)]:
            self._full.discard(waiting)
            self._watch(waiting)

    def _make_peer(self, host: str, *, secure: bool) -> Peer:
        if host == _UNIX:
            return Peer(host, trusted=True, secure=secure)
        ip = _address(host)
        return Peer(str(ip), trusted=_lies_in(ip, self._networks), secure=secure)

    def sweep(self, now: float) -> None:
        """Act on deadlines that have passed. now: monotonic seconds."""
        for connection in list(self.connections):
            try:
                connection.sweep(now)
            except Exception:
                log.exception("a connection's deadline could not be acted on")


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address without its scope; IPv4 as such where it came mapped into IPv6."""
    ip = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    return ip


def _lies_in(
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address, networks: tuple[Network, ...]
) -> bool:
    return any(ip.version == network.version and ip in network for network in networks)
