"""Draws counts, not requests: a second of two thousand requests costs as much as one of ten."""

import random
from bisect import bisect_left
from functools import cache
from math import exp, log, sqrt
from statistics import NormalDist

from proxy.routing.windows import BOUNDS_US

_NORMAL = NormalDist()
_SMALL = 9.0
_TAIL_FACTOR = (8.0, 80.0)
_STEPS = 200


def poisson(rng: random.Random, mean: float) -> int:
    """How many of many, each of which is unlikely."""
    if mean <= 0.0:
        return 0
    if mean > 30.0:
        return max(0, round(rng.gauss(mean, sqrt(mean))))
    limit, product, count = exp(-mean), rng.random(), 0
    while product > limit:
        product *= rng.random()
        count += 1
    return count


def binomial(rng: random.Random, count: int, share: float) -> int:
    """How many of so many."""
    if count <= 0 or share <= 0.0:
        return 0
    if share >= 1.0:
        return count
    if share > 0.5:
        return count - binomial(rng, count, 1.0 - share)
    mean = count * share
    if mean > _SMALL:
        drawn = round(rng.gauss(mean, sqrt(mean * (1.0 - share))))
        return min(max(0, drawn), count)
    odds = share / (1.0 - share)
    left, hits, chance = rng.random(), 0, (1.0 - share) ** count
    while left > chance and hits < count:
        left -= chance
        chance *= odds * (count - hits) / (hits + 1)
        hits += 1
    return hits


@cache
def shape(step: int, sigma: float) -> tuple[tuple[int, float, float], ...]:
    """A log-normal with its median at exp(step / _STEPS) µs: (bucket, share of what is left, mean µs)."""
    mu = step / _STEPS
    edges = [0.0, *(_NORMAL.cdf((log(bound) - mu) / sigma) for bound in BOUNDS_US), 1.0]
    firsts = [
        0.0,
        *(_NORMAL.cdf((log(bound) - mu - sigma * sigma) / sigma) for bound in BOUNDS_US),
        1.0,
    ]
    whole, left, found = exp(mu + sigma * sigma / 2.0), 1.0, []
    for place in range(len(BOUNDS_US) + 1):
        share = edges[place + 1] - edges[place]
        if share > 1e-7 and left > 1e-7:
            mean = whole * (firsts[place + 1] - firsts[place]) / share
            found.append((place, min(1.0, share / left), mean))
        left -= share
    return tuple(found)


def latencies(
    rng: random.Random, count: int, median_us: float, sigma: float, tail: float
) -> tuple[list[int], float]:
    """Buckets and sum of so many latencies; `tail`: the share that takes 8 to 80 times as long."""
    buckets, total = [0] * (len(BOUNDS_US) + 1), 0.0
    hanging = binomial(rng, count, tail) if tail else 0
    for _ in range(min(hanging, 40)):
        one = median_us * rng.uniform(*_TAIL_FACTOR) * exp(rng.gauss(0.0, sigma))
        buckets[bisect_left(BOUNDS_US, one)] += 1
        total += one
    left = count - min(hanging, 40)
    for place, share, mean in shape(round(log(median_us) * _STEPS), sigma):
        if left <= 0:
            break
        drawn = left if share >= 0.999999 else binomial(rng, left, share)
        if drawn:
            buckets[place] += drawn
            total += drawn * mean * max(0.3, 1.0 + rng.gauss(0.0, 0.25) / sqrt(drawn))
            left -= drawn
    if left > 0:  # what rounding left
        buckets[bisect_left(BOUNDS_US, median_us)] += left
        total += left * median_us
    return buckets, total
