"""What becomes of a part that ends while the demo runs: a table of lives, driven by hand."""

import math
from pathlib import Path

import pytest

from admin.demo import keep
from admin.demo.keep import MAX_FAILURES, Keeper, State, pause_s
from admin.demo.parts import Part
from admin.demo.plan import DemoError


class Puppet(Part):
    """A part without a process: it lives, is ready and ends when the test says so."""

    def __init__(self, clock: "Clock") -> None:
        super().__init__("puppet", Path("puppet.log"))
        self.clock = clock
        self.lives = self.ready = True
        self.fault = ""
        self.begun = 0

    @property
    def pid(self) -> int:
        return 0

    @property
    def running(self) -> bool:
        return self.lives

    def begin(self) -> None:
        self.begun += 1
        self.began = self.clock.now
        if self.fault:
            raise DemoError(self.fault)
        self.lives = True

    def _is_ready(self) -> bool:
        return self.ready

    def kill(self) -> None:
        self.lives = False


class Clock:
    now = 1000.0


class Watched:
    def __init__(self, clock: Clock) -> None:
        self.clock, self.part = clock, Puppet(clock)
        self.said: list[str] = []
        self.returns = 0
        self.keeper = Keeper([self.part], self.said.append, self._returned, lambda: clock.now)

    def _returned(self) -> None:
        self.returns += 1

    def state(self) -> State:
        return self.keeper.kept[0].state


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watched(clock: Clock) -> Watched:
    return Watched(clock)


def test_while_all_is_well_nothing_happens(watched: Watched):
    assert watched.keeper.tick() == keep.IDLE_S
    assert (watched.state(), watched.said, watched.part.begun) == (State.KEPT, [], 0)


def test_a_part_that_ends_is_started_at_once_and_its_return_is_told(watched: Watched):
    watched.part.lives = watched.part.ready = False
    assert watched.keeper.tick() == keep.TICK_S
    assert (watched.state(), watched.part.begun) == (State.RETURNING, 1)
    watched.part.ready = True
    watched.keeper.tick()
    assert watched.state() is State.KEPT
    assert watched.said == ["puppet ended; starting it again", "puppet is back after 0.0 s"]
    assert watched.returns == 1


def test_a_part_that_cannot_stay_is_given_up(watched: Watched, clock: Clock):
    for _ in range(100):
        watched.part.lives = False
        watched.keeper.tick()
        clock.now += 5.0
    assert watched.state() is State.GIVEN_UP
    assert watched.part.begun == MAX_FAILURES
    assert "not started again" in watched.said[-1]


def test_a_part_that_lived_long_begins_with_a_clean_record(watched: Watched, clock: Clock):
    for _ in range(3 * MAX_FAILURES):
        watched.part.lives = False
        watched.keeper.tick()
        assert watched.state() is State.KEPT
        clock.now += keep.STABLE_S + 1


def test_a_part_that_cannot_be_started_is_tried_again_later(watched: Watched, clock: Clock):
    watched.part.lives = False
    watched.part.fault = "no"
    for _ in range(3):
        watched.keeper.tick()
    assert watched.state() is State.DUE
    assert watched.said[-1] == f"no; starting it again in {pause_s(3):g} s"
    watched.part.fault = ""
    clock.now += pause_s(3)
    watched.keeper.tick()
    assert watched.state() is State.KEPT


def test_a_part_that_hangs_at_its_return_is_killed_and_tried_again(watched: Watched, clock: Clock):
    watched.part.lives = watched.part.ready = False
    watched.keeper.tick()
    clock.now += keep.RETURN_S + 1
    watched.keeper.tick()
    assert not watched.part.lives
    assert "was not ready within" in watched.said[-1]
    assert watched.state() is State.DUE


def test_pauses_grow_and_are_bounded():
    pauses = [pause_s(failures) for failures in range(1, 30)]
    assert pauses[:3] == [0.0, 0.0, 0.25]
    assert pauses == sorted(pauses)
    assert max(pauses) == 5.0
    assert math.isfinite(sum(pauses))
