"""What a release does next: played through, and from every place where an admin may die."""

from dataclasses import replace

import pytest

from admin.releases.course import (
    COURSE,
    DRILL_OVER,
    Do,
    Effect,
    Hooks,
    Kind,
    Sight,
    Take,
    Wait,
    Waits,
    course,
    following,
)
from admin.releases.go import MEASURED_IN
from admin.releases.model import ENDED, Event, Release, State
from admin.releases.needs import SAME_VERSION, Need
from admin.releases.plan import Plan
from proxy.routing.model import Canary, Slot

PLAN = Plan(steps=(1.0, 25.0), dwell_s=60.0, window_s=600.0)
BEGUN = Release("r", "1.3.0", "1.2.0", PLAN, Slot.BLUE, Canary(), Canary())
HOOKS = Hooks(
    before={"deploying": ("deploy",), "canary": ("tell",), "finalising": ("update-old",)},
    after={"canary": ("measure",), "rolling-back": ("page",)},
)


def played(release: Release, hooks: Hooks = HOOKS) -> list[str]:
    """All that it does until it ends, if all goes well; each wait is over at once."""
    done: set[str] = set()
    told: list[str] = []
    for _ in range(100):
        if release.ended:
            return told
        match following(release, Sight(done), hooks):
            case Do(effect):
                assert effect.name not in done
                done.add(effect.name)
                told.append(f"{release.state}: {effect.what or effect.kind}")
            case Take(event, reason):
                release = release.take(event, reason)
                told.append(f"-> {release.state}")
            case Wait(Waits.DWELL):
                release = replace(release, dwelt_s=release.plan.dwell_s)
            case Wait(Waits.WINDOW):
                release = replace(release, dwelt_s=release.plan.window_s)
            case waiting:
                raise AssertionError(waiting)
    raise AssertionError("it does not end")


def test_the_whole_way():
    assert played(BEGUN) == [
        "-> deploying",
        "deploying: deploy",
        "deploying: declare",
        "-> validating",
        "-> canary",
        "canary: tell",
        "canary: weight",
        "-> canary",
        "canary: weight",
        "canary: measure",
        "-> cutting-over",
        "cutting-over: cutover",
        "cutting-over: drain",
        "-> stabilising",
        "-> finalising",
        "finalising: update-old",
        "finalising: settle",
        "-> done",
    ]


def test_a_plan_without_steps_goes_over_at_once():
    release = replace(BEGUN, plan=Plan(window_s=0.0, drain_per_s=0.0))
    assert played(release, Hooks()) == [
        *("-> deploying", "deploying: declare", "-> validating", "-> canary", "-> cutting-over"),
        *("cutting-over: cutover", "-> stabilising", "-> finalising", "-> done"),
    ]


def test_pilots_without_steps_are_watched_before_all_go_over():
    plan = Plan(pilots=("a",), dwell_s=60.0)
    release = replace(BEGUN, state=State.CANARY, plan=plan)
    done = {"0-weight"}
    assert following(release, Sight(), Hooks()) == Do(Effect("0-weight", Kind.WEIGHT))
    assert following(release, Sight(done), Hooks()) == Wait(Waits.DWELL)
    dwelt = replace(release, dwelt_s=60.0)
    assert following(dwelt, Sight(done, doubts="too little"), Hooks()) == Wait(
        Waits.DWELL, ("too little",)
    )
    assert following(dwelt, Sight(done), Hooks()) == Take(Event.ARRIVED)


def test_a_drill_comes_back():
    drill = replace(BEGUN, is_drill=True, plan=Plan(drain_per_s=0.0))
    told = played(drill, Hooks())
    assert told[-3:] == ["-> rolling-back", "rolling-back: return", "-> rolled-back"]
    assert not any("declare" in line for line in told)


def test_a_drill_says_why_it_came_back():
    drill = replace(BEGUN, is_drill=True, state=State.STABILISING, dwelt_s=600.0)
    assert following(drill, Sight(), Hooks()) == Take(Event.ROLLBACK, DRILL_OVER)


def test_on_the_way_back_traffic_comes_first():
    release = replace(BEGUN, state=State.ROLLING_BACK)
    kinds = [each.kind for each in course(release, HOOKS) if isinstance(each, Effect)]
    assert kinds == [Kind.RETURN, Kind.DRAIN, Kind.HOOK]


@pytest.mark.parametrize("state", [State.CANARY, State.CUTTING_OVER, State.STABILISING])
@pytest.mark.parametrize("paused", [False, True])
def test_a_critical_verdict_goes_before_all_else(state: State, paused: bool):
    release = replace(BEGUN, state=state, paused=paused)
    found = following(release, Sight(critical="5 % errors"), HOOKS)
    assert found == Take(Event.FAULT, "5 % errors")


@pytest.mark.parametrize("state", sorted(set(State) - ENDED - {State.ROLLING_BACK}))
def test_what_is_paused_does_nothing(state: State):
    release = replace(BEGUN, state=state, paused=True, reason="alice: lunch")
    assert following(release, Sight(), HOOKS) == Wait(None, ("alice: lunch",))


LACKS = Sight(missing=["health: failed"])
LOOKS = [state for state, items in COURSE.items() if Waits.GATES in items]


def test_every_phase_has_a_place_where_it_waits():
    assert {*LOOKS} == {*MEASURED_IN, State.CANARY}


def last(release: Release, hooks: Hooks, sight: Sight) -> Do | Take | Wait:
    """What is next once nothing of the state is left that may be done."""
    done: set[str] = set()
    while isinstance(found := following(release, replace(sight, done=done), hooks), Do):
        done.add(found.effect.name)
    return found


@pytest.mark.parametrize("state", LOOKS)
def test_nothing_passes_that_lacks_something(state: State):
    """In each phase, after its hooks before, and whatever is said of it."""
    hooks = Hooks({state: ("a",)}, {state: ("z",)})
    release = replace(BEGUN, state=state, dwelt_s=3600.0, step=1)
    assert last(release, hooks, LACKS) == Wait(Waits.GATES, ("health: failed",))
    assert isinstance(last(release, hooks, Sight()), Take)


@pytest.mark.parametrize("state", [State.ROLLING_BACK, State.ABORTING])
def test_what_goes_back_waits_for_nothing(state: State):
    assert isinstance(last(replace(BEGUN, state=state), HOOKS, LACKS), Take)


def test_what_comes_up_after_all_went_over_does_not_stop_half_way():
    release = replace(BEGUN, state=State.CUTTING_OVER)
    assert following(release, LACKS, Hooks()) == Wait(Waits.GATES, ("health: failed",))
    begun = replace(LACKS, begun={"0-cutover"})
    assert following(release, begun, Hooks()) == Do(Effect("0-cutover", Kind.CUTOVER))
    done = replace(begun, done={"0-cutover"})
    assert following(release, done, Hooks()) == Do(Effect("0-drain", Kind.DRAIN))


def test_a_window_is_not_left_with_a_warning():
    release = replace(BEGUN, state=State.STABILISING, dwelt_s=600.0)
    found = following(release, Sight(doubts="slower"), Hooks())
    assert found == Wait(Waits.WINDOW, ("slower",))
    drill = replace(release, is_drill=True)
    assert following(drill, Sight(doubts="slower"), Hooks()) == Take(Event.ROLLBACK, DRILL_OVER)


SEEN = Need("same-version", "post-deployment", "Update the old one", 6, gate=SAME_VERSION)


def test_what_is_left_by_hand_is_said():
    release = replace(BEGUN, state=State.FINALISING)
    found = following(release, Sight(), Hooks())
    assert isinstance(found, Take)
    assert found.reason == (
        "left to do by hand: blue still has 1.2.0, for no hook before finalising brings it to 1.3.0"
    )
    hooked = Hooks({"finalising": ("update-old",)})
    assert last(release, hooked, Sight()) == Take(Event.FINALISED)
    same = replace(release, from_version="1.3.0")
    assert following(same, Sight(), Hooks()) == Take(Event.FINALISED)


def test_the_old_slots_version_is_written_down_once_it_was_seen():
    release = replace(BEGUN, state=State.FINALISING, needs=(SEEN,))
    assert following(release, LACKS, Hooks()) == Wait(Waits.GATES, ("health: failed",))
    assert following(release, Sight(), Hooks()) == Do(Effect("0-settle", Kind.SETTLE))
    assert last(release, Hooks(), Sight()) == Take(Event.FINALISED)


def test_a_step_that_can_not_be_judged_is_not_left():
    release = replace(BEGUN, state=State.CANARY, step=1, dwelt_s=60.0)
    done = {effect.name for effect in course(release, HOOKS) if isinstance(effect, Effect)}
    assert following(release, Sight(done, doubts="a warning"), HOOKS) == Wait(
        Waits.DWELL, ("a warning",)
    )
    assert following(release, Sight(done), HOOKS) == Take(Event.ARRIVED)


def test_it_waits_for_the_one_that_it_overtakes():
    found = following(replace(BEGUN, waits_for="r-0"), Sight(), HOOKS)
    assert isinstance(found, Wait)
    assert found.of is Waits.TURN


def test_effects_of_two_visits_have_two_names():
    release = replace(BEGUN, state=State.CANARY)
    again = release.take(Event.STEPPED)
    names = [
        {each.name for each in course(of, HOOKS) if isinstance(each, Effect)}
        for of in (release, again)
    ]
    assert not names[0] & names[1]


def test_every_state_that_does_not_end_has_a_course():
    assert set(COURSE) == set(State) - ENDED
