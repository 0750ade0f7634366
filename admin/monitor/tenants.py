"""Single tenants: one for whom the new version fails, while it serves all others. Pure.

A tenant's failures on the new slot are held against the greater of two: what all others have in the same
second, and what the tenant itself had before. The lesser of two bets against either is a bet against both.
Each of `settings.tenants` has the same part of alpha, whether it is there or not: so it doesn't matter who looks
how many up.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from admin.monitor.model import TENANT_ERRORS, Level, Trigger
from admin.monitor.sequential import Chart, bets_on_one, bets_on_two, upper_rate
from admin.monitor.settings import Settings
from proxy.routing.model import Slot
from proxy.routing.windows import TenantFigures, Window

UPS: Final = (0.1, 0.4, 0.85)
SHARE: Final = 0.2
_NATS: Final = 3.0
_KNOWN: Final = 200.0
"""A tenant of whom less is known, and nothing bad, is taken to be like the others."""
_SETTLED_S: Final = 60
_MANY: Final = 20_000.0
_SHOWN: Final = 10
_FADES: Final = 0.97
_TYPICAL: Final = 30.0
"""Requests of a tenant that say what is usual for it."""


class Counts(NamedTuple):
    """Requests and failures of one second, on the new slot and on the old one."""

    new: int = 0
    new_failures: int = 0
    old: int = 0
    old_failures: int = 0
    old_us: int = 0


class Mix(NamedTuple):
    """What is expected of the new slot because of whose requests it gets.

    slower: how many times as long its tenants' requests always took as those of the old slot's tenants; rate: how
    much more of them always failed. At least 1 and 0; and that, if too little is known.
    """

    slower: float = 1.0
    rate: float = 0.0


class _Tenant:
    """One tenant. past: requests and failures. waiting: those that may yet speak against it.

    took: requests that the old slot served, and how long they took (µs). recent: requests on each slot, fading.
    """

    __slots__ = ("chart", "last", "past", "recent", "run", "took", "waiting", "waits_since")

    def __init__(self) -> None:
        self.chart: Chart | None = None
        self.past = self.took = self.recent = (0.0, 0.0)
        self.run = self.waiting = (0, 0)
        self.waits_since = self.last = 0

    def settle(self, second: int, counts: Counts) -> None:
        """Take in what is past."""
        requests, failures = self.past
        requests += counts.old
        failures += counts.old_failures
        if self.chart is not None:
            self.waiting, self.waits_since = (0, 0), second
        elif second - self.waits_since > _SETTLED_S:
            requests, failures = requests + self.waiting[0], failures + self.waiting[1]
            self.waiting, self.waits_since = (0, 0), second
        if requests > _MANY:
            requests, failures = requests / 2.0, failures / 2.0
        self.past = (requests, failures)
        kept = 0.5 if self.took[0] > _MANY else 1.0
        self.took = (self.took[0] * kept + counts.old, self.took[1] * kept + counts.old_us)
        faded = _FADES ** min(600, second - self.last)
        self.recent = (self.recent[0] * faded + counts.new, self.recent[1] * faded + counts.old)
        self.waiting = (self.waiting[0] + counts.new, self.waiting[1] + counts.new_failures)
        self.last = second


class Tenants:
    """All that the windows name, at most `settings.tenants`. judged: requests of theirs so far."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: dict[str, _Tenant] = {}
        self._suspects: dict[str, _Tenant] = {}
        self._all = (0.0, 0.0)
        self._bunch = settings.tenant_bunch
        self.judged = 0

    def learn(self, second: int, tenants: Mapping[str, Counts]) -> None:
        """What was before the release: all of it is past."""
        for tenant, counts in tenants.items():
            both = counts.old + counts.new, counts.old_failures + counts.new_failures
            self._find(tenant).settle(second, Counts(0, 0, *both, counts.old_us))

    def step(self) -> None:
        """Tenants move: whose requests go where begins anew."""
        for found in self._known.values():
            found.recent = (0.0, 0.0)

    def take(
        self,
        second: int,
        floor: float,
        tenants: Mapping[str, Counts],
        everybody: tuple[int, int],
        bunch: float,
    ) -> None:
        """One second. everybody: requests and failures of all traffic on both slots.

        bunch: how many requests of the slot fail together, as measured.
        """
        self._bunch = max(self._settings.tenant_bunch, bunch)
        requests, failures = everybody
        self._all = (self._all[0] * 0.98 + requests, self._all[1] * 0.98 + failures)
        for tenant, counts in tenants.items():
            found = self._find(tenant)
            if counts.new:
                self.judged += counts.new
                if counts.new_failures or found.chart is not None:
                    others = (
                        max(0, requests - counts.new - counts.old),
                        max(0, failures - counts.new_failures - counts.old_failures),
                    )
                    self._judge(second, floor, (tenant, found), counts, others)
            found.settle(second, counts)
        self._forget(second)

    def _find(self, tenant: str) -> _Tenant:
        found = self._known.get(tenant)
        if found is None:
            found = self._known[tenant] = _Tenant()
        return found

    def _judge(
        self,
        second: int,
        floor: float,
        of: tuple[str, _Tenant],
        counts: Counts,
        others: tuple[int, int],
    ) -> None:
        tenant, found = of
        chart = found.chart
        if chart is None:
            chart = found.chart = self._chart()
            found.run = (0, 0)
            self._suspects[tenant] = found
        found.run = (found.run[0] + counts.new, found.run[1] + counts.new_failures)
        chart.add(second, floor, self._gains(found, counts, others))
        if chart.rests(floor):
            found.chart = None
            del self._suspects[tenant]

    def _chart(self) -> Chart:
        told = self._settings
        share = SHARE / told.tenants
        return Chart(len(UPS), told.alpha * share, told.alpha_warning * share, told.seconds_least)

    def _gains(self, found: _Tenant, counts: Counts, others: tuple[int, int]) -> list[float]:
        told = self._settings
        pair, bunch = (counts.new, counts.new_failures), self._bunch
        usual = (self._all[1] + 0.2) / (self._all[0] + 200.0)
        margin = told.tenant_errors_up_points / 100.0
        requests, failures = found.past
        if requests < _KNOWN and not failures:
            requests, failures = _KNOWN, _KNOWN * usual
        most = upper_rate(requests, failures, bunch, _NATS) + margin
        by_past = bets_on_one(most, UPS, *pair, bunch)
        failures_of_others = min(others[1], others[0])
        if not others[0]:
            return by_past
        by_others = bets_on_two(margin, UPS, pair, (others[0], failures_of_others), usual, bunch)
        return [min(each) for each in zip(by_past, by_others, strict=True)]

    def _forget(self, second: int) -> None:
        """Who was not seen for long is no suspect; of too many, those not seen for longest go."""
        told = self._settings
        for tenant in [t for t, f in self._suspects.items() if f.last < second - told.span_s]:
            self._suspects.pop(tenant).chart = None
        if len(self._known) > told.tenants:
            oldest = sorted(self._known, key=lambda tenant: self._known[tenant].last)
            for tenant in oldest[: max(1, len(self._known) - told.tenants * 9 // 10)]:
                del self._known[tenant]
                self._suspects.pop(tenant, None)

    def mix(self, second: int) -> Mix:
        """Of the tenants that had requests lately, by what each always had on the old slot."""
        named = [0.0, 0.0]
        known = [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
        for found in self._known.values():
            faded = _FADES ** (second - found.last)
            typical = found.took[0] >= _TYPICAL
            for slot in (0, 1):
                weight = found.recent[slot] * faded
                named[slot] += weight
                if typical and weight:
                    of = known[slot]
                    of[0] += weight
                    of[1] += weight * found.took[1] / found.took[0]
                    of[2] += weight * found.past[1] / found.past[0]
        if any(of[0] < 0.5 * whole or not of[1] for of, whole in zip(known, named, strict=True)):
            return Mix()
        (ours, ours_us, ours_failed), (theirs, theirs_us, theirs_failed) = known
        return Mix(
            max(1.0, ours_us / ours / (theirs_us / theirs)),
            max(0.0, ours_failed / ours - theirs_failed / theirs),
        )

    def trigger(self, second: int) -> Trigger:
        """The tenants for whom it fails."""
        if self.judged < self._settings.minimum_sample:
            detail = f"not measured yet: {self.judged} requests of tenants that are known by name"
            return Trigger(TENANT_ERRORS, Level.UNMEASURED, detail, sample=self.judged)
        critical = self._over(critical=True)
        found = critical or self._over(critical=False)
        if not found:
            detail = f"none of {len(self._known)} tenants fails more than it did and others do"
            return Trigger(TENANT_ERRORS, Level.NORMAL, detail, sample=self.judged)
        return self._told(Level.CRITICAL if critical else Level.WARNING, found, second)

    def _told(self, level: Level, found: list[tuple[str, _Tenant]], second: int) -> Trigger:
        worst, first = found[0]
        requests, failures = first.run
        before = first.past[1] / first.past[0] if first.past[0] else None
        detail = f"{worst}: {failures} of {requests} requests fail"
        detail += (
            f", {before:.2%} before" if before is not None else ", and nothing is known before"
        )
        if len(found) > 1:
            detail += f"; and {len(found) - 1} more tenants"
        evidence = {
            "tenants": {
                tenant: {
                    "requests": of.run[0],
                    "failures": of.run[1],
                    "requests_before": round(of.past[0]),
                    "failures_before": round(of.past[1]),
                }
                for tenant, of in found[:_SHOWN]
            },
            "count": len(found),
        }
        began = first.chart.began if first.chart else second
        rate = failures / requests if requests else None
        return Trigger(TENANT_ERRORS, level, detail, rate, before, requests, began, evidence)

    def _over(self, *, critical: bool) -> list[tuple[str, _Tenant]]:
        """Those over the bar, the most failures first."""
        least = self._settings.tenant_failures if critical else 1
        over = [
            (tenant, found)
            for tenant, found in self._suspects.items()
            if (chart := found.chart) is not None and found.run[1] >= least
            if (chart.is_critical if critical else chart.is_warning)
        ]
        return sorted(over, key=lambda each: -each[1].run[1])


def counts_of(tenants: Mapping[str, TenantFigures], standby: Slot) -> dict[str, Counts]:
    """Of one window: each tenant's requests on the new slot and on the old one."""
    is_green = standby is Slot.GREEN
    found = {}
    for tenant, each in tenants.items():
        green, failed = each.green[0], each.green[1]
        blue, blue_failed = each.requests - green, each.failures - failed
        found[tenant] = (
            Counts(green, failed, blue, blue_failed, each.micros - each.green[2])
            if is_green
            else Counts(blue, blue_failed, green, failed, each.green[2])
        )
    return found


def counts_in(windows: list[Window], standby: Slot) -> dict[str, Counts]:
    """Of all windows of one second."""
    if len(windows) == 1:
        return counts_of(windows[0].tenants, standby)
    total: dict[str, Counts] = {}
    for window in windows:
        for tenant, counts in counts_of(window.tenants, standby).items():
            had = total.get(tenant)
            total[tenant] = (
                counts if had is None else Counts(*map(sum, zip(had, counts, strict=True)))
            )
    return total
