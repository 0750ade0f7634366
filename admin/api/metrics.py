"""What the admin tells Prometheus of itself."""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.registry import Collector

ACK_BUCKETS_MS = (1, 2, 3, 5, 7.5, 10, 20, 50, 100, 250, 500, 1000, 2500, 5000)
Gauges = Callable[[], dict[str, float]]
BySlot = Callable[[], Iterable[tuple[str, str, str, int]]]
"""Name (of SLOT_GAUGES), slot, the second label's value, how many."""

GAUGES = {
    "workers_live": "Workers that count for convergence",
    "published_version": "Version of the table in Redis, -1 unknown",
    "desired_version": "Version of the table in PostgreSQL, -1 unknown",
    "redis_reachable": "1 while Redis answers",
    "postgresql_reachable": "1 while PostgreSQL answers",
}

SLOT_GAUGES = {
    "drain_left": ("kind", "What a drain has left on a slot, at the admin that carries it"),
    "census_devices": (
        "standing",
        "Devices of a drain's roll by where they are, at the admin that watches it",
    ),
}


class Metrics:
    """Counters of the API, and gauges read when somebody asks."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "turnout_admin_requests",
            "Requests by route and status",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.changes = Counter(
            "turnout_admin_changes",
            "Changes by action and whether all workers served them in time",
            ["action", "converged"],
            registry=self.registry,
        )
        self.windows_skipped = Counter(
            "turnout_admin_windows_skipped",
            "Entries among the nodes' windows that were none",
            registry=self.registry,
        )
        self.ack_ms = Histogram(
            "turnout_admin_ack_ms",
            "Milliseconds from a change's request to the last worker's ack",
            buckets=ACK_BUCKETS_MS,
            registry=self.registry,
        )
        self.notifications = Counter(
            "turnout_admin_notifications",
            "Notifications by target and what became of them; all but sent are lost",
            ["target", "outcome"],
            registry=self.registry,
        )

    def count_notification(self, target: str, outcome: str) -> None:
        """One message to a target was sent or lost (`admin.notify.lane`)."""
        self.notifications.labels(target, outcome).inc()

    def watch(self, gauges: Gauges) -> None:
        """Read these when asked; the names are those of GAUGES."""
        self.registry.register(_Gauges(gauges))

    def watch_slots(self, found: BySlot) -> None:
        """Read these when asked: gauges that are there only while a slot is drained."""
        self.registry.register(_BySlot(found))

    def exposition(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)


class _Gauges(Collector):
    def __init__(self, gauges: Gauges) -> None:
        self._gauges = gauges

    def collect(self) -> Iterable[Metric]:
        values = self._gauges()
        for name, meaning in GAUGES.items():
            yield GaugeMetricFamily(f"turnout_admin_{name}", meaning, value=values[name])


class _BySlot(Collector):
    def __init__(self, found: BySlot) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        families = {
            name: GaugeMetricFamily(f"turnout_admin_{name}", meaning, labels=("slot", label))
            for name, (label, meaning) in SLOT_GAUGES.items()
        }
        for name, slot, value, count in self._found():
            families[name].add_metric([slot, value], count)
        yield from families.values()
