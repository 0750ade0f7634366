"""When a fault could have been known at the soonest."""

import pytest

from tests.support.measurable import Answer, by_failures, by_growth, by_means

TOLERATED, ALPHA = 0.0025, 0.001


def answers(count: int, every: int = 0, took: float = 0.1, since: float = 0.0) -> list[Answer]:
    return [
        Answer(since + each / 10, took + 0.01 * (each % 2), bool(every) and each % every == 0)
        for each in range(1, count + 1)
    ]


def test_failures_are_known_as_soon_as_chance_would_not_bring_them():
    # Two of 40 happen once in two hundred times, three of 60 once in two thousand.
    assert by_failures(answers(100, every=20), TOLERATED, ALPHA) == 6.0


def test_few_requests_are_no_sample():
    assert by_failures(answers(29, every=1), TOLERATED, ALPHA) is None
    assert by_failures(answers(30, every=1), TOLERATED, ALPHA) == 3.0
    assert by_failures(answers(29, every=1), TOLERATED, ALPHA, least=10) == 1.0


def test_nothing_is_known_of_what_is_tolerated():
    assert by_failures(answers(2000, every=400), TOLERATED, ALPHA) is None


def test_a_mean_is_known_once_it_is_surely_beyond():
    before = answers(100)
    assert by_means(answers(100, took=0.165), before, 1.25, ALPHA) == pytest.approx(3.0)
    assert by_means(answers(100, took=0.12), before, 1.25, ALPHA) is None


def test_the_order_of_arrival_does_not_matter():
    shuffled = answers(100, every=20)[::-1]
    assert by_failures(shuffled, TOLERATED, ALPHA) == 6.0


def test_growth_is_known_when_it_is_that_much():
    readings = [(each / 2, 17.0 + each) for each in range(40)]
    assert by_growth(readings, 2.0) == 8.5
    assert by_growth(readings[:10], 2.0) is None
