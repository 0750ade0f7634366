"""When a slot is warm."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.gates.settle import Batch, Wanted, batch_of, why_not
from tests.support.examples import examples

WANTED = Wanted()


def batches(*medians: float, failures: int = 0) -> list[Batch]:
    return [Batch(median, 20, failures) for median in medians]


@pytest.mark.parametrize(
    ("given_batches", "why"),
    [
        ([], "0 of 3 batches"),
        (batches(10, 10), "2 of 3 batches"),
        (batches(10, 10, 10), ""),
        (batches(400, 80, 20, 12, 11, 11), ""),
        (batches(400, 80, 20, 12), "lie between 12.0 and 80.0 ms"),
        (batches(10, 10, 12.1), "lie between"),
        (batches(10, 10, 12), ""),  # within 20 %
        (batches(1, 1.9, 1.5), ""),  # within a millisecond
        (batches(501, 501, 501), "above 500 ms"),
        (batches(10, 10, 10, failures=1), "3 of the last 60 requests failed"),
        ([*batches(10, failures=9), *batches(10, 10, 10)], ""),  # what failed is long ago
        (batches(0, 0, 0, failures=20), "60 of the last 60 requests failed"),
    ],
)
def test_it_is_warm_once_the_last_batches_are_alike(given_batches: list[Batch], why: str) -> None:
    assert why in why_not(given_batches, WANTED)
    assert bool(why_not(given_batches, WANTED)) is bool(why)


@examples()
@given(st.lists(st.floats(0.1, 1000), max_size=12), st.integers(2, 5))
def test_what_is_warm_lies_within_the_bounds(medians: list[float], count: int) -> None:
    wanted = Wanted(batches=count)
    if not why_not(batches(*medians), wanted):
        last = medians[-count:]
        assert len(last) == count
        assert max(last) <= wanted.below_ms
        assert max(last) - min(last) <= max(0.2 * min(last), 1.0) + 1e-9


def test_a_batch_is_the_median_of_what_was_answered() -> None:
    assert batch_of([3.0, 1.0, 2.0], 5, 2) == Batch(2.0, 5, 2)
    assert batch_of([], 5, 5) == Batch(0.0, 5, 5)
