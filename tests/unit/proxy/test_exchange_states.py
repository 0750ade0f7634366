"""The life of an exchange as a table: every pair is either in it or refused."""

from itertools import product

import pytest

from tests.support.wire import TRANSITIONS, Event, State, Wire

PAIRS = list(product(State, Event))


@pytest.mark.parametrize(("state", "event"), PAIRS, ids=[f"{s.name}-{e.name}" for s, e in PAIRS])
def test_every_step_is_in_the_table_or_refused(state: State, event: Event) -> None:
    with Wire() as wire:
        _ = wire.client
        exchange = wire.exchanges[0]
        exchange.state = state
        following = TRANSITIONS.get((state, event))
        if following is None:
            with pytest.raises(RuntimeError, match=f"{state.name} can't take {event.name}"):
                exchange._advance(event)
            assert exchange.state == state
        else:
            exchange._advance(event)
            assert exchange.state == following
        exchange.state = State.IDLE


def reached_from(start: State) -> set[State]:
    found, waiting = {start}, [start]
    while waiting:
        here = waiting.pop()
        following = {after for (before, _), after in TRANSITIONS.items() if before is here}
        waiting += following - found
        found |= following
    return found


def test_every_state_is_reached_and_every_state_can_end() -> None:
    assert reached_from(State.IDLE) == set(State)
    for state in State:
        assert State.ENDED in reached_from(state)


def test_nothing_follows_the_end() -> None:
    assert not [event for (state, event) in TRANSITIONS if state is State.ENDED]


def test_a_request_begins_only_when_the_one_before_is_over() -> None:
    assert [state for (state, event) in TRANSITIONS if event is Event.REQUEST] == [State.IDLE]


def test_nothing_is_tried_again_once_an_answer_has_begun() -> None:
    again = {state for (state, event) in TRANSITIONS if event is Event.RETRY}
    assert again == {State.CLAIMING, State.AWAITING}
