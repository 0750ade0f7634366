"""When a fault could have been known, by somebody who knows when it began and what it is. Pure.

The monitor knows neither. It asks many questions each second, and must not err though it looks again and again;
who asks one question, once, needs less. So the time from what is told here to the last request on the
bad slot is the monitor's own, the way through windows and controllers included.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import comb, sqrt
from statistics import NormalDist, fmean, pstdev

LEAST = 30
"""Fewer requests are no sample, as the monitor's settings have it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One request that the new version has answered. at: when, seconds. took: seconds."""

    at: float
    took: float
    failed: bool = False


def by_failures(
    answers: Iterable[Answer], tolerated: float, alpha: float, least: int = LEAST
) -> float | None:
    """When more had failed than by chance, if a share of `tolerated` did: an exact binomial test.

    answers: since the fault. least: fewer are no sample. None: never.
    """
    failed = 0
    for count, answer in enumerate(_in_order(answers), 1):
        failed += answer.failed
        if count >= least and failed and _at_least(failed, count, tolerated) <= alpha:
            return answer.at
    return None


def by_means(
    answers: Iterable[Answer], before: Sequence[Answer], times: float, alpha: float
) -> float | None:
    """When the mean since the fault was surely more than `times` that of before: Welch's test, as normal."""
    took = [answer.took * times for answer in before]
    usual, spread, beyond = (
        fmean(took),
        pstdev(took) ** 2 / len(took),
        NormalDist().inv_cdf(1 - alpha),
    )
    seen: list[float] = []
    for answer in _in_order(answers):
        seen.append(answer.took)
        if len(seen) >= LEAST:
            error = sqrt(spread + pstdev(seen) ** 2 / len(seen))
            if fmean(seen) - usual > beyond * error:
                return answer.at
    return None


def by_growth(readings: Iterable[tuple[float, float]], times: float) -> float | None:
    """When a figure was so many times its first. readings: when, and what."""
    first: float | None = None
    for at, value in readings:
        first = value if first is None else first
        if value >= times * first:
            return at
    return None


def _in_order(answers: Iterable[Answer]) -> list[Answer]:
    return sorted(answers, key=lambda answer: answer.at)


def _at_least(hits: int, count: int, share: float) -> float:
    """The chance of so many hits or more."""
    below = sum(
        comb(count, each) * share**each * (1.0 - share) ** (count - each) for each in range(hits)
    )
    return max(0.0, 1.0 - below)
