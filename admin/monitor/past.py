"""What traffic was like before, for when there is nothing to compare with at the same time. Pure.

Figures fade with half an hour, so that the hour of the day is followed. Of what is itself being judged
only what is a minute old enters, and only if nothing spoke against it since: a fault that begins is compared
with what was before it, and doesn't become the measure. One that creeps up over hours does: that is what
the absolute thresholds are for.
"""

from collections import deque
from math import exp, inf, log
from typing import Final

from admin.monitor.latency import above, bound_above, cut, cut_bound
from admin.monitor.model import Part

_KEPT: Final = exp(-1.0 / 1_800.0)
_DELAY_S: Final = 60
_ENOUGH: Final = 200.0
"""Requests that make a past."""
_BLOCK: Final = 20
_RENEW_S: Final = 10
_TYPICAL: Final = (0.5, 0.1)
"""What share of requests takes longer than the bounds that are watched."""
_SPREAD: Final = 1.0
"""Variance of one request's latency over its mean squared, before any was measured."""
_PRIOR: Final = 5.0


class Past:
    """Figures that fade. bounds: those that half, and a tenth, of the requests exceed at most.

    spread: how much means of seconds vary, as the variance of one request over the mean squared.
    """

    __slots__ = (
        *("_before", "_block", "_buckets", "_failures", "_micros", "_requests", "_spreads"),
        *("_timed", "_until_renewal", "_waiting", "bounds", "cut_at"),
    )

    def __init__(self) -> None:
        self._requests = self._failures = self._timed = self._micros = 0.0
        self._buckets: list[float] = []
        self._waiting: deque[tuple[int, Part]] = deque()
        self._block = (0, 0.0)
        self._before: tuple[float, float] | None = None
        self._spreads = (_PRIOR * _SPREAD, _PRIOR)
        self._until_renewal = 0
        self.bounds = (0, 0)
        self.cut_at = -1  # nothing is known: nothing is cut

    @property
    def is_known(self) -> bool:
        """Whether there is enough to compare with."""
        return self._requests >= _ENOUGH

    @property
    def is_shaped(self) -> bool:
        """Whether there is a histogram, too."""
        return bool(self._buckets) and sum(self._buckets) >= _ENOUGH

    @property
    def is_timed(self) -> bool:
        """Whether there are latencies."""
        return self._timed >= _ENOUGH

    @property
    def requests(self) -> float:
        """How many it rests on."""
        return self._requests

    @property
    def rate(self) -> float:
        """The share of failures; nearly none, as long as there were none."""
        return (self._failures + 0.2) / (self._requests + 200.0)

    @property
    def shown_rate(self) -> float:
        """The share of failures as it was."""
        return self._failures / self._requests if self._requests else 0.0

    @property
    def failures(self) -> float:
        """How many failed."""
        return self._failures

    @property
    def mean_us(self) -> float:
        """The mean latency, cut."""
        return self._micros / self._timed if self._timed else 0.0

    @property
    def buckets(self) -> list[float]:
        """The histogram."""
        return self._buckets

    @property
    def spread(self) -> float:
        """See the class."""
        return max(0.01, self._spreads[0] / self._spreads[1])

    def cut(self, part: Part) -> float:
        """What a part's requests took together, each cut."""
        if self.cut_at < 0 or not part.buckets:
            return float(part.micros)
        return cut(part.micros, part.buckets, self.cut_at)

    def exceeding(self, place: int) -> tuple[float, float]:
        """How many there are, and how many took longer than one of `bounds`."""
        return sum(self._buckets), above(self._buckets, self.bounds[place])

    def wait(self, second: int, part: Part, *, is_suspect: bool) -> None:
        """Take it a minute later, unless something speaks against it meanwhile."""
        if is_suspect:
            self._waiting.clear()
            return
        self._waiting.append((second, part))
        while self._waiting and self._waiting[0][0] <= second - _DELAY_S:
            self.add(self._waiting.popleft()[1])

    def add(self, part: Part) -> None:
        """Take one second in."""
        self._requests = self._requests * _KEPT + part.requests
        self._failures = self._failures * _KEPT + part.failures
        self._timed = self._timed * _KEPT + part.timed
        taken = self.cut(part)
        self._micros = self._micros * _KEPT + taken
        if part.buckets and part.timed:
            self._add_buckets(part.buckets)
        self._learn_spread(part.timed, taken)
        self._until_renewal -= 1
        if self._until_renewal <= 0 and self.is_shaped:
            self._renew()

    def _add_buckets(self, buckets: tuple[int, ...]) -> None:
        if not self._buckets:
            self._buckets = [float(count) for count in buckets]
            return
        self._buckets = [
            had * _KEPT + count for had, count in zip(self._buckets, buckets, strict=True)
        ]

    def _learn_spread(self, timed: int, taken: float) -> None:
        count, micros = self._block[0] + timed, self._block[1] + taken
        if count < _BLOCK:
            self._block = (count, micros)
            return
        self._block = (0, 0.0)
        level = log(max(1.0, micros) / count)
        before, self._before = self._before, (level, 1.0 / count)
        if before is not None:
            square = (level - before[0]) ** 2 / (1.0 / count + before[1])
            self._spreads = (self._spreads[0] * _KEPT + square, self._spreads[1] * _KEPT + 1.0)

    def _renew(self) -> None:
        self._until_renewal = _RENEW_S
        self.bounds = tuple(bound_above(self._buckets, share) for share in _TYPICAL)  # type: ignore[assignment]
        self.cut_at = cut_bound(self._buckets, self._micros / self._timed if self._timed else inf)
