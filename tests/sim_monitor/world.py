"""A system under noisy load, second by second, on two slots.

What a healthy release looks like here:
- load between 1 and 2 000 requests a second, by the hour of the day, in bursts, over-dispersed;
- failures of a few in a thousand that drift; bunches on one slot (a client that tries again and again); bursts
  that hit all traffic (a database that hiccups), of any length while both slots serve. Once one slot serves alone
  they last two seconds at most, and don't follow on each other: a longer one is nothing else than the fault that
  is to be found;
- latencies with heavy tails; slower at the hours of much load; seconds in which all traffic is slower; pauses of
  single slots (garbage collection) that hold up a part of a second's requests;
- tenants of very different sizes, with failures of their own, few of whom are on the new slot at first.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from math import exp, log, pi, sin

from proxy.routing.model import Slot
from proxy.routing.windows import Figures, TenantFigures, Window
from tests.sim_monitor.draw import binomial, latencies, poisson

NEW, OLD = Slot.GREEN, Slot.BLUE
STEPS = ((1.0, 600), (5.0, 600), (25.0, 1200), (100.0, 4800))
"""Percent on the new slot, and for how many seconds: two hours."""
HOUR_S = 3600
_DAY_S = 86_400.0
_APART_S = 30
"""Bursts don't come on each other's heels: several would be one long one."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with the new version, from some second on. above: percent of the canary it shows above."""

    errors: float = 0.0
    slower: float = 1.0
    leak_per_s: float = 0.0
    refused: float = 0.0
    tenant: float = 0.0
    equipment: int = 0
    above: float = 0.0


HEALTHY = Fault()


@dataclass
class Load:
    """One system. rate: requests a second in the mean of a day. noisy: whether all of the above happens."""

    rate: float
    median_us: float
    sigma: float
    failing: float
    noisy: bool = True
    tenants: int = 5
    day_s: float = 0.0

    @classmethod
    def any(cls, rng: random.Random) -> "Load":
        """One of all kinds."""
        return cls(
            rate=exp(rng.uniform(log(4.0), log(900.0))),
            median_us=exp(rng.uniform(log(4_000.0), log(220_000.0))),
            sigma=rng.choice((0.2, 0.4, 0.6, 0.9)),
            failing=rng.choice((0.0002, 0.001, 0.002, 0.004)),
            day_s=rng.uniform(0.0, _DAY_S),
        )


@dataclass
class _Burst:
    """Something that lasts. until: its last second. errors: what share fails; slower: how many times as slow."""

    until: int = -1_000
    errors: float = 0.0
    slower: float = 1.0


@dataclass
class World:
    """Draws the windows of a release. percent: of the requests that go to the new slot."""

    rng: random.Random
    load: Load
    percent: float = 0.0
    fault: Fault = HEALTHY
    _drift: float = 0.0
    _failing: float = 0.0
    _burst: _Burst = field(default_factory=_Burst)
    _rush: _Burst = field(default_factory=_Burst)
    _connections: float = 0.0
    _leaked: float = 0.0
    _sizes: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        sizes = [1.0 / (place + 1.0) for place in range(self.load.tenants)]
        whole = sum(sizes) * 1.25  # the rest is of tenants that windows don't name
        self._sizes = [size / whole for size in sizes]

    def second(self, second: int) -> Window:
        """The next one."""
        rng, load = self.rng, self.load
        self._move(second)
        count = poisson(rng, self._rate(second))
        share = self.percent / 100.0
        if load.noisy and 0.0 < share < 1.0:
            share = min(1.0, share * exp(rng.gauss(0.0, 0.15)))
        new = binomial(rng, count, share)
        groups = {}
        failing = min(0.9, load.failing * exp(self._failing) + self._burst.errors)
        median = load.median_us * exp(self._drift) * self._burst.slower
        fault = self.fault if self.percent > self.fault.above else HEALTHY
        failed = 0
        if new or self.percent:
            cohort = "rest" if self.percent >= 100.0 else "canary"
            errors = failing + (1.0 - failing) * fault.errors
            figures = self._figures(new, errors, median * fault.slower)
            groups[NEW, cohort] = figures = self._connected(figures, fault)
            failed = figures.statuses[4]
        old = count - new
        if self.percent < 100.0:
            groups[OLD, "rest"] = self._figures(old, failing, median)
        return Window(second, "node", groups, self._tenants(new, failed, old, failing, fault))

    def _rate(self, second: int) -> float:
        rate = self.load.rate
        if self.load.noisy:
            hour = 2.0 * pi * (self.load.day_s + second) / _DAY_S
            rate *= exp(0.8 * sin(hour)) * exp(self.rng.gauss(0.0, 0.1))
            rate *= self._rush.slower
        return min(2_000.0, max(1.0, rate))

    def _move(self, second: int) -> None:
        if not self.load.noisy:
            return
        rng = self.rng
        hour = 2.0 * pi * (self.load.day_s + second) / _DAY_S
        self._drift = 0.15 * sin(hour) + 0.995 * (self._drift - 0.15 * sin(hour))
        self._drift += rng.gauss(0.0, 0.004)
        self._failing = 0.999 * self._failing + rng.gauss(0.0, 0.015)
        if self.percent >= 100.0 and self._burst.until > second + 1:
            self._burst.until = second + 1
        if second > self._burst.until:
            self._burst = self._next_burst(second)
        if second > self._rush.until:
            is_rush = rng.random() < 1.0 / 400.0
            until = second + rng.randrange(1, 20)
            self._rush = _Burst(until, slower=rng.uniform(1.5, 4.0)) if is_rush else _Burst()

    def _next_burst(self, second: int) -> _Burst:
        rng = self.rng
        if second < self._burst.until + _APART_S or rng.random() > 1.0 / 300.0:
            return replace(self._burst, errors=0.0, slower=1.0)
        alone = self.percent >= 100.0
        until = second + (rng.randrange(0, 2) if alone else rng.randrange(0, 20))
        if rng.random() < 0.5:
            return _Burst(until, errors=rng.uniform(0.01, 0.5))
        return _Burst(until, slower=rng.uniform(1.2, 4.0))

    def _figures(self, count: int, failing: float, median_us: float) -> Figures:
        rng, load = self.rng, self.load
        errors = binomial(rng, count, failing)
        held = 0
        if load.noisy:
            if rng.random() < 1.0 / 300.0:
                errors = min(count, errors + rng.randrange(2, 15))
            if rng.random() < 1.0 / 60.0:
                held = binomial(rng, count, rng.uniform(0.1, 0.8))
        tail = 0.004 if load.noisy else 0.0
        buckets, total = latencies(rng, count - held, median_us, load.sigma, tail)
        if held:
            more, paused = latencies(rng, held, median_us + rng.uniform(5e4, 6e5), 0.3, 0.0)
            buckets = [one + other for one, other in zip(buckets, more, strict=True)]
            total += paused
        busy = total / 1e6
        return Figures(
            requests=count,
            statuses=(0, count - errors, 0, 0, errors),
            latency_us=int(total),
            buckets=tuple(buckets),
            in_flight=round(busy),
            endpoint_connections=round(self._pool(busy)),
            eligible=4,
            endpoints=4,
        )

    def _pool(self, busy: float) -> float:
        """Connections that are kept: as many as were needed lately."""
        self._connections = max(busy * 1.3 + 2.0, self._connections * 0.98)
        return self._connections

    def _connected(self, figures: Figures, fault: Fault) -> Figures:
        self._leaked += fault.leak_per_s
        refused = binomial(self.rng, figures.requests, fault.refused)
        if not (self._leaked or refused):
            return figures
        held = figures.endpoint_connections + round(self._leaked)
        return replace(figures, endpoint_connections=held, connect_failures=refused)

    def _tenants(
        self, new: int, failed: int, old: int, failing: float, fault: Fault
    ) -> dict[str, TenantFigures]:
        """The named ones. On the new slot are as many, the smallest first, as its share has room for."""
        rng, found = self.rng, {}
        for place, size in enumerate(self._sizes):
            ours, theirs = binomial(rng, new, size), binomial(rng, old, size)
            rate = fault.tenant if fault.tenant and place == 0 else failed / new if new else 0.0
            bad = binomial(rng, ours, rate)
            worse = binomial(rng, theirs, failing)
            if ours + theirs:
                found[f"t{place}"] = TenantFigures(ours + theirs, bad + worse, 0, (ours, bad, 0))
        return found


def course(began: int, steps: tuple[tuple[float, int], ...] = STEPS) -> Iterator[tuple[int, float]]:
    """Each second of a release, and the percentage at it."""
    second = began
    for percent, lasts_s in steps:
        for _ in range(lasts_s):
            yield second, percent
            second += 1


Watch = Callable[[int, float], None]
