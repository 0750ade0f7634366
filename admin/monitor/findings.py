"""What a subject's charts say, as triggers: levels by the thresholds, in words with numbers. Pure."""

from collections.abc import Callable
from typing import Final

from admin.monitor.model import ERROR_RATE, RESPONSE_TIME, Level, Trigger
from admin.monitor.sequential import Chart, spent
from admin.monitor.settings import Settings
from admin.monitor.span import Totals
from admin.monitor.subject import Subject
from admin.monitor.tenants import Mix

_BESIDE: Final = "active"


class Findings:
    """Of one subject, at the end of a second. began: the release's first second.

    warm_from: the second from which latencies count. mix: what is expected by whose requests they are.
    """

    def __init__(
        self,
        subject: Subject,
        settings: Settings,
        began: int,
        second: int,
        warm_from: int,
        mix: Callable[[], Mix] = Mix,
    ) -> None:
        self._mix = mix
        self._of, self._settings = subject, settings
        self._began, self._second, self._warm_from = began, second, warm_from

    @property
    def is_there(self) -> bool:
        """Whether the subject had any traffic lately."""
        return bool(self._of.sample or self._of.span.new.requests)

    # ── errors ────────────────────────────────────────────────────────────────────────────────

    def error_rate(self) -> Trigger:
        """See rule 3 of `subject`."""
        of = self._of
        lacking = self._lacking(of.sample, of.compared)
        is_high = of.raised.is_warning
        if lacking and not (is_high and of.sample >= self._settings.minimum_sample):
            return self._unmeasured(ERROR_RATE, lacking, of.sample)
        if of.worse.is_critical and self._is_much():
            return self._of_errors(Level.CRITICAL, of.worse)
        for chart in (of.worse, of.raised):
            if chart.is_warning:
                return self._of_errors(Level.WARNING, chart)
        return self._of_errors(Level.NORMAL, None)

    def _is_much(self) -> bool:
        """Whether so many more failed as is critical, since it is surely worse.

        If too many fail by any measure, what is more than tolerated is enough.
        """
        of, told = self._of, self._settings
        is_high = of.high.is_critical
        points = told.error_rate_tolerated_points if is_high else told.error_rate_up_points
        most = points / 100.0
        if of.compared == _BESIDE:
            most += self._mix().rate
        for since in of.worse.alarms():
            new, old = of.span.since(since)
            before = old.rate if of.compared == _BESIDE else of.past.shown_rate
            if new.rate - before > most:
                return True
        return False

    def _of_errors(self, level: Level, chart: Chart | None) -> Trigger:
        of, since = self._of, self._second
        if chart is None:
            new, old = of.span.new, of.span.old
            since = self._second - self._settings.span_s + 1
        else:
            since = chart.began
            new, old = of.span.since(since)
        by_past = of.compared != _BESIDE
        before = of.past.shown_rate if by_past else old.rate
        told = f"{new.rate:.2%} of {new.requests} requests fail{self._whose()}"
        told += self._compared(f"{before:.2%}", of.compared)
        if chart is not None:
            told += f", for {self._second - since + 1} s"
        evidence: dict[str, object] = {"cohort": of.cohort, "compared_with": of.compared}
        if chart is not None:
            evidence |= {
                "requests": new.requests,
                "failures": new.failures,
                "active_requests": round(of.past.requests) if by_past else old.requests,
                "active_failures": round(of.past.failures) if by_past else old.failures,
                "bunch": round(of.failing.bunch, 2),
                **self._evidence("errors-"),
            }
        active = before if of.compared else None
        return Trigger(ERROR_RATE, level, told, new.rate, active, new.requests, since, evidence)

    # ── latencies ─────────────────────────────────────────────────────────────────────────────

    def response_time(self) -> Trigger:
        """See rule 4 of `subject`."""
        of, told = self._of, self._settings
        lacking = self._lacking(of.timed, of.timed_by)
        if lacking and self._second < self._warm_from:
            lacking = f"it warms up for {self._warm_from - self._second} s more"
        is_long = of.span.new.mean_ms > told.response_warning_ms
        if lacking and not (is_long and of.timed >= told.minimum_sample):
            return self._unmeasured(RESPONSE_TIME, lacking, of.timed)
        if of.timed_by and any(chart.is_warning for chart in of.slow):
            found = self._slower()
            if found is not None:
                return found
        level = Level.WARNING if is_long else Level.NORMAL
        since = self._second - told.span_s + 1
        return self._of_times(level, (of.span.new, of.span.old), since, 0.0)

    def _slower(self) -> Trigger | None:
        """What the seconds say since the evidence rises; None: nothing that is warned of."""
        of, told, by_past = self._of, self._settings, self._of.timed_by != _BESIDE
        before_us = of.past.mean_us if by_past else None
        usual = 1.0 if by_past else self._mix().slower
        sure = sorted({since for chart in of.slow for since in chart.alarms()}, reverse=True)
        for since in sure:
            new, old = of.span.since(since)
            if new.timed < told.minimum_sample:
                continue
            floor = spent(since - self._began)
            certain = of.slower_for_certain(new, old, self._second - since + 1, floor)
            typical = self._typical(since, before_us, (new, old))
            slower = max(typical, certain) / usual
            is_long = new.mean_ms > told.response_critical_ms and (
                slower > 1.0 + told.slower_tolerated_percent / 100.0
            )
            if slower > 1.0 + told.slower_critical_percent / 100.0 or is_long:
                return self._of_times(Level.CRITICAL, (new, old), since, slower)
        floor = spent(self._second - self._began)
        since = max(of.slow, key=lambda each: each.evidence(floor)).began
        totals = of.span.since(since)
        slower = self._typical(since, before_us, totals) / usual
        if slower > 1.0 + told.slower_tolerated_percent / 100.0:
            return self._of_times(Level.WARNING, totals, since, slower)
        return None

    def _typical(self, since: int, before_us: float | None, totals: tuple[Totals, Totals]) -> float:
        """How many times as long most of it takes; 0: so few milliseconds more that it is no matter."""
        new, old = totals
        before_ms = old.mean_ms if before_us is None else before_us / 1000.0
        if new.mean_ms - before_ms < self._settings.slower_least_ms:
            return 0.0
        return self._of.span.usual_ratio(since, before_us) or 0.0

    def _of_times(
        self, level: Level, totals: tuple[Totals, Totals], since: int, slower: float
    ) -> Trigger:
        of, (new, old) = self._of, totals
        before = old.mean_ms if of.timed_by == _BESIDE else of.past.mean_us / 1000.0
        text = f"{new.mean_ms:.1f} ms on average{self._whose()}"
        text += self._compared(f"{before:.1f} ms", of.timed_by)
        if slower:
            text += f"; {slower:.2f} times as long in most of {self._second - since + 1} s"
        evidence: dict[str, object] = {"cohort": of.cohort, "compared_with": of.timed_by}
        if level is not Level.NORMAL:
            evidence |= {
                "requests": new.timed,
                "active_requests": old.timed,
                "slower": round(slower, 3),
                "buckets": list(new.buckets),
                "active_buckets": list(old.buckets),
                **self._evidence("slower-"),
            }
        active = before if of.timed_by else None
        return Trigger(RESPONSE_TIME, level, text, new.mean_ms, active, new.timed, since, evidence)

    # ── both ──────────────────────────────────────────────────────────────────────────────────

    def _lacking(self, sample: int, compared: str) -> str:
        """What lacks for a judgement, in words."""
        told = self._settings
        if sample < told.minimum_sample:
            return f"{sample} of the {told.minimum_sample} requests that it needs"
        if not self._of.span.new.requests:
            return f"none of its requests in the last {told.span_s} s"
        return "" if compared else "there is nothing to compare with"

    def _unmeasured(self, name: str, lacking: str, sample: int) -> Trigger:
        detail = f"not measured yet{self._whose()}: {lacking}"
        evidence = {"cohort": self._of.cohort}
        return Trigger(name, Level.UNMEASURED, detail, None, None, sample, self._second, evidence)

    def _whose(self) -> str:
        return "" if self._of.cohort == "all" else f" for the {self._of.cohort}"

    def _compared(self, figure: str, by: str) -> str:
        if not by:
            return ""
        return f", {figure} " + ("on the active slot" if by == _BESIDE else "before")

    def _evidence(self, of: str) -> dict[str, object]:
        """How far each chart is: 1 is an alarm."""
        floor = spent(self._second - self._began)
        charts = self._of.charts.items()
        far = {
            name: round(chart.evidence(floor), 3) for name, chart in charts if name.startswith(of)
        }
        return {"evidence": far}
