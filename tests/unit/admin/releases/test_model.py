"""A release's life: every state and every event, and what the table alone doesn't say."""

from dataclasses import replace
from itertools import product

import pytest

from admin.releases.model import (
    ENDED,
    GUARDS,
    PHASES,
    TRANSITIONS,
    Command,
    Event,
    NotNowError,
    Release,
    State,
    may,
    meant,
)
from admin.releases.plan import Plan
from proxy.routing.model import Canary, Slot

BEGUN = Release(
    "r", "1.3.0", "1.2.0", Plan(steps=(1.0, 5.0)), Slot.BLUE, Canary(), Canary(), State.PLANNED
)
GOING_BACK = {State.ABORTING, State.ROLLING_BACK}


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_every_state_and_event(state: State, event: Event):
    """The table decides, and its guards."""
    for paused, step, gone in product((False, True), (0, 1), (False, True)):
        release = replace(BEGUN, state=state, paused=paused, step=step, old_is_gone=gone)
        guarded = any(of is event and guard(release) for of, guard in GUARDS)
        if (state, event) not in TRANSITIONS or guarded:
            with pytest.raises(NotNowError):
                release.take(event)
            continue
        after = release.take(event)
        assert after.state is TRANSITIONS[state, event]
        if event in {Event.PAUSE, Event.RESUME}:
            assert after == replace(release, paused=event is Event.PAUSE)
        else:
            assert (after.visit, after.dwelt_s, after.paused) == (release.visit + 1, 0.0, False)
            assert after.step == step + (event is Event.STEPPED)


def test_what_has_ended_takes_nothing():
    assert not [pair for pair in TRANSITIONS if pair[0] in ENDED]


@pytest.mark.parametrize("state", [state for state in State if state not in ENDED | GOING_BACK])
def test_from_everywhere_there_is_a_way_back(state: State):
    """And it ends: no state is left by nothing."""
    release = replace(BEGUN, state=state)
    for event in (Event.ABORT, Event.ROLLBACK, Event.FAULT):
        assert release.take(event).state in GOING_BACK
    assert replace(release, paused=True).take(Event.ROLLBACK).state in GOING_BACK


@pytest.mark.parametrize("state", list(State))
def test_every_state_is_reached_and_has_a_phase(state: State):
    reached = {State.PLANNED}
    while more := {to for (of, _), to in TRANSITIONS.items() if of in reached} - reached:
        reached |= more
    assert state in reached
    assert state in PHASES


def test_there_is_no_way_back_once_the_old_version_is_gone():
    release = replace(BEGUN, state=State.FINALISING, old_is_gone=True)
    with pytest.raises(NotNowError, match=r"blue no longer has 1\.2\.0"):
        release.take(Event.ROLLBACK)
    assert release.take(Event.FINALISED).state is State.DONE


def test_a_fault_stays_the_reason_of_the_end():
    release = replace(BEGUN, state=State.CANARY).take(Event.FAULT, "5 % errors")
    ended = release.take(Event.RETURNED)
    assert (ended.state, ended.fault, ended.reason) == (
        *(State.ROLLED_BACK, "5 % errors", "5 % errors"),
    )


def test_what_a_person_means():
    canary = replace(BEGUN, state=State.CANARY)
    assert meant(canary, Command.PROMOTE) is Event.STEPPED
    assert meant(replace(canary, step=1), Command.PROMOTE) is Event.ARRIVED
    stabilising = replace(BEGUN, state=State.STABILISING)
    assert meant(stabilising, Command.FINALISE) is Event.STABLE
    with pytest.raises(NotNowError, match="planned"):
        meant(BEGUN, Command.PROMOTE)
    with pytest.raises(NotNowError, match="resume it first"):
        meant(replace(canary, paused=True), Command.PROMOTE)


@pytest.mark.parametrize(("state", "paused"), list(product(State, (False, True))))
def test_what_may_be_said_can_be_said(state: State, paused: bool):
    release = replace(BEGUN, state=state, paused=paused)
    for command in Command:
        try:
            release.take(meant(release, command))
        except NotNowError:
            assert command not in may(release)
        else:
            assert command in may(release)


def test_what_lacks_something_is_not_let_go_on_before_its_time():
    for state in (State.CANARY, State.STABILISING):
        release = replace(BEGUN, state=state)
        assert {*may(release)} - {*may(release, lacks=True)} == {
            Command.PROMOTE,
            *([Command.FINALISE] if state is State.STABILISING else []),
        }


@pytest.mark.parametrize("command", [Command.PROMOTE, Command.FINALISE])
def test_a_drill_that_is_ended_before_its_time_goes_back(command: Command):
    drill = replace(BEGUN, is_drill=True, state=State.STABILISING)
    assert meant(drill, command) is Event.ROLLBACK
    assert drill.take(meant(drill, command)).state is State.ROLLING_BACK
    with pytest.raises(NotNowError, match="a drill comes back"):
        drill.take(Event.STABLE)


@pytest.mark.parametrize("state", [State.CANARY, State.CUTTING_OVER, State.STABILISING])
def test_a_drill_that_a_hotfix_overtakes_goes_back(state: State):
    drill = replace(BEGUN, is_drill=True, state=state)
    assert drill.take(Event.OVERTAKE, "overtaken by h").state is State.ROLLING_BACK
