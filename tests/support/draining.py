"""A worker's drains, step by step: by the real connections of a Wire, at a pace that a test says."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from proxy.downstream.connection import ClientConnection
from proxy.draining import Drainable, Draining
from proxy.pace import Want
from proxy.routing.model import RoutingTable
from tests.support.memory_transport import MemoryLoop
from tests.support.wire import Wire


class Worker(Protocol):
    """A Wire, as far as it is used."""

    loop: MemoryLoop

    def use(self, routing: RoutingTable) -> None: ...
    def settle(self) -> None: ...


class Drains:
    """granted: how many the pace grants at each step. told: how often the worker was told.

    granted_to: the same of tenants, where they are asked for. lots: what is drawn; 0: at once.
    meanwhile: called while the pace is asked. wants: what it was asked for last.
    """

    def __init__(
        self,
        wire: Worker,
        connections: Callable[[], Iterable[Drainable]],
        granted: int = 1_000,
    ) -> None:
        self.granted = granted
        self.granted_to: dict[str, int] = {}
        self.told = 0
        self.wants: list[Want] = []
        self.meanwhile: Callable[[], None] = lambda: None
        self._wire = wire
        self.lots: Callable[[], float] = lambda: 0.0
        self._draining = Draining(connections, self._take, self._tell, self._draw)
        self.swap = self._draining.swap

    async def _take(self, wants: Sequence[Want]) -> list[int]:
        self.wants = list(wants)
        self.meanwhile()
        return [min(want.wanted, self.granted_to.get(want.tenant, self.granted)) for want in wants]

    def _draw(self) -> float:
        return self.lots()

    def _tell(self) -> None:
        self.told += 1

    def use(self, table: RoutingTable) -> None:
        """The worker takes this table."""
        self._wire.use(table)
        self.swap(table)

    def step(self) -> dict[str, int]:
        """One step, with a look; what is left then by its count."""
        self._draining._next_look = 0.0
        self.wants = []
        self._wire.loop.run_to_end(self._draining.step())
        self._wire.settle()
        return self.left()

    def left(self) -> dict[str, int]:
        return self._draining.left()

    def detail(self) -> Mapping[str, Mapping[str, Mapping[str, int]]]:
        return self._draining.detail()


def drains_of(wire: Wire, granted: int = 1_000) -> Drains:
    """The drains of a wire's worker."""

    def connections() -> list[ClientConnection]:
        found = [client.connection for client in wire.clients]
        return [each for each in found if each not in wire.lost_clients]

    return Drains(wire, connections, granted)
