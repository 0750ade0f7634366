"""As `tests.support.wire`, for plain TCP: one worker's door between played ends."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import msgspec

from proxy.config import Settings
from proxy.downstream.listener import Connection
from proxy.downstream.peer import Peer
from proxy.downstream.tcp import State, TcpConnection, TcpPort
from proxy.observability import telemetry
from proxy.observability.telemetry import Telemetry
from proxy.routing.model import RoutingTable
from proxy.upstream.plain import PlainEndpoints
from proxy.upstream.pool import Pool
from proxy.worker import _services as services_of_worker
from proxy.worker import plain_slots
from tests.support.memory_transport import Dialled, MemoryLoop, MemoryTransport
from tests.support.wire import PEER, Cut, EndpointSide, Side, table, whole


class TcpClient(Side):
    def __init__(self, wire: "TcpWire", connection: TcpConnection) -> None:
        self.connection = connection
        transport = MemoryTransport(wire.loop, connection)
        wire.loop.call_soon(connection.connection_made, transport)
        super().__init__(wire, transport)  # type: ignore[arg-type] # a Wire, as far as it is used


class TcpWire:
    """tcp: the listener's settings. settings: the rest of [proxy]. seed: as in Wire."""

    def __init__(
        self,
        cut: Cut = whole,
        *,
        tcp: Mapping[str, Any] = MappingProxyType({"tenant": "acme", "port": 9100}),
        settings: Mapping[str, Any] = MappingProxyType({}),
        routing: RoutingTable | None = None,
        seed: int = 0,
    ) -> None:
        self.cut = cut
        self.loop = MemoryLoop(self._dial)
        listener = {"listen": "127.0.0.1:0", **tcp}
        own = msgspec.convert({**settings, "tcp": [listener]}, Settings)
        self.block = Telemetry(1).blocks[0]
        self.services = services_of_worker(own, self.block)
        self.slots = plain_slots(own, self.block, seed)
        self.plain = PlainEndpoints(own.tcp[0], self.slots)
        self.port = TcpPort(own.tcp[0], self.services, self.plain.connect)
        self.connections: set[Connection] = set()
        self.clients: list[TcpClient] = []
        self.endpoints: list[EndpointSide] = []
        self.dialled: list[tuple[str, int]] = []
        self.refuses: set[str] = set()
        self.hangs: set[str] = set()
        self.resets: set[str] = set()
        self.banner = b""
        self.use(routing or table())

    def use(self, routing: RoutingTable) -> None:
        """The worker takes a new table, as it does."""
        self.loop.call_soon(self._take_table, routing)
        self.loop.settle()

    def _take_table(self, routing: RoutingTable) -> None:
        self.plain.update(routing.endpoints)
        self.services.use(routing)

    def connects(self, *said: bytes | None) -> TcpClient:
        """One more client, and what it says at once (None: it ends)."""
        connection = self.port.make(Peer(PEER, trusted=False), self.connections.discard)
        self.connections.add(connection)
        client = TcpClient(self, connection)
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
        self.loop.call_soon(self._sweep)
        self.settle()

    def settle(self) -> None:
        """Let everything happen; then the counters must be right."""
        self.loop.settle()
        held = [client.connection for client in self.clients]
        held = [connection for connection in held if connection in self.connections]
        tunnels = sum(connection.state is State.TUNNEL for connection in held)
        connecting = sum(connection.state is State.CONNECTING for connection in held)
        assert self.gauge(telemetry.TUNNELS) == tunnels
        admissions = [group.admission for group in self.services.slots.groups]
        assert sum(each.in_flight for each in admissions) == tunnels + connecting
        parked = sum(connection.state is State.PARKED for connection in held)
        assert self.services.parking.count == parked
        served = [(pool.endpoint.host, pool.endpoint.port) for pool in self.pools]
        opened = sum(
            not endpoint.transport.lost and (endpoint.host, endpoint.port) in served
            for endpoint in self.endpoints
        )
        assert sum(pool.tunnels for pool in self.pools) == opened
        assert sum(pool.in_flight for pool in self.pools) == opened + connecting
        assert self.gauge(telemetry.ENDPOINT_CONNECTIONS) == opened

    @property
    def pools(self) -> list[Pool]:
        """Those of both slots, and those that left the table."""
        listed = [pool for group in self.slots.groups for pool in group.pools]
        return [*listed, *(pool for pool in self.slots._retired if pool not in listed)]

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
        assert not self.connections
        self.loop.run_to_end(self.plain.close())
        self.loop.run_to_end(self.services.slots.close())
        self.settle()
        assert self.gauge(telemetry.ENDPOINT_CONNECTIONS) == 0
        self.loop.discard()

    def _sweep(self) -> None:
        for connection in list(self.connections):
            connection.sweep(self.services.now)
        self.plain.sweep(self.services.now)

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
        return Dialled(made, early=self.banner, resets=host in self.resets)
