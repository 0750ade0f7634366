"""The last seconds of both slots, and what they add up to. Pure."""

from collections import deque
from statistics import median_low
from typing import Final, NamedTuple

from admin.monitor.model import NONE, Part

_BLOCK: Final = 20
"""Requests of which a mean says something."""


class Totals(NamedTuple):
    """Over some seconds. requests, failures; timed: answers; took_us: their latencies, cut."""

    requests: int = 0
    failures: int = 0
    timed: int = 0
    took_us: float = 0.0
    buckets: tuple[int, ...] = ()

    @property
    def rate(self) -> float:
        """The share of failures."""
        return self.failures / self.requests if self.requests else 0.0

    @property
    def mean_ms(self) -> float:
        """The mean latency, milliseconds."""
        return self.took_us / self.timed / 1000.0 if self.timed else 0.0


class _Row(NamedTuple):
    second: int
    new: Part
    old: Part
    new_us: float
    old_us: float


class Span:
    """At most so many seconds, the newest. new, old: what they add up to, without histograms."""

    __slots__ = ("_length", "_new", "_old", "_rows")

    def __init__(self, length: int) -> None:
        self._length = length
        self._rows: deque[_Row] = deque()
        self._new = [0, 0, 0, 0.0]
        self._old = [0, 0, 0, 0.0]

    def add(self, second: int, new: Part, old: Part, new_us: float, old_us: float) -> None:
        """One second more; what is older than the span goes."""
        rows = self._rows
        rows.append(_Row(second, new, old, new_us, old_us))
        _count(self._new, new, new_us)
        _count(self._old, old, old_us)
        while rows[0].second <= second - self._length:
            row = rows.popleft()
            _discount(self._new, row.new, row.new_us)
            _discount(self._old, row.old, row.old_us)

    @property
    def new(self) -> Totals:
        """Of the new slot."""
        return _totals(self._new)

    @property
    def old(self) -> Totals:
        """Of the old slot."""
        return _totals(self._old)

    def usual_ratio(self, second: int, before_us: float | None) -> float | None:
        """How many times as long ours take, in at least half of the blocks since that second.

        Blocks are seconds, or as many as have enough requests: so neither a pause of a second, nor one request
        that hangs, is most of it. before_us: the mean to compare with; None: the old slot's of the same time.
        """
        return _usual_ratio([row for row in self._rows if row.second >= second], before_us)

    def since(self, second: int) -> tuple[Totals, Totals]:
        """New and old from that second on, as far as the span has it, with histograms."""
        rows = [row for row in self._rows if row.second >= second]
        return (
            _sum([(row.new, row.new_us) for row in rows]),
            _sum([(row.old, row.old_us) for row in rows]),
        )


def _usual_ratio(rows: list[_Row], before_us: float | None) -> float | None:
    ratios, (n_new, us_new, n_old, us_old) = [], (0, 0.0, 0, 0.0)
    for row in rows:
        if before_us is None and row.old.requests and not row.old.timed:
            continue  # it failed, and is no measure
        n_new, us_new = n_new + row.new.timed, us_new + row.new_us
        n_old, us_old = n_old + row.old.timed, us_old + row.old_us
        if n_new < _BLOCK or (before_us is None and n_old < _BLOCK):
            continue
        theirs = us_old / n_old if before_us is None else before_us
        if theirs > 0.0:
            ratios.append(us_new / n_new / theirs)
        n_new, us_new, n_old, us_old = 0, 0.0, 0, 0.0
    return median_low(ratios) if ratios else None


def _count(totals: list[float], part: Part, took_us: float) -> None:
    if part.requests:
        totals[0] += part.requests
        totals[1] += part.failures
        totals[2] += part.timed
        totals[3] += took_us


def _discount(totals: list[float], part: Part, took_us: float) -> None:
    if part.requests:
        totals[0] -= part.requests
        totals[1] -= part.failures
        totals[2] -= part.timed
        totals[3] -= took_us


def _totals(counted: list[float]) -> Totals:
    requests, failures, timed, took_us = counted
    return Totals(int(requests), int(failures), int(timed), max(0.0, took_us))


def _sum(parts: list[tuple[Part, float]]) -> Totals:
    counted = [0, 0, 0, 0.0]
    for part, took_us in parts:
        _count(counted, part, took_us)
    shaped = [part.buckets for part, _ in parts if part is not NONE and part.buckets]
    return _totals(counted)._replace(buckets=tuple(map(sum, zip(*shaped, strict=True))))
