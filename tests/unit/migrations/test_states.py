"""The lives of plans, waves and jobs: every pair of state and event, and that all of them end."""

from collections.abc import Mapping
from enum import StrEnum
from itertools import product
from typing import Any

import pytest

from admin.migrations.states import (
    JOBS,
    PLANS,
    WAVES,
    JobEvent,
    JobState,
    NotNowError,
    PlanEvent,
    PlanState,
    WaveEvent,
    WaveState,
    after,
    sources,
)

TABLES: list[tuple[Mapping[Any, Any], type[StrEnum], type[StrEnum], StrEnum]] = [
    (PLANS, PlanState, PlanEvent, PlanState.PLANNED),
    (WAVES, WaveState, WaveEvent, WaveState.WAITING),
    (JOBS, JobState, JobEvent, JobState.QUEUED),
]
OVER = [PlanState.CANCELLED, JobState.DONE, JobState.SKIPPED, JobState.CANCELLED]


@pytest.mark.parametrize("table", TABLES, ids=["plans", "waves", "jobs"])
def test_every_pair_leads_somewhere_or_is_refused_by_name(table: Any) -> None:
    transitions, states, events, _ = table
    for state, event in product(states, events):
        if (state, event) in transitions:
            assert after(transitions, state, event) is transitions[state, event]
        else:
            with pytest.raises(NotNowError, match=f"it is {state}: no {event} now"):
                after(transitions, state, event)


@pytest.mark.parametrize("table", TABLES, ids=["plans", "waves", "jobs"])
def test_every_state_can_be_reached_and_left_unless_it_is_the_end(table: Any) -> None:
    transitions, states, _, first = table
    reached = {first}
    while more := {to for (state, _), to in transitions.items() if state in reached} - reached:
        reached |= more
    assert reached == set(states)
    left = {state for state, _ in transitions}
    # As texts, states of different machines are equal.
    assert set(states) - left == {each for each in OVER if isinstance(each, states)}


def test_what_has_ended_well_is_never_taken_up_again() -> None:
    for state in (JobState.DONE, JobState.SKIPPED):
        assert not any(state is each for each, _ in JOBS)


def test_who_may_be_claimed() -> None:
    assert sources(JOBS, JobEvent.CLAIMED) == ["queued"]
