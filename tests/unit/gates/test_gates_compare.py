"""Whether standby is slower: the bounds, what fails, and how often noise alone does."""

import math
from random import Random

import pytest

from admin.gates.compare import Bounds, Pair, compare, judge, sign_rank
from admin.gates.model import Outcome

BOUNDS = Bounds()


def noisy(random: Random, count: int, factor: float, base_ms: float = 20.0) -> list[Pair]:
    """Pairs of a busy machine: log-normal times, one in twenty held up, standby slower by a factor."""

    def one(by: float) -> float:
        held = random.expovariate(1 / 100) if random.random() < 0.05 else 0.0
        return base_ms * by * math.exp(random.gauss(0, 0.35)) + held

    return [(one(factor), one(1.0)) for _ in range(count)]


@pytest.mark.parametrize(
    ("count", "confidence", "rank"),
    # Conover's table A3 of the binomial: P(B(20) <= 5) = 0.0207, P(B(20) <= 6) = 0.0577; and so on.
    [(20, 0.95, 6), (10, 0.95, 2), (6, 0.95, 1), (5, 0.95, 0), (30, 0.99, 8), (100, 0.95, 40)],
)
def test_the_bounds_are_those_of_the_sign_test(count: int, confidence: float, rank: int) -> None:
    assert sign_rank(count, confidence) == rank


def test_the_bounds_hold_as_often_as_they_say(seeded_random: Random) -> None:
    held = 0
    for _ in range(500):
        found = compare(noisy(seeded_random, 40, 1.3), 0.9)
        held += found.lower <= 1.3 <= found.upper
    # 0.9 of 500, and five standard deviations of chance.
    assert held >= 450 - 5 * math.sqrt(500 * 0.09), held


def test_noise_alone_fails_nobody_and_a_slow_release_fails(seeded_random: Random) -> None:
    runs = 200
    requests = ("a", "b", "c", "d")

    def outcomes(factor: float) -> list[Outcome]:
        return [
            judge({name: noisy(seeded_random, 40, factor) for name in requests}, BOUNDS).outcome
            for _ in range(runs)
        ]

    healthy, slow = outcomes(1.0), outcomes(1.8)
    print(f"of {runs} healthy: {healthy.count(Outcome.FAILED)} failed")
    assert healthy.count(Outcome.FAILED) <= runs // 50
    assert slow.count(Outcome.FAILED) >= runs - runs // 50


def pairs(standby: float, active: float, count: int = 40) -> list[Pair]:
    return [(standby + number / 1000, active + number / 1000) for number in range(count)]


@pytest.mark.parametrize(
    ("given", "outcome", "said"),
    [
        ({"a": pairs(16, 10)}, Outcome.FAILED, "above 1.5"),
        ({"a": pairs(10, 10), "b": pairs(10, 10), "c": pairs(90, 30)}, Outcome.FAILED, "c: "),
        ({"a": pairs(13, 10)}, Outcome.WARNED, "above 1.2"),
        ({"a": pairs(10, 10), "b": pairs(14, 10)}, Outcome.WARNED, "b: "),
        ({"a": pairs(11, 10)}, Outcome.PASSED, "at most 1.2"),
        ({"a": pairs(5, 10)}, Outcome.PASSED, "at most 1.2"),
        ({"a": pairs(0.9, 0.3)}, Outcome.WARNED, "above 1.2"),  # by 0.6 ms: nobody waits for that
        ({"a": pairs(16, 10, 19)}, Outcome.UNMEASURED, "fewer than 20 pairs of a"),
        ({"a": pairs(16, 10), "b": []}, Outcome.UNMEASURED, "fewer than 20 pairs of b"),
        ({}, Outcome.UNMEASURED, "no requests"),
    ],
)
def test_what_fails(given: dict[str, list[Pair]], outcome: Outcome, said: str) -> None:
    found = judge(given, BOUNDS)
    assert found.outcome is outcome
    assert said in found.detail


def test_what_is_too_noisy_to_tell_is_not_measured() -> None:
    wild = [(100.0, 10.0), (10.0, 100.0)] * 10 + [(40.0, 20.0)] * 2 + [(100.0, 10.0)]
    found = judge({"a": wild}, BOUNDS)
    assert found.outcome is Outcome.UNMEASURED
    assert "too noisy" in found.detail
