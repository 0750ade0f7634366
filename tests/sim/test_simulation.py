"""Seeded histories of the whole system; see `tests.sim.books` for what must hold in them."""

from collections import Counter

import pytest

from tests.sim.scenario import History, play
from tests.sim.seeds import KEPT
from tests.sim.world import seldom_collected

_FRESH = 100
_SELDOM = 400
"""So many histories at most are looked through for what is seldom."""
_FIRST = 35
"""One that had it, looked at first. Once the code draws otherwise, the others are tried too."""
_EACH = (
    *("converged", "decisions", "answer 200 blue", "answer 200 green", "no answer"),
    *("answer 503 parking-full", "change made", "change conflict", "change nothing"),
    *("switch holding", "switch stepping", "switch done", "switch undone"),
)


def held(history: History) -> None:
    """All rules hold, or the failure says how to read the history."""
    assert not history.violations, (
        f"{history.violations}\n"
        f'to read it: make simulate ARGS="--seed {history.seed} --trace"; keep it in tests/sim/seeds.py'
    )


@pytest.mark.timeout(600)
def test_all_rules_hold_in_histories_not_seen_before(run_seed: int) -> None:
    counts: Counter[str] = Counter()
    first = run_seed * 1_000
    print(f"seeds from {first}")
    with seldom_collected():
        for seed in range(first, first + _FRESH):
            history = play(seed)
            held(history)
            counts.update(history.counts)
    print(dict(counts))
    for what in _EACH:
        assert counts[what], f"in none of them there was: {what}"


def test_some_history_has_a_change_of_which_nobody_knows_whether_it_was_made() -> None:
    """Too seldom a thing to be in each run's new histories."""
    with seldom_collected():
        seeds = (*range(_FIRST, _SELDOM), *range(_FIRST))
        assert any(play(seed).counts.get("change unknown") for seed in seeds)


@pytest.mark.parametrize("seed", KEPT)
def test_all_rules_hold_where_one_was_broken_before(seed: int) -> None:
    held(play(seed))


def test_a_seed_is_one_history(run_seed: int) -> None:
    first, second = (play(run_seed, traced=True) for _ in range(2))
    assert first == second
    assert len(first.trace) > 50
