"""What is a slot's and not a request's: connections to its endpoints, the endpoints, and leaks. Pure."""

from collections import deque
from typing import Final

from admin.monitor.model import (
    CONNECTION_FAILURES,
    CONNECTION_LEAK,
    ENDPOINTS,
    Level,
    Part,
    Trigger,
)
from admin.monitor.past import Past
from admin.monitor.sequential import Chart, Dispersion, bets_on_one, bets_on_two, upper_rate
from admin.monitor.settings import Settings
from proxy.routing.windows import Figures

SHARE: Final = 0.1
UPS: Final = (0.015, 0.05, 0.3)
_NATS: Final = 9.0
_FAST_S: Final = 1
_LENGTHS_S: Final = (_FAST_S, 2, 20)
"""A leak that doubles the figure in seven of them is found; a slower one needs longer ones."""
_BLOCKS: Final = 7
_NO_SUMS: Final = (0.0, 0.0, 0.0, 0.0)
_EVEN: Final = 2.5
"""Each step of a leak is so many times the usual one at most, and such a part of it at least."""


class Connecting:
    """Connections to endpoints that could not be made, of those that were tried, against the old slot."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._past = Past()
        self._failing = Dispersion()
        self._chart = Chart(
            len(UPS), settings.alpha * SHARE, settings.alpha_warning * SHARE, settings.seconds_least
        )
        self._run = (0, 0)
        self.sample = 0

    def learn(self, old: Figures) -> None:
        """What was before the release."""
        self._past.add(_tries(old))

    def take(self, second: int, floor: float, new: Figures, old: Figures) -> None:
        """One second."""
        ours, theirs = _tries(new), _tries(old)
        if ours.requests:
            self.sample += ours.requests
            self._judge(second, floor, ours, theirs)
        if theirs.requests:
            self._past.add(theirs)

    def _judge(self, second: int, floor: float, ours: Part, theirs: Part) -> None:
        pair, bunch = (ours.requests, ours.failures), self._failing.bunch
        is_beside = theirs.requests * 4 >= ours.requests
        beside = (theirs.requests, theirs.failures) if is_beside else None
        self._failing.add(pair, beside)
        if self._chart.rests(floor):
            self._run = (0, 0)
            if not ours.failures:
                return
        margin = self._settings.connect_failures_percent / 100.0
        if beside:
            gains = bets_on_two(margin, UPS, pair, beside, self._past.rate, bunch)
        else:
            # Without a past, none may fail but the margin.
            past = self._past
            most = upper_rate(past.requests, past.failures, bunch, _NATS) if past.is_known else 0.0
            gains = bets_on_one(most + margin, UPS, *pair, bunch)
        self._run = (self._run[0] + ours.requests, self._run[1] + ours.failures)
        self._chart.add(second, floor, gains)

    def trigger(self, second: int) -> Trigger:
        """Whether they fail."""
        least = self._settings.minimum_sample
        if self.sample < least:
            detail = f"not measured yet: {self.sample} of the {least} requests that it needs"
            return Trigger(CONNECTION_FAILURES, Level.UNMEASURED, detail, sample=self.sample)
        chart, (tries, failed) = self._chart, self._run
        before = self._past.shown_rate
        if not chart.is_warning:
            detail = f"connections to endpoints are made; {before:.2%} failed on the active slot"
            return Trigger(CONNECTION_FAILURES, Level.NORMAL, detail, None, before, self.sample)
        level = Level.CRITICAL if chart.is_critical else Level.WARNING
        rate = failed / tries if tries else 0.0
        detail = f"{failed} connections to endpoints failed in {tries} tries, {before:.2%} on the active slot"
        detail += f", for {second - chart.began + 1} s"
        evidence = {"tries": tries, "failed": failed, "bunch": round(self._failing.bunch, 2)}
        name = CONNECTION_FAILURES
        return Trigger(name, level, detail, rate, before, tries, chart.began, evidence)


def _tries(figures: Figures) -> Part:
    tries = figures.requests + figures.broken + figures.retries
    failed = figures.connect_failures
    return Part(max(tries, failed), failed)


class Endpoints:
    """Endpoints that aren't eligible: ejected, or failing their checks."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._now = (0, 0)
        self._some_since: int | None = None
        self._most_since: int | None = None

    def take(self, second: int, new: Figures) -> None:
        """One second; gauges are sums over workers, so that only shares mean anything."""
        self._now = (new.eligible, new.endpoints)
        if not new.endpoints:
            return
        share = 100.0 * new.eligible / new.endpoints
        least = self._settings.endpoints_least_percent
        self._some_since = _since(self._some_since, second, happens=share < 100.0)
        self._most_since = _since(self._most_since, second, happens=share < least)

    def trigger(self, second: int) -> Trigger:
        """How many are left."""
        eligible, endpoints = self._now
        if not endpoints:
            return Trigger(
                ENDPOINTS, Level.UNMEASURED, "no worker has told of the slot's endpoints"
            )
        share = eligible / endpoints
        lasts = self._settings.endpoints_lost_s
        detail = f"{share:.0%} of the endpoints are eligible"
        evidence = {"eligible": eligible, "endpoints": endpoints}
        for level, since in (
            (Level.CRITICAL, self._most_since),
            (Level.WARNING, self._some_since),
        ):
            if since is not None and second - since >= lasts:
                detail += f", for {second - since} s not all"
                return Trigger(ENDPOINTS, level, detail, share, None, endpoints, since, evidence)
        return Trigger(ENDPOINTS, Level.NORMAL, detail, share, None, endpoints, 0, evidence)


def _since(before: int | None, second: int, *, happens: bool) -> int | None:
    if not happens:
        return None
    return second if before is None else before


class _Blocks:
    """Means of a figure and of the requests, by blocks of seconds, on both slots."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        self._block = -1
        self._sums = _NO_SUMS
        self._count = 0
        self._done: deque[tuple[float, ...]] = deque(maxlen=_BLOCKS)

    def take(self, second: int, figures: tuple[float, ...]) -> None:
        """One second: figure and requests of the new slot, and of the old one."""
        block = second // self.seconds
        if block != self._block:
            if self._count:
                self._done.append(tuple(total / self._count for total in self._sums))
            if block > self._block + 1:
                self._done.clear()
            self._block, self._sums, self._count = block, _NO_SUMS, 0
        ours, asked, theirs, asked_of_them = self._sums
        self._sums = (
            *(ours + figures[0], asked + figures[1]),
            *(theirs + figures[2], asked_of_them + figures[3]),
        )
        self._count += 1

    def growth(self, least: float) -> tuple[float, float, float] | None:
        """First, last, and by how much it outgrew requests and old slot; None: it doesn't grow evenly."""
        done = self._done
        if len(done) < _BLOCKS or done[-1][0] - done[0][0] < least:
            return None
        usual = (done[-1][0] - done[0][0]) / (_BLOCKS - 1)
        for before, after in zip(done, list(done)[1:], strict=False):
            if not usual / _EVEN <= after[0] - before[0] <= usual * _EVEN:
                return None
        first, last = done[0], done[-1]
        asked = max(1.0, last[1] / max(first[1], 1.0))
        others = 1.0
        if first[3] >= 1.0 and last[3] >= 1.0:
            # What makes both slots hold more is none of the new version's.
            others = last[2] / max(first[2], 1.0) / max(1.0, last[3] / first[3])
        return first[0], last[0], last[0] / max(first[0], 1.0) / asked / max(1.0, others)


class Growth:
    """A figure that grows by even steps over seven blocks of time while the requests don't: a leak.

    Blocks of 1 s for a fast one, up to 20 s for a slow one (`_LENGTHS_S`). By chance seven figures stand in order once in
    5 040 times; that they also double, and by even steps, is what a pool that fills doesn't do.
    """

    def __init__(self, settings: Settings, least: float) -> None:
        self._factor = settings.leak_growth_percent / 100.0
        self._least = least
        self.step()

    def step(self) -> None:
        """Other requests come from now on."""
        self._blocks = tuple(_Blocks(seconds) for seconds in _LENGTHS_S)
        self._known = 0

    def take(
        self, second: int, figure: float, requests: int, old: tuple[float, int] = (0.0, 0)
    ) -> None:
        """One second. old: figure and requests of the old slot, if it has any."""
        self._known += 1
        for blocks in self._blocks:
            blocks.take(second, (figure, float(requests), old[0], float(old[1])))

    def trigger(self, name: str, what: str, second: int) -> Trigger:
        """Whether it leaks."""
        if self._known < _FAST_S * _BLOCKS:
            detail = f"not measured yet: {self._known} s of {what}"
            return Trigger(name, Level.UNMEASURED, detail, sample=self._known)
        for level, part in ((Level.CRITICAL, 1.0), (Level.WARNING, 0.5)):
            for blocks in self._blocks:
                grown = blocks.growth(self._least * part)
                if grown is not None and grown[2] >= 1.0 + self._factor * part:
                    return self._told(name, level, what, grown, (second, blocks.seconds))
        return Trigger(name, Level.NORMAL, f"{what} don't outgrow the requests", sample=self._known)

    def _told(
        self,
        name: str,
        level: Level,
        what: str,
        grown: tuple[float, float, float],
        when: tuple[int, int],
    ) -> Trigger:
        (first, last, factor), (second, block_s) = grown, when
        lasted = block_s * _BLOCKS
        detail = f"{what} grew from {first:.0f} to {last:.0f} in {lasted} s, "
        detail += f"{factor:.1f} times as much as the requests"
        evidence = {"first": round(first, 1), "last": round(last, 1), "outgrew": round(factor, 2)}
        return Trigger(name, level, detail, last, first, self._known, second - lasted, evidence)


def leak_of(settings: Settings) -> Growth:
    """Of the slot's connections to its endpoints."""
    return Growth(settings, float(settings.leak_connections))


LEAK: Final = (CONNECTION_LEAK, "connections to endpoints")
