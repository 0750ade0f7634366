"""A plan of migrations as its page shows it: waves with how far each has come."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from admin.api.migration_messages import PlanState, WaveState
from admin.migrations.states import PLANS, JobState, PlanEvent
from admin.migrations.states import PlanState as State

WORDS = (PlanEvent.RUN, PlanEvent.PAUSE, PlanEvent.RESUME, PlanEvent.RETRY, PlanEvent.CANCEL)
_ENDED = (JobState.DONE, JobState.SKIPPED)
_SPENT = (JobState.FAILED, JobState.BLOCKED, JobState.CANCELLED)


@dataclass(frozen=True, slots=True)
class WaveShown:
    """A wave. done, failed, running: of `jobs`; widths: the same, in thousandths, for its bar."""

    number: int
    name: str
    state: str
    jobs: int
    done: int
    running: int
    failed: int

    @property
    def widths(self) -> Mapping[str, float]:
        """How long each part of the bar is, of 1000."""
        parts = {"done": self.done, "running": self.running, "failed": self.failed}
        return {name: 1000 * count / self.jobs if self.jobs else 0 for name, count in parts.items()}


@dataclass(frozen=True, slots=True)
class PlanShown:
    """A plan with its waves, and the words that it takes now."""

    plan: PlanState
    waves: Sequence[WaveShown]
    may: Sequence[str]


def plan_shown(plan: PlanState) -> PlanShown:
    """The plan as its page shows it. A plan that was only tried takes no word."""
    waves = [_wave(each) for each in plan.waves]
    may = [str(word) for word in WORDS if plan.name and (State(plan.state), word) in PLANS]
    if not any(wave.failed for wave in waves):
        may = [word for word in may if word != PlanEvent.RETRY]
    return PlanShown(plan, waves, may)


def _wave(wave: WaveState) -> WaveShown:
    def of(*states: JobState) -> int:
        return sum(wave.jobs.get(state, 0) for state in states)

    jobs = sum(wave.jobs.values())
    counts = (of(*_ENDED), of(JobState.RUNNING), of(*_SPENT))
    return WaveShown(wave.number, wave.name, wave.state, jobs, *counts)
