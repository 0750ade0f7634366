"""Workers in the simulation: `proxy.worker.Worker` whole, without signals and sockets; and the keeper.

What is put in its place: clients come by `Fleet.connects`, not by a socket; endpoints are played by
`tests.sim.traffic`.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any, cast

import msgspec

from config import Shared
from proxy.config import Settings
from proxy.downstream.connection import ClientConnection
from proxy.downstream.listener import Door
from proxy.downstream.peer import Peer
from proxy.exchange.forward import Exchange
from proxy.exchange.services import Services
from proxy.inherited import Inherited
from proxy.keeper import Keeper
from proxy.observability import telemetry
from proxy.observability.telemetry import Block, Telemetry
from proxy.parties import Client
from proxy.router import Route
from proxy.routing.model import RoutingTable
from proxy.store import Store
from proxy.worker import Worker
from redis_access import Access
from tests.sim.books import Books
from tests.sim.redis_server import RedisClient
from tests.sim.world import Node, World

SHARED = Shared("redis://simulated", "sim", "postgresql://simulated", "a routing key")
_CONNECTIONS = 10_000


class RecordedExchange(Exchange):
    """An exchange that writes down by what it was decided."""

    __slots__ = ("_of",)

    def __init__(self, services: Services, client: Client, of: "SimulatedWorker") -> None:
        super().__init__(services, client)
        self._of = of

    def _carry_out(self, found: Route) -> None:
        self._of.decided(found)
        super()._carry_out(found)


class SimulatedWorker(Worker):
    """A worker. name: as the history tells it."""

    def __init__(self, inherited: Inherited, node: Node, books: Books) -> None:
        super().__init__(inherited)
        self.node, self.books = node, books
        self._services.request_id_prefix = node.name.encode()
        self._follow = inherited.settings.follow
        self._door = Door(cast("Any", None), self._make, _CONNECTIONS)
        self.first_turn = False
        node.on_kill.append(self._cut_clients)
        self.cut: list[Callable[[], None]] = []

    def _handle_signals(self) -> None:
        """There are none."""

    def _take_table(self, table: RoutingTable) -> None:
        self.node.world.tell(self.node.name, f"serves version {table.version}")
        self.books.takes(self.node.name, table.version)
        super()._take_table(table)

    @property
    def table(self) -> RoutingTable | None:
        return self._services.router.table

    def holds(self, tenant: str) -> bool:
        """Whether its requests have to wait here."""
        return self._services.router.holds(tenant)

    @property
    def accepts(self) -> bool:
        """Whether clients are let in."""
        serving = self._block.cells[telemetry.STATE] == telemetry.SERVING
        return self.node.alive and serving and not self._listener._stopped

    def _make(self, peer: Peer, lost: Any, _: object) -> ClientConnection:
        return ClientConnection(
            self._services,
            lambda services, client: RecordedExchange(services, client, self),
            peer,
            lost,
        )

    def connects(self) -> ClientConnection:
        """A client's connection; its transport is the caller's."""
        peer = Peer("192.0.2.7", trusted=True)
        connection = self._make(peer, self._listener._lost, None)
        self._listener._take(connection, self._door)
        return connection

    def decided(self, found: Route) -> None:
        """A request is about to be sent on."""
        tenant = found.labels[0]
        lease = self._follower._lease
        policy = self._follow.without_lease_tenants.get(tenant, self._follow.without_lease)
        self.books.decides(
            self.node.name,
            0 if self.table is None else self.table.version,
            leased=lease._held and self.node.loop.time() < lease.ends,
            parks=policy == "park",
            first=self.first_turn,
        )

    def goes_on(self) -> None:
        """It stood still, and goes on: what it reads in the first turn of its loop is told apart."""
        if self.node.alive:
            self.first_turn = True
            self.node.loop._late.append(asyncio.Handle(self._turned, (), self.node.loop))
            self.node.go_on()

    def _turned(self) -> None:
        self.first_turn = False

    def retire(self, limit_s: float) -> None:
        """SIGTERM: drain and end."""
        with self.node.inside():
            self._end(limit_s)

    def _cut_clients(self) -> None:
        for tell in self.cut:
            tell()


class Fleet:
    """All workers of a history, dead and alive, and the keeper of their node."""

    def __init__(self, world: World, books: Books, settings: dict[str, Any]) -> None:
        self.world, self.books = world, books
        self.settings = msgspec.convert({"workers": 1, "node": "node", **settings}, Settings)
        self.workers: list[SimulatedWorker] = []
        self.on_start: Callable[[SimulatedWorker], None] = lambda _: None
        self.keeper_node = world.node("keeper")
        with self.keeper_node.inside():
            self._keeper = Keeper(Store.of(SHARED), self.settings.follow, Telemetry(1), -1)
            self.keeper_node.start(self._keeper.bury())

    @property
    def alive(self) -> list[SimulatedWorker]:
        return [worker for worker in self.workers if worker.node.alive]

    def start(self) -> SimulatedWorker:
        """One more worker, from nothing."""
        node = self.world.node(f"w{len(self.workers) + 1}")
        block = _block()
        with node.inside():
            inherited = Inherited(
                *(SHARED, self.settings, {}, None, None, block, [block], -1),
                lambda: any(worker.accepts for worker in self.alive),
                lambda: 0,
                node.name,
            )
            worker = SimulatedWorker(inherited, node, self.books)
            node.start(worker.serve()).add_done_callback(lambda _: self._ended(worker))
        self.workers.append(worker)
        self.on_start(worker)
        self.world.tell(node.name, "starts")
        return worker

    def _ended(self, worker: SimulatedWorker) -> None:
        if worker.node.alive:
            self.world.tell(worker.node.name, "has ended")
            self.world.after(0.0, worker.node.kill)

    def kill(self, worker: SimulatedWorker, goodbye_s: float | None) -> None:
        """kill -9. goodbye_s: after which the keeper says goodbye for it; None: it dies too."""
        self.world.tell(worker.node.name, "is killed")
        worker.node.kill()
        if goodbye_s is not None:
            self.world.after(goodbye_s, lambda: self._bury(worker._inherited.name))

    def _bury(self, name: str) -> None:
        with self.keeper_node.inside():
            self._keeper._dead.append(name)
            self._keeper._died.set()


def _block() -> Block:
    cells = bytearray(8 * telemetry._BLOCK_CELLS)
    areas = (bytearray(telemetry.AREA_BYTES), bytearray(telemetry.KEY_SETS_BYTES))
    return Block(memoryview(cells).cast("q"), *map(memoryview, areas))  # type: ignore[arg-type]


@contextlib.contextmanager
def simulated_redis() -> Iterator[None]:
    """Both planes open simulated connections."""

    def here(_: Access, *limits: float, **more: Any) -> Any:
        return RedisClient.here(*limits, **more)

    client = Access.client
    Access.client = here  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        Access.client = client  # type: ignore[method-assign]
