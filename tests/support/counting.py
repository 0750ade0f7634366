"""Workers that count answers, in the memory that a node's processes share, without serving any."""

from config import Shared
from proxy.observability.settings import MetricsSettings
from proxy.observability.telemetry import Telemetry, TenantCount
from proxy.observability.tenants import Tenants
from proxy.store import Store
from proxy.traffic import Reporter


class Workers:
    """Blocks whose workers count."""

    def __init__(self, count: int, limit: int = 20) -> None:
        self.limit = limit
        self.all = Telemetry(count)
        self.summaries = [Tenants(block, limit) for block in self.all.blocks]
        self._now = 0.0

    def answers(self, number: int, figures: dict[str, int]) -> None:
        """A worker answers these, and publishes them."""
        block = self.all.blocks[number]
        for tenant, requests in figures.items():
            count = TenantCount(tenant, 0, block.tenants)
            for _ in range(requests):
                count.finished(200, 1)
        self._now += 1.0
        self.summaries[number].sweep(self._now)

    def replace(self, number: int) -> None:
        """The worker dies; another goes on in its block."""
        self.summaries[number] = Tenants(self.all.blocks[number], self.limit)
        self.summaries[number].adopt()

    def reporter(self, url: str = "redis://127.0.0.1:1", **settings: int) -> Reporter:
        """One that tells a Redis of them. settings: of [proxy.metrics]."""
        store = Store.of(Shared(url))
        return Reporter(store, MetricsSettings(**settings), 1.0, self.all)
