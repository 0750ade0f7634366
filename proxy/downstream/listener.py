"""Accepting clients on the socket that all workers share.

Rules: a worker takes one connection at a time from the shared queue, so that idle workers get
theirs; what it has not taken, another takes, so a worker's death costs only its own. One with
more connections than another leaves it the next (see share.py). Above the limit it takes none:
they wait in the kernel's queue, or go to other workers.
"""

import asyncio
import errno
import ipaddress
import logging
import socket
from collections.abc import Callable
from functools import lru_cache
from typing import cast

from proxy import telemetry
from proxy.downstream.connection import ClientConnection, Peer
from proxy.downstream.share import PAUSE_S, Share
from proxy.parties import Exchange
from proxy.services import Services
from proxy.tasks import Tasks

log = logging.getLogger("turnout.listener")

_OUT_OF_FILES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_OUT_OF_FILES_S = 0.1


class Listener:
    """Accepts on one listening socket; holds this worker's client connections."""

    def __init__(
        self,
        listening: socket.socket,
        services: Services,
        exchange: Callable[[Services, ClientConnection], Exchange],
        share: Share,
    ) -> None:
        self._socket = listening
        self._share = share
        self._services = services
        self._exchange = exchange
        self._accepting = False
        self._stopped = False
        self._tasks = Tasks("listener")
        self._peer = lru_cache(maxsize=4096)(self._make_peer)
        self._networks = services.settings.networks()
        self.connections: set[ClientConnection] = set()

    def start(self) -> None:
        """Begin to accept, or go on."""
        full = len(self.connections) >= self._services.settings.limits.connections
        if not self._accepting and not self._stopped and not full:
            self._accepting = True
            asyncio.get_running_loop().add_reader(self._socket.fileno(), self._accept)

    def stop(self) -> None:
        """Accept no more; the socket stays with the other workers."""
        self._stopped = True
        self._pause()

    def _pause(self) -> None:
        if self._accepting:
            self._accepting = False
            asyncio.get_running_loop().remove_reader(self._socket.fileno())

    def _accept(self) -> None:
        if self._share.leaves_it():
            self._pause()
            asyncio.get_running_loop().call_later(PAUSE_S, self.start)
            return
        try:
            accepted, address = self._socket.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # another worker was faster, or the client has gone
        except OSError as error:
            if error.errno not in _OUT_OF_FILES:
                raise
            log.error("can't accept: %s", error.strerror)  # noqa: TRY400 - no trace: the cause is known
            self._pause()
            asyncio.get_running_loop().call_later(_OUT_OF_FILES_S, self.start)
            return
        accepted.setblocking(False)
        if accepted.family != socket.AF_UNIX:
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._tasks.start(self._serve(accepted, address), "accept")

    async def _serve(self, accepted: socket.socket, address: tuple[str, int] | str) -> None:
        peer = self._peer(address[0] if isinstance(address, tuple) else "unix")
        connection = ClientConnection(self._services, self._exchange, peer, self._lost)
        cells = self._services.block.cells
        cells[telemetry.ACCEPTED] += 1
        cells[telemetry.CONNECTIONS] += 1
        self.connections.add(connection)
        if len(self.connections) >= self._services.settings.limits.connections:
            self._pause()
        try:
            # asyncio asks for no base class, only for the methods; see `proxy.parties`.
            protocol = cast("asyncio.Protocol", connection)
            await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, accepted)
        except OSError:
            accepted.close()
            self._lost(connection)

    def _lost(self, connection: ClientConnection) -> None:
        if connection in self.connections:
            self.connections.discard(connection)
            self._services.block.cells[telemetry.CONNECTIONS] -= 1
            self.start()

    def _make_peer(self, address: str) -> Peer:
        if address == "unix":
            return Peer(address, trusted=True)
        ip = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        trusted = any(ip.version == net.version and ip in net for net in self._networks)
        return Peer(str(ip), trusted=trusted)

    def sweep(self, now: float) -> None:
        """Act on deadlines that have passed. now: monotonic seconds."""
        for connection in list(self.connections):
            try:
                connection.sweep(now)
            except Exception:
                log.exception("a connection's deadline could not be acted on")
