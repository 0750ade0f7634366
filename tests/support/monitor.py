"""Windows and releases for tests of the monitor, without any noise."""

from collections.abc import Iterable, Mapping

from admin.monitor.judge import State, begin, judge
from admin.monitor.model import UNKNOWN, External, Trigger, Verdict
from admin.monitor.settings import Settings
from proxy.routing.model import Slot
from proxy.routing.windows import BOUNDS_US, Figures, TenantFigures, Window

NEW, OLD = Slot.GREEN, Slot.BLUE
BEGAN = 10_000


def figures(requests: int, failures: int = 0, micros: int = 20_000, **more: int) -> Figures:
    """So many requests, each of which took so long."""
    buckets = [0] * (len(BOUNDS_US) + 1)
    buckets[next((i for i, bound in enumerate(BOUNDS_US) if micros <= bound), -1)] = requests
    gauges = {"endpoints": 4, "eligible": 4, "endpoint_connections": 10} | more
    return Figures(
        requests=requests,
        statuses=(0, requests - failures, 0, 0, failures),
        latency_us=requests * micros,
        buckets=tuple(buckets),
        **gauges,
    )


def window(
    second: int,
    new: Figures | None = None,
    old: Figures | None = None,
    pilots: Figures | None = None,
    tenants: Mapping[str, TenantFigures] | None = None,
    node: str = "a",
) -> Window:
    """One second: canary and pilots on the new slot, the rest on the old one."""
    groups = {(NEW, "canary"): new, (OLD, "rest"): old, (NEW, "pilot"): pilots}
    return Window(
        second, node, {name: each for name, each in groups.items() if each}, tenants or {}
    )


def healthy(second: int) -> Window:
    """100 requests a second on the new slot, 300 on the old one; one in 500 fails."""
    odd = int(second % 5 == 0)
    return window(second, figures(100, odd), figures(300, int(second % 2 == 0)))


class Release:
    """Feeds a judge second by second. verdict: the last."""

    def __init__(
        self,
        settings: Settings | None = None,
        pilots: Iterable[str] = (),
        baseline: Iterable[Window] = (),
    ) -> None:
        self.settings = settings or Settings()
        self.state: State = begin(
            NEW, BEGAN, self.settings, pilots=frozenset(pilots), baseline=baseline
        )
        self.second = BEGAN - 1
        self.verdict: Verdict = UNKNOWN

    def feed(self, *windows: Window, external: External | None = None) -> Verdict:
        """Of the next second, each with the second it has."""
        self.second = max([self.second, *(each.second for each in windows)])
        told = external or External(self.second)
        self.state, self.verdict = judge(self.state, windows, told)
        return self.verdict

    def last(self, seconds: int) -> Verdict:
        """So many healthy seconds."""
        for _ in range(seconds):
            self.feed(healthy(self.second + 1))
        return self.verdict


def trigger(verdict: Verdict, name: str) -> Trigger:
    """The one of that name."""
    found = [each for each in verdict.triggers if each.name == name]
    assert len(found) == 1, verdict.triggers
    return found[0]
