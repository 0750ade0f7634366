"""Who comes in which wave, and when the next one begins."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.migrations.states import JobState, WaveEvent, WaveState
from admin.migrations.targets import Target
from admin.migrations.waves import LAST, Wave, arrange, judge
from proxy.routing.canary import bucket

NAMES = [f"t{number}" for number in range(400)]
TARGETS = [Target(name, name, "main", "", name) for name in NAMES]
SHARED = Target("shared", None, "main", "", "public")


def test_rings_are_the_canary_s_buckets() -> None:
    made = arrange(TARGETS, {"t7"}, (100, 1000), "salt")
    assert made.names == ("pilots", "1 %", "10 %", "rest")
    for place in made.places:
        rank = bucket("salt", place.target.name)
        ring = 0 if place.target.name == "t7" else 1 if rank < 100 else 2 if rank < 1000 else 3
        assert (place.wave, place.rank) == (ring, rank)


def test_within_a_wave_the_canary_s_order_holds() -> None:
    places = arrange(TARGETS, (), (1000,), "s").places
    assert [(p.wave, p.rank) for p in places] == sorted((p.wave, p.rank) for p in places)


def test_what_all_share_comes_last_and_empty_waves_are_left_out() -> None:
    made = arrange([SHARED, TARGETS[0]], {"t0"}, (100, 1000), "s")
    assert made.names == ("pilots", "rest")
    assert [(p.target.name, p.wave) for p in made.places] == [("t0", 0), ("shared", 1)]
    assert made.places[1].rank == LAST
    assert arrange([], (), (100,), "s").names == ()


@given(st.sets(st.sampled_from(NAMES)), st.lists(st.integers(1, 9999), unique=True, max_size=5))
def test_everybody_has_one_place(pilots: set[str], shares: list[int]) -> None:
    made = arrange(TARGETS, pilots, sorted(shares), "s")
    assert sorted(place.target.name for place in made.places) == sorted(NAMES)
    assert {place.wave for place in made.places} == set(range(len(made.names)))


def wave(number: int, state: WaveState, forgiven: int = 0, **jobs: int) -> Wave:
    return Wave(number, state, {JobState(name): count for name, count in jobs.items()}, forgiven)


OPEN, WAITING, STOPPED, DONE = (WaveState(s) for s in ("open", "waiting", "stopped", "done"))


@pytest.mark.parametrize(
    ("waves", "budget", "due"),
    [
        ([wave(0, WAITING, queued=2), wave(1, WAITING)], 0, [(0, WaveEvent.OPENED)]),
        ([wave(0, OPEN, running=1, done=9), wave(1, WAITING)], 0, []),
        (
            [wave(0, OPEN, done=9), wave(1, WAITING), wave(2, WAITING)],
            0,
            [(0, WaveEvent.FINISHED), (1, WaveEvent.OPENED)],
        ),
        ([wave(0, OPEN, failed=1, queued=3), wave(1, WAITING)], 0, [(0, WaveEvent.SPENT)]),
        ([wave(0, OPEN, failed=1, queued=3)], 1, []),
        ([wave(0, OPEN, failed=2, queued=3)], 1, [(0, WaveEvent.SPENT)]),
        ([wave(0, OPEN, 2, failed=2, queued=3)], 0, []),
        ([wave(0, OPEN, 2, failed=3, queued=3)], 0, [(0, WaveEvent.SPENT)]),
        ([wave(0, OPEN, failed=1, blocked=2)], 1, [(0, WaveEvent.FINISHED)]),
        # A retried wave before the open one: the next waits for both.
        ([wave(0, OPEN, queued=1), wave(1, OPEN), wave(2, WAITING)], 0, [(1, WaveEvent.FINISHED)]),
        ([wave(0, STOPPED, failed=1), wave(1, WAITING)], 0, []),
        ([wave(0, DONE), wave(1, DONE)], 0, []),
    ],
)
def test_what_is_due(waves: list[Wave], budget: int, due: list[tuple[int, WaveEvent]]) -> None:
    assert judge(waves, budget) == due
