"""Median and quartiles of the rounds' ratios. Pure."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """How figures of several rounds lie: five numbers and how many there were."""

    low: float
    quartile_1: float
    median: float
    quartile_3: float
    high: float
    count: int


def spread(figures: Sequence[float]) -> Spread:
    """The five-number summary. ValueError when there is no figure.

    Quartiles are interpolated with both ends included (Hyndman and Fan's type 7), so that they
    never lie outside what was measured.
    """
    if not figures:
        raise ValueError("there is no valid round to summarise")
    if len(figures) == 1:
        (only,) = figures
        return Spread(only, only, only, only, only, 1)
    quartile_1, median, quartile_3 = statistics.quantiles(figures, n=4, method="inclusive")
    return Spread(min(figures), quartile_1, median, quartile_3, max(figures), len(figures))


def paired_ratios(pairs: Iterable[tuple[float, float]]) -> list[float]:
    """(candidate, baseline) of each round → candidate ÷ baseline. ValueError on a zero baseline.

    The median of these is the figure; the ratio of two medians is not the same and would let
    a slow minute of the machine that hit only one side through.
    """
    ratios = []
    for candidate, baseline in pairs:
        if baseline <= 0:
            raise ValueError("a baseline of nothing can't be compared with")
        ratios.append(candidate / baseline)
    return ratios
