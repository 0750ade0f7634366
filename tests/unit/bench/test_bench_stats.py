import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.stats import Spread, paired_ratios, spread


def test_quartiles_of_five_rounds_are_the_rounds_themselves() -> None:
    assert spread([1.4, 1.0, 1.2, 1.1, 1.3]) == Spread(1.0, 1.1, 1.2, 1.3, 1.4, 5)


def test_an_even_number_of_rounds_is_interpolated() -> None:
    found = spread([1.0, 2.0, 3.0, 4.0])
    assert (found.quartile_1, found.median, found.quartile_3) == (1.75, 2.5, 3.25)


def test_one_round_is_its_own_summary() -> None:
    assert spread([1.3]) == Spread(1.3, 1.3, 1.3, 1.3, 1.3, 1)


def test_no_round_has_no_summary() -> None:
    with pytest.raises(ValueError, match="no valid round"):
        spread([])


@given(st.lists(st.floats(0.01, 100), min_size=1, max_size=50))
def test_the_five_numbers_are_in_order_and_within_what_was_measured(figures: list[float]) -> None:
    found = spread(figures)
    numbers = [found.low, found.quartile_1, found.median, found.quartile_3, found.high]
    assert numbers == pytest.approx(sorted(numbers))
    assert (found.low, found.high, found.count) == (min(figures), max(figures), len(figures))


def test_ratios_are_made_within_rounds_so_that_a_slow_minute_cancels_out() -> None:
    # The machine was three times slower in the middle round, for both.
    ratios = paired_ratios([(26.0, 20.0), (78.0, 60.0), (26.0, 20.0)])
    assert ratios == pytest.approx([1.3, 1.3, 1.3])


def test_a_baseline_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="can't be compared"):
        paired_ratios([(1.0, 0.0)])
