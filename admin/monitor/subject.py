"""A part of the traffic that is watched: its error rate and its response time. Pure.

Rules:
1. Compared is with the old slot in the same second, as long as that has a quarter of our traffic; else with the
   past: what the old slot did before, and then what we did ourselves. What there is no measure for is unmeasured.
2. A second's bets are laid before its outcome is known: by what was before it.
3. Critical is what is surely worse than is tolerated, and was measured, since that began, beyond the critical
   threshold: errors by `error_rate_up_points`, the mean latency by `slower_critical_percent`. To be sure of the
   threshold itself, where 1.6 times is true and 1.5 the threshold, would take minutes (decision 39); who wants
   that sets what is tolerated to the threshold. A quantile that is slower by that much for certain is critical too.
4. What is over an absolute threshold is critical only if it is also surely worse: what both slots have is no reason
   to go back.
5. Latencies are not compared with those of a slot that itself fails: who is refused at once isn't served fast
   (`FAILING`). What the new version is slower than is then unknown, and such seconds are no past.
"""

from math import log
from typing import Final

from admin.monitor import latency
from admin.monitor.model import Part
from admin.monitor.past import Past
from admin.monitor.sequential import (
    Chart,
    Dispersion,
    Ratio,
    bets_on_one,
    bets_on_two,
    upper_rate,
)
from admin.monitor.settings import Settings
from admin.monitor.span import Span, Totals

WORSE: Final = (0.015, 0.05, 0.3)
"""Bets: how much more fail than is allowed."""
HIGH: Final = (0.01, 0.04, 0.2)
SLOWER: Final = (0.05, 0.2, 0.45)
"""Bets: how many more take longer than is allowed."""
SLOWER_POINTS: Final = 0.05
"""So many more of the requests may take longer than a bound."""
NATS: Final = 9.0
"""A past's rate is taken at its upper limit: exceeded by chance once in 8 000."""
_PART_OF_US: Final = 4
FAILING: Final = 0.05
"""With more failures in a second, the old slot's latencies are no measure: at 5 % a mean is off by as much at most."""
SHARES: Final = {
    "errors-worse": 0.12,
    "errors-high": 0.03,
    "slower-typical": 0.05,
    "slower-tail": 0.05,
    "slower-mean": 0.05,
}
"""Of alpha, for each of two subjects: 0.6 together; see `judge` for the rest."""


class Subject:
    """A part of the traffic. cohort: what it is called. past: what to compare with; filled as we go.

    has_own_past: the past is of the same tenants, and the old slot's traffic isn't.
    """

    def __init__(self, cohort: str, settings: Settings, past: Past, *, has_own_past: bool) -> None:
        self.cohort, self.past, self._settings = cohort, past, settings
        self._has_own_past = has_own_past
        self.worse = self._chart(WORSE, "errors-worse")
        self.high = self._chart(HIGH, "errors-high")
        self.raised = self._chart(HIGH, "errors-high")
        self.typical = self._chart(SLOWER, "slower-typical")
        self.tail = self._chart(SLOWER, "slower-tail")
        self.mean = self._chart(Ratio.BETS, "slower-mean")
        self.failing = Dispersion()
        self._taking = (Dispersion(), Dispersion())
        self._ratio = Ratio()
        self._tolerated = log(1.0 + settings.slower_tolerated_percent / 100.0)
        self.span = Span(settings.span_s)
        self.sample = self.seconds = self.timed = 0
        self.compared = self.timed_by = ""

    def _chart(self, bets: tuple[float, ...], name: str) -> Chart:
        told = self._settings
        share = SHARES[name]
        slow = name.startswith("slower")
        least = told.slower_seconds_least if slow else told.seconds_least
        return Chart(len(bets), told.alpha * share, told.alpha_warning * share, least)

    @property
    def charts(self) -> dict[str, Chart]:
        """By name."""
        return {
            "errors-worse": self.worse,
            "errors-high": self.high,
            "slower-typical": self.typical,
            "slower-tail": self.tail,
            "slower-mean": self.mean,
        }

    @property
    def slow(self) -> tuple[Chart, Chart, Chart]:
        """Those of the response time."""
        return self.typical, self.tail, self.mean

    @property
    def is_suspect(self) -> bool:
        """Whether more speaks against it than by chance in one second of a few."""
        charts = (self.worse, *self.slow)
        return max(max(chart.levels) for chart in charts) > 0.0

    def step(self) -> None:
        """Other requests come from now on: the sample begins anew, and so does a block of latencies."""
        self.sample = self.seconds = self.timed = 0
        self._ratio.forget_block()

    def take(self, second: int, floor: float, new: Part, old: Part, *, is_warm: bool) -> None:
        """One second. floor: `sequential.spent` of it. is_warm: whether latencies count."""
        if new.requests:
            self.sample += new.requests
            self.seconds += 1
            self._rates(second, floor, new, old)
            if is_warm and new.timed:
                self.timed += new.timed
                self._times(second, floor, new, old)
        cut, sound = self.past.cut, _sound(old)
        self.span.add(second, new, sound, cut(new), cut(sound))
        if self._has_own_past or not old.requests:
            if new.requests:
                self.past.wait(second, new, is_suspect=self.is_suspect)
        else:
            self.past.add(sound)

    def rest(self, old: Part) -> None:
        """One second that isn't judged; the old slot's figures count as its past."""
        if old.requests and not self._has_own_past:
            self.past.add(_sound(old))

    # ── errors ────────────────────────────────────────────────────────────────────────────────

    def _rates(self, second: int, floor: float, new: Part, old: Part) -> None:
        pair, bunch = (new.requests, new.failures), self.failing.bunch
        beside = (old.requests, old.failures) if _is_enough(old.requests, new.requests) else None
        self.failing.add(pair, beside)
        told = self._settings
        self.compared = "active" if beside else "before" if self.past.is_known else ""
        # A second without failures speaks for it, and can't speak more than that.
        if self.compared and (new.failures or not self.worse.rests(floor)):
            self.worse.add(second, floor, self._worse(pair, beside, bunch))
        for chart, percent in (
            (self.high, told.error_rate_critical_percent),
            (self.raised, told.error_rate_warning_percent),
        ):
            if new.failures or not chart.rests(floor):
                chart.add(second, floor, bets_on_one(percent / 100.0, HIGH, *pair, bunch))

    def _worse(
        self, pair: tuple[int, int], beside: tuple[int, int] | None, bunch: float
    ) -> list[float]:
        past, points = self.past, self._settings.error_rate_tolerated_points / 100.0
        if beside:
            return bets_on_two(points, WORSE, pair, beside, past.rate, bunch)
        most = upper_rate(past.requests, past.failures, bunch, NATS) + points
        return bets_on_one(most, WORSE, *pair, bunch)

    # ── latencies ─────────────────────────────────────────────────────────────────────────────

    def _times(self, second: int, floor: float, new: Part, old: Part) -> None:
        beside = old if _is_enough(old.timed, new.timed) else None
        if beside is not None and _is_failing(beside):
            self._ratio.forget_block()
            return
        self.timed_by = "active" if beside else "before" if self.past.is_timed else ""
        if self.past.is_shaped:
            for place, chart in enumerate((self.typical, self.tail)):
                chart.add(second, floor, self._exceeding(place, new, beside))
        if self.timed_by:
            gains = self._slower(new, beside)
            if gains is not None:
                self.mean.add(second, floor, gains)

    def _exceeding(self, place: int, new: Part, beside: Part | None) -> list[float]:
        """How many took longer than a bound that few of the old one's exceed."""
        past, dispersion = self.past, self._taking[place]
        bound, bunch = past.bounds[place], dispersion.bunch
        pair = (new.timed, sum(new.buckets[bound + 1 :]))
        requests, exceeding = past.exceeding(place)
        if beside is None:
            dispersion.add(pair, None)
            most = upper_rate(requests, exceeding, bunch, NATS) + SLOWER_POINTS
            return bets_on_one(most, SLOWER, *pair, bunch)
        theirs = (beside.timed, sum(beside.buckets[bound + 1 :]))
        dispersion.add(pair, theirs)
        guess = exceeding / requests
        return bets_on_two(SLOWER_POINTS, SLOWER, pair, theirs, guess, bunch)

    def _slower(self, new: Part, beside: Part | None) -> list[float] | None:
        past = self.past
        ours = (float(new.timed), past.cut(new))
        if beside is not None:
            theirs = (float(beside.timed), past.cut(beside))
        else:
            many = 20.0 * new.timed  # a past is known well
            theirs = (many, many * past.mean_us)
        return self._ratio.add(ours, theirs, self._tolerated, past.spread)

    # ── what it was ───────────────────────────────────────────────────────────────────────────

    def slower_for_certain(self, new: Totals, old: Totals, seconds: int, floor: float) -> float:
        """How many times as long the median or the 95th percentile is, at least. 0: not known.

        Certain but for the part of alpha that the chart of typical latencies has. seconds: how long
        that was; floor: `spent` of the second in which it began.
        """
        alpha, bunch = self._settings.alpha * SHARES["slower-typical"], self._taking[0].bunch
        theirs = old.buckets if self.timed_by == "active" else self.past.buckets
        if not new.buckets or not theirs:
            return 0.0
        off = latency.band(new.timed, alpha / 2.0, floor, seconds, bunch)
        off_old = latency.band(sum(theirs), alpha / 2.0, floor, seconds, bunch)
        found = 0.0
        for share in (0.5, 0.95):
            least, _ = latency.quantile(new.buckets, share, off)
            _, most = latency.quantile(theirs, share, off_old)
            if least - most >= self._settings.slower_least_ms * 1000.0:
                found = max(found, least / most)
        return found


def _is_enough(old: int, new: int) -> bool:
    return old > 0 and old * _PART_OF_US >= new


def _is_failing(old: Part) -> bool:
    return old.failures > FAILING * old.requests


def _sound(old: Part) -> Part:
    """Without its latencies, if they are those of failures."""
    return Part(old.requests, old.failures) if _is_failing(old) else old
