"""The lives of a plan, of its waves and of its jobs, as tables. Pure.

Rules:
1. These tables are the whole of it; `after` is the only way through them. The ledger's SQL moves a
   row only from the states that the table allows (`sources`).
2. A job that runs is held by a lease and a fence; whoever comes after has a larger fence.
3. A plan that is paused, stopped or cancelled gives out no job; what runs ends first.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, TypeVar


class PlanState(StrEnum):
    """Where a plan stands."""

    PLANNED = "planned"  # it can be looked at; nothing of it runs
    RUNNING = "running"  # its open wave's jobs are given out
    PAUSED = "paused"  # somebody wants it to wait
    STOPPED = "stopped"  # more has failed than its budget allows
    DONE = "done"
    CANCELLED = "cancelled"


class PlanEvent(StrEnum):
    """What happens to a plan."""

    RUN = "run"
    PAUSE = "pause"
    RESUME = "resume"  # what has failed until now no longer counts
    CANCEL = "cancel"
    RETRY = "retry"  # what has failed is tried again
    SPENT = "spent"  # the failure budget of its wave is spent
    FINISHED = "finished"  # its last wave is over


class WaveState(StrEnum):
    """Where a wave stands."""

    WAITING = "waiting"
    OPEN = "open"
    STOPPED = "stopped"
    DONE = "done"


class WaveEvent(StrEnum):
    """What happens to a wave."""

    OPENED = "opened"  # the one before it is over
    SPENT = "spent"
    RESUMED = "resumed"
    FINISHED = "finished"  # none of its jobs waits or runs
    RETRIED = "retried"


class JobState(StrEnum):
    """Where a job stands: one migration of one target."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    SKIPPED = "skipped"  # the target had it already
    FAILED = "failed"
    BLOCKED = "blocked"  # an earlier one of its target has failed
    CANCELLED = "cancelled"


class JobEvent(StrEnum):
    """What happens to a job."""

    CLAIMED = "claimed"
    APPLIED = "applied"
    FOUND = "found"
    FAILED = "failed"
    GIVEN_BACK = "given-back"  # to be tried again later, or by another worker
    LAPSED = "lapsed"  # its worker has fallen silent
    BLOCKED = "blocked"
    RETRIED = "retried"
    CANCELLED = "cancelled"


PLANS: Final[Mapping[tuple[PlanState, PlanEvent], PlanState]] = {
    (PlanState.PLANNED, PlanEvent.RUN): PlanState.RUNNING,
    (PlanState.PLANNED, PlanEvent.CANCEL): PlanState.CANCELLED,
    (PlanState.RUNNING, PlanEvent.PAUSE): PlanState.PAUSED,
    (PlanState.RUNNING, PlanEvent.CANCEL): PlanState.CANCELLED,
    (PlanState.RUNNING, PlanEvent.SPENT): PlanState.STOPPED,
    (PlanState.RUNNING, PlanEvent.FINISHED): PlanState.DONE,
    (PlanState.RUNNING, PlanEvent.RETRY): PlanState.RUNNING,
    (PlanState.PAUSED, PlanEvent.RESUME): PlanState.RUNNING,
    (PlanState.PAUSED, PlanEvent.RETRY): PlanState.PAUSED,
    (PlanState.PAUSED, PlanEvent.CANCEL): PlanState.CANCELLED,
    (PlanState.STOPPED, PlanEvent.RESUME): PlanState.RUNNING,
    (PlanState.STOPPED, PlanEvent.RETRY): PlanState.RUNNING,
    (PlanState.STOPPED, PlanEvent.CANCEL): PlanState.CANCELLED,
    (PlanState.DONE, PlanEvent.RETRY): PlanState.RUNNING,
}
WAVES: Final[Mapping[tuple[WaveState, WaveEvent], WaveState]] = {
    (WaveState.WAITING, WaveEvent.OPENED): WaveState.OPEN,
    (WaveState.OPEN, WaveEvent.SPENT): WaveState.STOPPED,
    (WaveState.OPEN, WaveEvent.FINISHED): WaveState.DONE,
    (WaveState.STOPPED, WaveEvent.RESUMED): WaveState.OPEN,
    (WaveState.STOPPED, WaveEvent.RETRIED): WaveState.OPEN,
    (WaveState.DONE, WaveEvent.RETRIED): WaveState.OPEN,
}
JOBS: Final[Mapping[tuple[JobState, JobEvent], JobState]] = {
    (JobState.QUEUED, JobEvent.CLAIMED): JobState.RUNNING,
    (JobState.QUEUED, JobEvent.BLOCKED): JobState.BLOCKED,
    (JobState.QUEUED, JobEvent.CANCELLED): JobState.CANCELLED,
    (JobState.RUNNING, JobEvent.APPLIED): JobState.DONE,
    (JobState.RUNNING, JobEvent.FOUND): JobState.SKIPPED,
    (JobState.RUNNING, JobEvent.FAILED): JobState.FAILED,
    (JobState.RUNNING, JobEvent.GIVEN_BACK): JobState.QUEUED,
    (JobState.RUNNING, JobEvent.LAPSED): JobState.QUEUED,  # and cancelled at once, if its plan is
    (JobState.FAILED, JobEvent.RETRIED): JobState.QUEUED,
    (JobState.BLOCKED, JobEvent.RETRIED): JobState.QUEUED,
    (JobState.BLOCKED, JobEvent.CANCELLED): JobState.CANCELLED,
}

State = TypeVar("State", bound=StrEnum)
Event = TypeVar("Event", bound=StrEnum)


class NotNowError(Exception):
    """It can't take this event where it stands; the message says so."""


def after(table: Mapping[tuple[State, Event], State], state: State, event: Event) -> State:
    """The state that the event leads to. NotNowError."""
    try:
        return table[state, event]
    except KeyError:
        raise NotNowError(f"it is {state}: no {event} now") from None


def sources(table: Mapping[tuple[State, Event], State], event: Event) -> list[str]:
    """The states in which the event can happen."""
    return [str(state) for state, each in table if each is event]
