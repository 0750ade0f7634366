"""The life of an upgrade: the table is whole, and every state can end."""

from proxy.supervision.upgrade import TRANSITIONS, Event, State

FINAL = {State.NONE, State.DONE}


def test_each_step_of_the_table_is_meant() -> None:
    walked = {(state, event): TRANSITIONS.get((state, event)) for state in State for event in Event}
    allowed = {pair for pair, after in walked.items() if after is not None}
    assert allowed == TRANSITIONS.keys()
    assert {state for state, _ in allowed} == set(State) - {State.DONE}, "only the end is final"


def test_every_state_is_reached_and_can_end() -> None:
    reached = {State.NONE}
    for _ in State:
        reached |= {after for (state, _), after in TRANSITIONS.items() if state in reached}
    assert reached == set(State)
    for state in set(State) - FINAL:
        ends = {after for (before, _), after in TRANSITIONS.items() if before is state}
        assert ends & FINAL, state


def test_only_one_that_serves_takes_over() -> None:
    makes_way = {pair for pair, after in TRANSITIONS.items() if after is State.DONE}
    assert makes_way == {(State.STARTING, Event.SERVES)}
