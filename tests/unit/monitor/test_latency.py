"""What is said of latencies lies within the bounds that a histogram has."""

from math import log
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.monitor.latency import OPEN, above, band, bound_above, cut, cut_bound, quantile
from admin.monitor.sequential import spent
from proxy.routing.windows import BOUNDS_US
from tests.support.examples import examples

times = st.lists(st.integers(1, 40_000_000), min_size=1, max_size=60)


def buckets_of(latencies: list[int]) -> tuple[int, ...]:
    found = [0] * (OPEN + 1)
    for each in latencies:
        found[sum(bound < each for bound in BOUNDS_US)] += 1
    return tuple(found)


@examples()
@given(times, st.sampled_from([0.1, 0.5, 0.9, 0.95]))
def test_a_quantile_lies_between_its_bounds(latencies, share):
    ordered = sorted(latencies)
    place = next(i for i in range(len(ordered)) if (i + 1) / len(ordered) >= share - 1e-12)
    low, high = quantile(buckets_of(latencies), share)
    assert low < ordered[place] <= high


@examples()
@given(times, st.floats(0.0, 0.4))
def test_less_certainty_never_narrows_the_bounds(latencies, off):
    sure = quantile(buckets_of(latencies), 0.5)
    wide = quantile(buckets_of(latencies), 0.5, off)
    assert wide[0] <= sure[0]
    assert wide[1] >= sure[1]


@examples()
@given(times, st.integers(0, OPEN))
def test_a_cut_sum_is_off_by_no_more_than_the_buckets_are_wide(latencies, bound):
    buckets = buckets_of(latencies)
    found = cut(sum(latencies), buckets, bound)
    if bound == OPEN:
        assert found == sum(latencies)
        return
    limit = BOUNDS_US[bound]
    exact = sum(min(each, limit) for each in latencies)
    edges = [*BOUNDS_US, max([BOUNDS_US[-1] * 4, *latencies])]
    room = sum(edges[place] - (edges[place - 1]) for place in range(bound + 1, OPEN + 1)
               for _ in range(buckets[place]))  # fmt: skip
    assert abs(found - exact) <= room + 1e-6


def test_bounds_are_chosen_by_what_exceeds_them():
    buckets = buckets_of([1_000] * 50 + [20_000] * 40 + [400_000] * 10)
    assert BOUNDS_US[bound_above(buckets, 0.5)] == 1_000
    assert BOUNDS_US[bound_above(buckets, 0.1)] == 25_000
    assert above(buckets, bound_above(buckets, 0.1)) == 10
    assert BOUNDS_US[cut_bound(buckets, 1_000.0)] == 500_000
    assert BOUNDS_US[cut_bound(buckets, 100_000.0)] == 1_000_000


def test_a_band_narrows_with_the_sample_and_widens_with_bunches():
    floor = spent(600)
    narrow, wide = band(10_000, 1e-4, floor, 10, 1.0), band(10_000, 1e-4, floor, 10, 4.0)
    assert wide == pytest.approx(2 * narrow)
    assert narrow == pytest.approx(((log(2e4) - floor + log(110)) / 20_000) ** 0.5)
    assert band(0, 1e-4, floor, 10, 1.0) == 1.0


def test_a_band_is_seldom_left_wherever_one_looks(run_seed):
    """Over all beginnings and lengths within five minutes, at alpha 0.3."""
    rng, left = Random(run_seed), 0
    for _ in range(40):
        seconds = [sum(rng.random() < 0.5 for _ in range(40)) for _ in range(300)]
        left += any(
            abs(sum(seconds[at : at + length]) / (40 * length) - 0.5)
            > band(40 * length, 0.3, spent(at), length, 1.0)
            for at in range(0, 300, 3)
            for length in (1, 2, 5, 10, 30, 100)
            if at + length <= 300
        )
    print(f"seed {run_seed}: {left} of 40")
    assert left <= 12
