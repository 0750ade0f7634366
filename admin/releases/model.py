"""A release as a value, and its life as a table. Pure.

Rules:
1. `TRANSITIONS` is a release's whole life (and `DRILL` what is otherwise in a drill's); `Release.take` is the only way through it.
2. Blue and green only swap roles: a release knows which slot was active when it began, and the other
   one is where it brings its version.
3. Before traffic has moved a release is aborted; once some has, it is rolled back. Either ends it.
4. A pause stops what a release does by itself, but for going back: a critical verdict, or a person,
   brings a paused release back too.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from admin.releases.needs import Need
from admin.releases.plan import Plan
from proxy.routing.model import Canary, Slot


class State(StrEnum):
    """Where a release stands."""

    PLANNED = "planned"  # it is decided; another may have to end first
    DEPLOYING = "deploying"  # the version is brought to the standby slot
    VALIDATING = "validating"  # nobody is served by it yet; the gates are measured
    CANARY = "canary"  # some are
    CUTTING_OVER = "cutting-over"  # all are going over
    STABILISING = "stabilising"  # all are served by it, and watched; the way back is open
    FINALISING = "finalising"  # it stays; the slot before is brought to the same version
    DONE = "done"
    ABORTING = "aborting"  # nobody was served by it; what was begun is undone
    ABORTED = "aborted"
    ROLLING_BACK = "rolling-back"  # all go back to the slot before
    ROLLED_BACK = "rolled-back"


class Event(StrEnum):
    """What happens to a release."""

    START = "start"  # no other stands in its way
    DEPLOYED = "deployed"
    VALIDATED = "validated"  # every gate has passed, whoever has to sign has signed
    STEPPED = "stepped"  # a step of the canary is over, and another follows
    ARRIVED = "arrived"  # it is over, and none follows
    CUT_OVER = "cut-over"  # every worker serves all by the new version
    STABLE = "stable"  # it was watched for as long as its plan says
    FINALISED = "finalised"
    FAULT = "fault"  # the monitor is sure that the new version is worse
    RETURNED = "returned"  # every worker serves all by the version before
    CLEARED = "cleared"  # nothing is left of an aborted release
    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"  # somebody wants it ended
    ROLLBACK = "rollback"  # somebody wants it brought back
    OVERTAKE = "overtake"  # a hotfix needs its place


ENDED: Final = frozenset({State.DONE, State.ABORTED, State.ROLLED_BACK})
_BACK: Final = (Event.ABORT, Event.ROLLBACK, Event.FAULT)

TRANSITIONS: Final[Mapping[tuple[State, Event], State]] = {
    (State.PLANNED, Event.START): State.DEPLOYING,
    (State.PLANNED, Event.OVERTAKE): State.ABORTING,
    (State.DEPLOYING, Event.DEPLOYED): State.VALIDATING,
    (State.DEPLOYING, Event.OVERTAKE): State.ABORTING,
    (State.VALIDATING, Event.VALIDATED): State.CANARY,
    (State.VALIDATING, Event.OVERTAKE): State.ABORTING,
    (State.CANARY, Event.STEPPED): State.CANARY,
    (State.CANARY, Event.ARRIVED): State.CUTTING_OVER,
    (State.CANARY, Event.OVERTAKE): State.ROLLING_BACK,
    (State.CUTTING_OVER, Event.CUT_OVER): State.STABILISING,
    (State.CUTTING_OVER, Event.OVERTAKE): State.ROLLING_BACK,
    (State.STABILISING, Event.STABLE): State.FINALISING,
    (State.STABILISING, Event.OVERTAKE): State.DONE,
    (State.FINALISING, Event.FINALISED): State.DONE,
    (State.FINALISING, Event.OVERTAKE): State.DONE,
    (State.ABORTING, Event.CLEARED): State.ABORTED,
    (State.ROLLING_BACK, Event.RETURNED): State.ROLLED_BACK,
    **{
        (state, event): State.ABORTING
        for state in (State.PLANNED, State.DEPLOYING, State.VALIDATING)
        for event in _BACK
    },
    **{
        (state, event): State.ROLLING_BACK
        for state in (State.CANARY, State.CUTTING_OVER, State.STABILISING, State.FINALISING)
        for event in _BACK
    },
    **{
        (state, event): state
        for state in State
        if state not in ENDED | {State.ABORTING, State.ROLLING_BACK}
        for event in (Event.PAUSE, Event.RESUME)
    },
}
DRILL: Final[Mapping[tuple[State, Event], State]] = {
    (State.STABILISING, Event.OVERTAKE): State.ROLLING_BACK,
}
"""Where a drill goes elsewhere than `TRANSITIONS` says: it comes back, whoever ends it."""
PHASES: Final[Mapping[State, int]] = {
    State.PLANNED: 1,
    State.DEPLOYING: 2,
    State.VALIDATING: 3,
    State.CANARY: 3,
    State.CUTTING_OVER: 4,
    State.STABILISING: 5,
    State.FINALISING: 6,
    State.DONE: 6,
    State.ABORTING: 3,
    State.ABORTED: 3,
    State.ROLLING_BACK: 5,
    State.ROLLED_BACK: 5,
}
"""The phase of the document that each state belongs to."""


class NotNowError(Exception):
    """The release can't take this event where it stands; the message says why."""


@dataclass(frozen=True, slots=True)
class Release:
    """One release.

    active: the slot that served when it began. base: the canary before it. step: of the canary,
    from 0. visit: how often it has entered a state or a step; names what is done there. dwelt_s: of
    what is waited for there, as far as it was measured. expected: the canary that it left behind.
    waits_for: the release that has to end first. old_is_gone: the slot before no longer has its
    version. is_drill: it goes over and comes back, as planned. fault: why it goes back. reason: why it is paused, or has ended.
    needs: all that it needs to go on, in all phases (`go`).
    """

    name: str
    version: str
    from_version: str
    plan: Plan
    active: Slot
    base: Canary
    expected: Canary
    state: State = State.PLANNED
    step: int = 0
    visit: int = 0
    paused: bool = False
    dwelt_s: float = 0.0
    waits_for: str = ""
    old_is_gone: bool = False
    is_drill: bool = False
    reason: str = ""
    fault: str = ""
    needs: tuple[Need, ...] = ()

    @property
    def standby(self) -> Slot:
        """Where the version is brought."""
        return self.active.other

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to it."""
        return self.state in ENDED

    @property
    def is_last_step(self) -> bool:
        """Whether no step of the canary follows."""
        return self.step >= len(self.plan.steps) - 1

    @property
    def is_back(self) -> bool:
        """Whether it goes back, or went."""
        return self.state in {
            *(State.ABORTING, State.ABORTED, State.ROLLING_BACK, State.ROLLED_BACK),
        }

    def refusal(self, event: Event) -> str:
        """Why it can't take the event; empty if it can. What the table doesn't say stands here."""
        if (self.state, event) not in TRANSITIONS:
            return f"the release is {self.state}"
        for of, guard in GUARDS:
            if of is event and (why := guard(self)):
                return why
        return ""

    def take(self, event: Event, reason: str = "") -> "Release":
        """The release after the event. NotNowError. reason: in words, if it needs any."""
        if why := self.refusal(event):
            raise NotNowError(why)
        if event is Event.PAUSE:
            return replace(self, paused=True, reason=reason)
        if event is Event.RESUME:
            return replace(self, paused=False, reason="")
        following = TRANSITIONS[self.state, event]
        if self.is_drill:
            following = DRILL.get((self.state, event), following)
        fault = reason if event in {*_BACK, Event.OVERTAKE} else self.fault
        step = self.step + 1 if following is self.state else self.step
        return replace(
            self,
            state=following,
            step=step,
            visit=self.visit + 1,
            paused=False,
            dwelt_s=0.0,
            fault=fault,
            reason=reason or self.fault if following in ENDED else reason,
        )


def _paused(release: Release) -> str:
    return "" if release.paused else "it is not paused"


def _running(release: Release) -> str:
    return "it is paused already" if release.paused else ""


def _another_step(release: Release) -> str:
    return "no step follows" if release.is_last_step else ""


def _no_step(release: Release) -> str:
    return "" if release.is_last_step else "another step follows"


def _no_drill(release: Release) -> str:
    return "a drill comes back" if release.is_drill else ""


def _old_is_there(release: Release) -> str:
    if not release.old_is_gone:
        return ""
    return f"{release.active} no longer has {release.from_version}: release it anew"


GUARDS: Final = (
    (Event.RESUME, _paused),
    (Event.PAUSE, _running),
    (Event.STEPPED, _another_step),
    (Event.ARRIVED, _no_step),
    (Event.STABLE, _no_drill),
    (Event.ABORT, _old_is_there),
    (Event.ROLLBACK, _old_is_there),
    (Event.FAULT, _old_is_there),
)
"""What has to hold beside the table: event → why it can't be, if it can't."""


class Command(StrEnum):
    """What a person can say to a release, beside signing."""

    PROMOTE = "promote"  # what is waited for is over
    PAUSE = "pause"
    RESUME = "resume"
    ABORT = "abort"
    ROLLBACK = "rollback"
    FINALISE = "finalise"  # the rest of the stabilisation is skipped


def meant(release: Release, command: Command) -> Event:
    """The event that a command is to this release. NotNowError if it is none."""
    match command, release.state:
        case Command.PROMOTE, State.CANARY if not release.paused:
            return Event.ARRIVED if release.is_last_step else Event.STEPPED
        case Command.PROMOTE | Command.FINALISE, State.STABILISING if not release.paused:
            # What a drill drills is the way back: it is never left out.
            return Event.ROLLBACK if release.is_drill else Event.STABLE
        case ((Command.PROMOTE | Command.FINALISE), _):
            why = "paused: resume it first" if release.paused else release.state
            raise NotNowError(f"the release is {why}")
    return Event(str(command))


GOES_ON: Final = frozenset({Event.STEPPED, Event.ARRIVED, Event.STABLE})
"""What a person can have a release do before its time: not while it lacks something."""


def may(release: Release, *, lacks: bool = False) -> tuple[Command, ...]:
    """The commands that it can take now. lacks: something is missing that its state needs."""
    return tuple(command for command in Command if _can(release, command, lacks=lacks))


def _can(release: Release, command: Command, *, lacks: bool) -> bool:
    try:
        event = meant(release, command)
    except NotNowError:
        return False
    return not release.refusal(event) and not (lacks and event in GOES_ON)
