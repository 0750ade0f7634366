"""The retry budget: a share of the requests of late, and a few in any case."""

from proxy.upstream.budget import WINDOW_S, RetryBudget


def drawn(budget: RetryBudget) -> int:
    count = 0
    while budget.withdraw():
        count += 1
    return count


def test_so_many_percent_and_a_few_besides() -> None:
    budget = RetryBudget(20, 3)
    budget.sweep(100.0)
    assert drawn(budget) == 30
    budget.requests += 1_000
    assert drawn(budget) == 200
    assert drawn(budget) == 0


def test_nothing_is_nothing() -> None:
    budget = RetryBudget(0, 0)
    budget.requests += 1_000
    assert drawn(budget) == 0


def test_a_window_and_the_one_before_count() -> None:
    budget = RetryBudget(10, 0)
    budget.sweep(100.0)
    budget.requests += 100
    assert drawn(budget) == 10
    budget.sweep(100.0 + WINDOW_S)
    assert drawn(budget) == 0, "what was drawn a window ago is not there again"
    budget.requests += 50
    assert drawn(budget) == 5
    budget.sweep(100.0 + 2 * WINDOW_S)
    assert drawn(budget) == 0
    budget.sweep(100.0 + 3 * WINDOW_S)
    budget.requests += 50
    assert drawn(budget) == 5, "of two windows ago nothing is left"


def test_after_a_long_pause_nothing_of_before_counts() -> None:
    budget = RetryBudget(10, 0)
    budget.sweep(100.0)
    budget.requests += 1_000
    budget.sweep(500.0)
    assert drawn(budget) == 0


def test_within_a_window_a_sweep_changes_nothing() -> None:
    budget = RetryBudget(10, 0)
    budget.sweep(100.0)
    budget.requests += 100
    budget.sweep(100.0 + WINDOW_S - 0.01)
    assert drawn(budget) == 10
