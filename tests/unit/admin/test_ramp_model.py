"""A ramp's life: every state with every event, and the walks that come of it."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.canary.model import (
    BASE,
    TRANSITIONS,
    Event,
    Foreign,
    NotNowError,
    Ramp,
    State,
    Step,
    happened,
    verdict,
)
from admin.canary.weights import By, NoTrafficError
from proxy.routing.model import Canary, RoutingTable, Slot, Unit
from proxy.routing.traffic import Traffic
from tests.support.examples import examples

STEPS = tuple(Step(share, dwell) for share, dwell in ((100, 9.0), (500, 8.0), (10_000, 0.0)))
EMPTY = Traffic({})


def ramp(by: By = By.COUNT) -> Ramp:
    canary = Canary(25, Unit.TENANT, "s")
    return Ramp("r-1", STEPS, by, canary, Slot.BLUE, 7, canary)


def after(*events: Event) -> Ramp:
    found = ramp()
    for event in events:
        found = found.take(event)
    return found


AT = {
    State.STEPPING: after(),
    State.DWELLING: after(Event.SERVED),
    State.PAUSED: after(Event.PAUSE),
    State.DONE: after(Event.STOP),
}


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
def test_every_pair(state: State, event: Event) -> None:
    before = AT[state]
    assert before.state is state
    if (state, event) not in TRANSITIONS:
        with pytest.raises(NotNowError, match=str(state)):
            before.take(event)
        return
    following = before.take(event, "why")
    assert following.state is TRANSITIONS[state, event]
    assert following.reason == "why"
    assert following.outcome == (str(event) if following.state is State.DONE else "")
    assert (following.moves > before.moves) == (
        following.state is State.STEPPING
    )  # each has a name of its own
    if following.moves > before.moves:
        assert following.version is None


def test_every_state_is_reached_and_ends() -> None:
    assert set(TRANSITIONS.values()) == set(State)
    assert {state for state, _ in TRANSITIONS} == set(State) - {State.DONE}
    for state in set(State) - {State.DONE}:
        assert TRANSITIONS[state, Event.STOP] is State.DONE
        assert TRANSITIONS[state, Event.SWITCHED] is State.DONE


def walk(found: Ramp) -> list[int]:
    """The shares that it asks for, on and on."""
    shares = []
    while found.state is not State.DONE:
        shares.append(found.share)
        found = found.take(Event.SERVED)
        found = found.take(found.over)
    assert found.outcome == "arrived"
    return shares


def test_it_walks_all_steps() -> None:
    assert walk(ramp()) == [100, 500, 10_000]


def test_it_walks_back_down_to_where_it_began() -> None:
    turned = after(Event.SERVED, Event.DWELT, Event.SERVED, Event.REVERSE)
    assert (turned.position, turned.rises, turned.dwelt_s) == (0, False, 0.0)
    assert walk(turned) == [100, 25]


def test_turned_twice_it_walks_up_again() -> None:
    turned = after(Event.REVERSE)
    assert (turned.position, turned.dwell_s) == (BASE, 0.0)
    assert walk(turned.take(Event.REVERSE)) == [100, 500, 10_000]


@examples()
@given(st.lists(st.sampled_from(Event), max_size=40))
def test_no_way_leaves_the_steps(events: list[Event]) -> None:
    found = ramp()
    for event in events:
        try:
            found = found.take(found.over if event in {Event.DWELT, Event.ARRIVED} else event)
        except NotNowError:
            continue
        assert BASE <= found.position < len(STEPS)
        assert 0 <= found.share <= 10_000
        assert found.rises or found.position < len(STEPS) - 1


def test_resumed_it_has_the_rest_of_its_time_and_the_same_weight() -> None:
    paused = replace(after(Event.SERVED), dwelt_s=5.0, weight=100, version=9).take(Event.PAUSE)
    resumed = paused.take(Event.RESUME)
    assert (resumed.dwelt_s, resumed.weight, resumed.version) == (5.0, 100, None)
    assert resumed.state is State.STEPPING


def test_by_count_a_step_is_its_weight() -> None:
    assert ramp().choose(RoutingTable(), EMPTY) == 100
    assert after(Event.REVERSE).choose(RoutingTable(), EMPTY) == 25


def test_by_traffic_no_step_goes_back_on_its_way() -> None:
    rising = replace(ramp(By.TRAFFIC), expected=Canary(9_000))
    heavy = Traffic({"acme": 1_000})
    assert rising.choose(RoutingTable(), heavy) == 9_000
    falling = replace(rising, rises=False, expected=Canary(40))
    assert falling.choose(RoutingTable(), Traffic({"acme": 1}, others=10**6)) == 40
    with pytest.raises(NoTrafficError):
        rising.choose(RoutingTable(), EMPTY)


def test_all_is_all_and_the_base_is_the_base_without_any_traffic() -> None:
    assert replace(ramp(By.TRAFFIC), position=2).choose(RoutingTable(), EMPTY) == 10_000
    assert replace(ramp(By.TRAFFIC), position=BASE).choose(RoutingTable(), EMPTY) == 25


@pytest.mark.parametrize(
    ("action", "to", "event"),
    [
        ("cutover", {"active": "green", "canary": {}}, Event.SWITCHED),
        ("switch-commit", {"active": "green"}, Event.SWITCHED),
        ("rollback", {"canary": {"percent": 0, "unit": "tenant"}}, Event.SWITCHED),
        ("cutover", {"canary": {"percent": 0, "unit": "tenant"}}, Event.SWITCHED),
        ("cutover", {"pins": {"acme": "green"}}, None),
        ("canary", {"canary": {"percent": 40.5, "unit": "request"}}, Event.DISTURBED),
        ("change", {"canary": {"percent": 0, "unit": "tenant"}}, Event.DISTURBED),
        ("pin", {"pins": {"acme": "green"}}, None),
        ("republish", {"version": 9}, None),
    ],
)
def test_what_others_do(action: str, to: dict[str, object], event: Event | None) -> None:
    found = verdict(Foreign(9, "carol", action, to))
    assert (None if found is None else found[0]) == event
    if found is not None:
        assert "carol" in found[1]
        assert "version 9" in found[1]
    if action == "canary":
        assert found == (Event.DISTURBED, "carol set the canary to 40.5 % by request (version 9)")


def test_what_no_change_explains_disturbs_it_too() -> None:
    dwelling = replace(after(Event.SERVED), weight=100)
    own = RoutingTable(canary=dwelling.wanted())
    assert happened(dwelling, own, []) is None
    found = happened(dwelling, RoutingTable(), [])
    assert found is not None
    assert found[0] is Event.DISTURBED
    pinned = Foreign(8, "carol", "pin", {"pins": {}})
    cut = Foreign(9, "carol", "cutover", {"active": "green"})
    assert happened(dwelling, RoutingTable(), [pinned, cut]) == verdict(cut)
    paused = dwelling.take(Event.PAUSE)
    canary = Foreign(8, "carol", "canary", {"canary": {"percent": 4, "unit": "tenant"}})
    assert happened(paused, RoutingTable(), [canary]) is None
    assert happened(paused, RoutingTable(), [canary, cut]) == verdict(cut)


def test_it_fits_only_what_it_left_behind() -> None:
    own = RoutingTable(canary=ramp().expected)
    assert ramp().fits(own)
    assert not ramp().fits(RoutingTable())
    assert not ramp().fits(RoutingTable(active=Slot.GREEN, canary=ramp().expected))
    assert ramp().knowing(RoutingTable(version=9)).fits(RoutingTable())
