"""The statistics: what they promise is computed exactly where that can be done, and played where not."""

from math import comb, exp, inf, log
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.monitor.sequential import (
    Chart,
    Dispersion,
    Ratio,
    bets_on_one,
    bets_on_two,
    spent,
    upper_rate,
)
from tests.sim_monitor.draw import binomial
from tests.support.examples import examples

UPS = (0.01, 0.05, 0.3, 0.9)
rates = st.floats(0.0, 1.0)


def chance(count: int, hits: int, rate: float) -> float:
    return comb(count, hits) * rate**hits * (1.0 - rate) ** (count - hits)


@examples()
@given(st.integers(1, 30), st.floats(0.0, 0.9), rates, st.floats(1.0, 5.0))
def test_a_bet_on_one_rate_is_worth_one_at_most_in_expectation(count, most, below, bunch):
    rate = max(most, 0.0005) * below
    for place in range(len(UPS)):
        worth = sum(
            chance(count, hits, rate) * exp(bets_on_one(most, UPS, count, hits, bunch)[place])
            for hits in range(count + 1)
        )
        assert worth <= 1.0 + 1e-9


@examples()
@given(
    st.tuples(st.integers(1, 14), st.integers(1, 14)),
    st.tuples(rates, rates),
    st.floats(0.0, 0.3),
    rates,
)
def test_a_bet_on_two_rates_is_worth_one_at_most_whatever_the_old_rate_is(
    counts, at, margin, guess
):
    """Also where the guess of the old one's rate is far off: in a burst that hits both."""
    old = at[0]
    new = min(1.0, old + margin) * at[1]
    for place in range(len(UPS)):
        worth = 0.0
        for ours in range(counts[0] + 1):
            for theirs in range(counts[1] + 1):
                gain = bets_on_two(margin, UPS, (counts[0], ours), (counts[1], theirs), guess, 1.0)[
                    place
                ]
                both = chance(counts[0], ours, new) * chance(counts[1], theirs, old)
                worth += both * exp(gain)
        assert worth <= 1.0 + 1e-9


@examples()
@given(st.integers(1, 12), st.integers(1, 6), st.floats(0.01, 0.5), st.floats(0.0, 1.0))
def test_bunches_up_to_the_size_that_is_said_leave_a_bet_fair(bunches, size, most, below):
    """All of a bunch fail, or none does."""
    rate = most * below
    for place in range(len(UPS)):
        worth = sum(
            chance(bunches, hits, rate)
            * exp(bets_on_one(most, UPS, bunches * size, hits * size, float(size))[place])
            for hits in range(bunches + 1)
        )
        assert worth <= 1.0 + 1e-9


def test_without_that_bunches_make_a_bet_unfair():
    worth = sum(
        chance(10, hits, 0.05) * exp(bets_on_one(0.05, (0.3,), 60, hits * 6, 1.0)[0])
        for hits in range(11)
    )
    assert worth > 10.0


def test_all_starting_seconds_together_have_one_alpha():
    exact = sum(exp(spent(second)) for second in range(1_000_000))
    assert 0.99 < exact < 1.0 + 1e-9


def play(rng: Random, rate: float, alpha: float, seconds: int, floor_at=spent) -> bool:
    """Whether a chart is ever an alarm; 50 requests a second, not to exceed 2 %."""
    chart = Chart(len(UPS), alpha, alpha, 1)
    for second in range(seconds):
        failures = binomial(rng, 50, rate)
        chart.add(second, floor_at(second), bets_on_one(0.02, UPS, 50, failures, 1.0))
        if chart.is_critical:
            return True
    return False


def test_false_alarms_are_rarer_than_alpha_at_the_very_limit(run_seed):
    rng = Random(run_seed)
    alarms = sum(play(rng, 0.02, 0.2, 400) for _ in range(200))
    print(f"seed {run_seed}: {alarms} of 200 at alpha 0.2")
    assert alarms <= 58  # 40 are expected at most; more than 58 once in a thousand times


def test_without_spreading_alpha_over_time_they_are_not(run_seed):
    """The mutation: each starting second gets all of alpha, as a chart of one's own making would."""
    rng = Random(run_seed)
    alarms = sum(play(rng, 0.02, 0.2, 400, floor_at=lambda _: 0.0) for _ in range(50))
    print(f"seed {run_seed}: {alarms} of 50 at alpha 0.2, without the correction")
    assert alarms > 25


def test_a_real_excess_is_found_within_seconds(run_seed):
    rng = Random(run_seed)
    chart, found = Chart(len(UPS), 1e-4, 1e-4, 3), 0
    for second in range(3_600, 3_660):
        gains = bets_on_one(0.02, UPS, 100, binomial(rng, 100, 0.10), 1.0)
        chart.add(second, spent(second), gains)
        if chart.is_critical:
            found = second - 3_600 + 1
            break
    assert 3 <= found <= 8
    assert chart.began < 3_604


def test_no_single_second_is_enough():
    chart = Chart(1, 1e-4, 1e-2, 3)
    floor = spent(0)
    chart.add(0, floor, [1_000.0])
    assert chart.levels[0] == pytest.approx(floor + (chart.bar - floor) / 3)
    chart.add(1, floor, [1_000.0])
    assert chart.alarms() == set()
    chart.add(2, floor, [1_000.0])
    assert chart.alarms() == {0}
    assert chart.evidence(floor) == pytest.approx(1.0)


def test_an_alarm_is_over_when_the_evidence_turns():
    chart = Chart(1, 1e-4, 1e-2, 1)
    for second in range(100):
        chart.add(second, spent(second), [5.0])
    assert chart.is_critical
    for second in range(100, 110):
        chart.add(second, spent(second), [-1.0])
    assert not chart.is_critical


def test_evidence_begins_anew_at_its_floor():
    chart = Chart(2, 1e-3, 1e-2, 3)
    chart.add(5, -8.0, [-1.0, 2.0])
    assert chart.began == 5
    chart.add(6, -8.0, [1.0, 1.0])
    assert chart.since == [6, 5]
    assert not chart.rests(-8.0)
    chart.add(7, -8.0, [-9.0, -9.0])
    assert chart.rests(-8.0)
    assert chart.levels == [-inf, -inf]


def spread_of(rng: Random, size: int, seconds: int = 900) -> float:
    dispersion = Dispersion()
    for _ in range(seconds):
        new = size * binomial(rng, 200 // size, 0.03)
        old = size * binomial(rng, 600 // size, 0.03)
        dispersion.add((200, new), (600, old))
    return dispersion.bunch


def test_bunches_are_measured(run_seed):
    rng = Random(run_seed)
    alone, eight = spread_of(rng, 1), spread_of(rng, 8)
    print(f"seed {run_seed}: {alone:.2f}, {eight:.2f}")
    assert alone < 1.4
    assert 5.0 < eight < 12.0


def test_neither_a_burst_on_both_slots_nor_a_fault_that_stays_is_taken_for_bunches(run_seed):
    rng = Random(run_seed)
    dispersion = Dispersion()
    for second in range(900):
        burst = 0.3 if second % 100 < 5 else 0.0
        rate = 0.01 + burst
        fault = 0.05 if second >= 890 else 0.0
        new, old = binomial(rng, 200, rate + fault), binomial(rng, 600, rate)
        dispersion.add((200, new), (600, old))
    print(f"seed {run_seed}: {dispersion.bunch:.2f}")
    assert dispersion.bunch < 1.6


def test_one_failure_now_and_then_says_nothing_of_bunches():
    dispersion = Dispersion()
    for second in range(600):
        dispersion.add((4, int(second % 100 == 0)), (400, int(second % 50 == 25)))
    assert dispersion.bunch == 1.0


def test_an_upper_rate_is_seldom_exceeded_and_tightens_with_the_sample():
    assert upper_rate(0, 0, 1.0, 9.0) == 1.0
    assert upper_rate(1_000, 2, 1.0, 9.0) > upper_rate(100_000, 200, 1.0, 9.0) > 0.002
    assert upper_rate(100_000, 200, 5.0, 9.0) > upper_rate(100_000, 200, 1.0, 9.0)


def slower(rng: Random, factor: float, seconds: int, alpha: float) -> int | None:
    """The second in which means are found to be over 1.25 times as long; 60 requests a second each."""
    ratio, chart = Ratio(), Chart(len(Ratio.BETS), alpha, alpha, 3)
    for second in range(seconds):
        ours = sum(rng.lognormvariate(0.0, 0.5) for _ in range(60)) * factor * 1000
        theirs = sum(rng.lognormvariate(0.0, 0.5) for _ in range(60)) * 1000
        gains = ratio.add((60.0, ours), (60.0, theirs), log(1.25), 0.3)
        if gains is not None:
            chart.add(second, spent(second), gains)
        if chart.is_critical:
            return second + 1
    return None


def test_means_that_are_60_percent_longer_are_found_and_equal_ones_never(run_seed):
    rng = Random(run_seed)
    print(f"seed {run_seed}")
    found = [slower(rng, 1.6, 60, 1e-4) for _ in range(5)]
    assert all(each is not None and each <= 25 for each in found), found
    assert [slower(rng, 1.0, 150, 0.5) for _ in range(10)] == [None] * 10
