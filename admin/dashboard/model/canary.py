"""The canary's page: its ramp as steps, and what may be said to it."""

from collections.abc import Sequence
from dataclasses import dataclass

from admin.api.canary_messages import RampReport
from admin.canary.model import TRANSITIONS, Event, State

WORDS = (Event.PAUSE, Event.RESUME, Event.REVERSE, Event.STOP)
"""What an operator may say to a ramp."""


@dataclass(frozen=True, slots=True)
class StepShown:
    """A step. standing: done, now or ahead."""

    number: int
    percent: float
    dwell_s: float
    standing: str


@dataclass(frozen=True, slots=True)
class RampShown:
    """A ramp with its steps, and the words that it takes now."""

    report: RampReport
    steps: Sequence[StepShown]
    may: Sequence[str]


def ramp_shown(report: RampReport | None) -> RampShown | None:
    """The ramp as the page shows it; None without one."""
    if report is None:
        return None
    is_over = report.state == State.DONE
    steps = [
        StepShown(number, step.percent, step.dwell_s, _standing(number, report.step, is_over))
        for number, step in enumerate(report.steps, 1)
    ]
    may = [str(word) for word in WORDS if (State(report.state), word) in TRANSITIONS]
    return RampShown(report, steps, may)


def _standing(number: int, step: int, is_over: bool) -> str:
    if number < step or (is_over and number == step):
        return "done"
    return "now" if number == step else "ahead"
