"""Workers that count answers, in the memory that a node's processes share, without serving any."""

from collections.abc import Iterable

from config import Shared
from proxy.observability import telemetry
from proxy.observability.settings import MetricsSettings
from proxy.observability.telemetry import COHORTS, Telemetry, TenantCount
from proxy.observability.tenants import Tenants
from proxy.routing.model import Slot
from proxy.routing.windows import Group as GroupOfWindow
from proxy.store import Store
from proxy.traffic import Reporter
from proxy.windows import Teller


class Workers:
    """Blocks whose workers count."""

    def __init__(self, count: int, limit: int = 20) -> None:
        self.limit = limit
        self.all = Telemetry(count)
        self.summaries = [Tenants(block, limit) for block in self.all.blocks]
        self._now = 0.0

    def answers(
        self, number: int, figures: dict[str, int], slot: Slot = Slot.BLUE, status: int = 200
    ) -> None:
        """A worker answers these, and publishes them."""
        block = self.all.blocks[number]
        for tenant, requests in figures.items():
            count = TenantCount(tenant, list(Slot).index(slot), block.tenants)
            for _ in range(requests):
                count.finished(status, 1)
        self._now += 1.0
        self.summaries[number].sweep(self._now)

    def serves(
        self, number: int, group: GroupOfWindow, statuses: Iterable[int], micros: int = 700
    ) -> None:
        """A worker answers with these, each after so long; what it has counted isn't published."""
        slot, cohort = group
        block = self.all.blocks[number]
        counted = block.groups[telemetry.group_of(list(Slot).index(slot), COHORTS.index(cohort))]
        for status in statuses:
            counted.finished(status, micros)

    def replace(self, number: int) -> None:
        """The worker dies; another goes on in its block."""
        block = self.all.blocks[number]
        block.release()
        self.summaries[number] = Tenants(block, self.limit)
        self.summaries[number].adopt()
        block.groups = tuple(telemetry.Group() for _ in block.groups)
        block.adopt()

    def reporter(self, url: str = "redis://127.0.0.1:1", **settings: int) -> Reporter:
        """One that tells a Redis of them. settings: of [proxy.metrics]."""
        store = Store.of(Shared(url))
        return Reporter(store, MetricsSettings(**settings), 1.0, self.all)

    def teller(self, url: str = "redis://127.0.0.1:1", node: str = "n", **settings: int) -> Teller:
        """One that tells a Redis of their windows."""
        return Teller(Store.of(Shared(url)), MetricsSettings(**settings), 1.0, self.all, node)
