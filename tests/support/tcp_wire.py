"""As `tests.support.wire`, for plain TCP: one worker's door between played ends."""

import socket
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from proxy.config import Settings
from proxy.downstream.tcp import State, TcpConnection, TcpDoor
from proxy.observability import telemetry
from proxy.observability.telemetry import Telemetry
from proxy.routing.model import RoutingTable
from proxy.upstream.plain import PlainPool
from proxy.worker import _services as services_of_worker
from tests.support.memory_transport import Dialled, MemoryLoop, MemoryTransport
from tests.support.wire import Cut, EndpointSide, Side, table, whole


class TcpClient(Side):
    def __init__(self, wire: "TcpWire", connection: TcpConnection) -> None:
        self.connection = connection
        transport = MemoryTransport(wire.loop, connection)
        wire.loop.call_soon(connection.connection_made, transport)
        super().__init__(wire, transport)  # type: ignore[arg-type] # a Wire, as far as it is used


class TcpWire:
    """tcp: the listener's settings. settings: the rest of [proxy]."""

    def __init__(
        self,
        cut: Cut = whole,
        *,
        tcp: Mapping[str, Any] = MappingProxyType({"tenant": "acme", "port": 9100}),
        settings: Mapping[str, Any] = MappingProxyType({}),
        routing: RoutingTable | None = None,
    ) -> None:
        self.cut = cut
        self.loop = MemoryLoop(self._dial)
        listener = {"listen": "127.0.0.1:0", **tcp}
        own = msgspec.convert({**settings, "tcp": [listener]}, Settings)
        self.block = Telemetry(1).blocks[0]
        self.services = services_of_worker(own, self.block)
        self.services.router.swap(routing or table())
        self.pool = PlainPool(self.block, own.tcp[0].connect_s)
        self.door = TcpDoor(socket.socket(), own.tcp[0], self.services, self.pool.connect)
        self.door.stop()  # clients come without a socket
        self.clients: list[TcpClient] = []
        self.endpoints: list[EndpointSide] = []
        self.dialled: list[tuple[str, int]] = []
        self.refuses: set[str] = set()
        self.hangs: set[str] = set()
        self.banner = b""

    def connects(self, *said: bytes | None) -> TcpClient:
        """One more client, and what it says at once (None: it ends)."""
        client = TcpClient(self, TcpConnection(self.services, self.door))
        self.clients.append(client)
        for item in said:
            client.transport.deliver(item)
        self.settle()
        return client

    def later(self, seconds: float) -> None:
        """So much time passes, and the worker's sweep runs once."""
        self.services.now += seconds
        self.loop.advance(seconds)
        self.settle()
        self.loop.call_soon(self.door.sweep, self.services.now)
        self.settle()

    def settle(self) -> None:
        """Let everything happen; then the counters must be right."""
        self.loop.settle()
        tunnels = [c for c in self.door.connections if c.state is State.TUNNEL]
        assert self.gauge(telemetry.TUNNELS) == len(tunnels)
        assert self.block.cells[telemetry.CONNECTIONS] == len(self.door.connections)
        opened = sum(not endpoint.transport.lost for endpoint in self.endpoints)
        assert self.gauge(telemetry.ENDPOINT_CONNECTIONS) == opened

    def gauge(self, cell: int) -> int:
        """A group's cell, summed over the groups."""
        self.block.publish()
        groups = range(len(telemetry.GROUPS))
        return sum(self.block.cells[telemetry.group_base(group) + cell] for group in groups)

    def refused(self, status: int) -> int:
        """How many connections were turned away with this class of status."""
        counted = self.block.groups[telemetry.LOCAL].values
        return counted[telemetry.STATUS_CLASS + status // 100]

    def leave(self) -> None:
        """All clients go; nothing may be left of them."""
        for client in self.clients:
            if not client.transport.lost:
                client.vanishes()
        assert not self.door.connections
        self.loop.run_to_end(self.pool.close())
        self.settle()
        assert self.gauge(telemetry.ENDPOINT_CONNECTIONS) == 0
        assert not self.pool._open
        self.loop.discard()

    def _dial(self, host: str, port: int) -> Dialled:
        def made(transport: MemoryTransport) -> None:
            self.endpoints.append(EndpointSide(self, transport, (host, port)))  # type: ignore[arg-type]

        self.dialled.append((host, port))
        if host in self.hangs:
            return Dialled(made, self.loop.create_future())
        if host in self.refuses:
            refusal = self.loop.create_future()
            refusal.set_exception(ConnectionRefusedError("refused by the test"))
            return Dialled(made, refusal)
        return Dialled(made, early=self.banner)
