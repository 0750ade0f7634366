"""What a latency histogram and an exact sum say: means and quantiles, with their bounds. Pure.

Buckets are those of `proxy.routing.windows.BOUNDS_US`: the i-th holds what took longer than bound i - 1
and at most bound i; the last is open above. A quantile is therefore known to a bucket and no better, and
nothing here interpolates. Means are exact, for sums are told beside the buckets; but one request that hangs
can be most of a mean, so that what lies far above is cut down to a bound (winsorised).
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from math import inf, log, sqrt
from typing import Final

from proxy.routing.windows import BOUNDS_US

OPEN: Final = len(BOUNDS_US)
"""The bucket that is open above; as a bound: none."""
_OVER_MEAN: Final = 8.0
"""So many times the mean is not cut down: a tenth of the requests that takes ten times as long shows."""
_MIDDLES: Final = (
    BOUNDS_US[0] / 2.0,
    *(sqrt(low * high) for low, high in pairwise(BOUNDS_US)),
    BOUNDS_US[-1] * 1.5,
)


def above(buckets: Sequence[float], bound: int) -> float:
    """How many took longer than that bound."""
    return sum(buckets[bound + 1 :])


def bound_above(buckets: Sequence[float], share: float) -> int:
    """The first bound that at most this share exceeds; the last if none is."""
    most = sum(buckets) * share
    left = sum(buckets)
    for bound in range(OPEN):
        left -= buckets[bound]
        if left <= most:
            return bound
    return OPEN - 1


def cut_bound(buckets: Sequence[float], mean_us: float) -> int:
    """Where latencies are cut: at a bound that one in a hundred exceeds, and well over the mean."""
    bound = bound_above(buckets, 0.01)
    while bound < OPEN and BOUNDS_US[bound] < _OVER_MEAN * mean_us:
        bound += 1
    return bound


def cut(micros: int, buckets: Sequence[int], bound: int) -> float:
    """The sum of all latencies, each cut down to the bound; off by less than those buckets are wide."""
    if bound >= OPEN or not any(buckets[bound + 1 :]):
        return float(micros)
    limit = BOUNDS_US[bound]
    beyond = sum(
        count * (_MIDDLES[place] - limit)
        for place, count in enumerate(buckets[bound + 1 :], bound + 1)
    )
    return max(micros - beyond, _least(buckets, bound))


def _least(buckets: Sequence[int], bound: int) -> float:
    """The least that the cut sum can be: each request at its bucket's lower bound."""
    low = sum(buckets[place + 1] * BOUNDS_US[place] for place in range(bound))
    return float(low + sum(buckets[bound + 1 :]) * BOUNDS_US[bound])


def band(requests: float, alpha: float, floor: float, seconds: int, bunch: float) -> float:
    """How far shares in a sample may be off, all at once, whenever it began and ended.

    The inequality of Dvoretzky, Kiefer, Wolfowitz (with Massart's constant), with alpha spread over the
    starting seconds (floor: ln of this one's part, `sequential.spent`) and over lengths d, each with
    1 / (d·(d + 1)). Howard & Ramdas (2022) have a band that shrinks faster; this one may begin anywhere.
    """
    if requests <= 0:
        return 1.0
    nats = log(2.0 / alpha) - floor + log(seconds) + log(seconds + 1.0)
    return min(1.0, sqrt(nats * bunch / (2.0 * requests)))


def quantile(buckets: Sequence[float], share: float, off: float = 0.0) -> tuple[float, float]:
    """Between what a quantile lies, in microseconds: above the first, at most the second.

    off: how far each share of the sample may be from the truth.
    """
    total = sum(buckets)
    if total <= 0:
        return 0.0, inf
    low, high = 0.0, inf
    for bound, below in zip(BOUNDS_US, accumulate(buckets), strict=False):
        if below / total + off < share:
            low = float(bound)
        if high == inf and below / total - off >= share:
            high = float(bound)
    return low, high
