"""The last seconds of both slots, and what they add up to. Pure."""

from collections import deque
from typing import NamedTuple

from admin.monitor.model import NONE, Part


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

    def since(self, second: int) -> tuple[Totals, Totals]:
        """New and old from that second on, as far as the span has it, with histograms."""
        rows = [row for row in self._rows if row.second >= second]
        return (
            _sum([(row.new, row.new_us) for row in rows]),
            _sum([(row.old, row.old_us) for row in rows]),
        )


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
