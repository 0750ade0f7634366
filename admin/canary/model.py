"""A ramp as a value, its life as a table, and what its steps ask of the routing. Pure.

A ramp walks a canary through steps, each for a time. Rules:
1. `TRANSITIONS` is a ramp's whole life; `Ramp.take` is the only way through it.
2. A step's time begins when every worker serves its weight, and grows by what is measured of it
   (`admin/canary/store.py`): neither a pause nor an admin that is away takes of it.
3. On the way up no step lowers the weight, on the way down none raises it, whatever the traffic has
   become: who has come into the canary stays until the ramp turns.
4. A ramp changes only what it left behind itself. A canary that somebody else has changed stops it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from admin.canary.weights import By, choose
from proxy.routing.change import SetCanary
from proxy.routing.model import BASIS_POINTS, Canary, RoutingTable, Slot
from proxy.routing.traffic import Traffic
from proxy.routing.values import percent

BASE: Final = -1
"""The position below the first step: the canary as it was before."""


class State(StrEnum):
    """Where a ramp stands."""

    STEPPING = "stepping"  # the step's weight is being decided, published, and taken by all workers
    DWELLING = "dwelling"  # all serve it; its time runs
    PAUSED = "paused"  # the canary stays as it is
    DONE = "done"


class Event(StrEnum):
    """What happens to a ramp."""

    SERVED = "served"  # every worker serves the step's weight
    DWELT = "dwelt"  # the step's time is over, and another follows
    ARRIVED = "arrived"  # it is over, and none follows
    PAUSE = "pause"  # somebody wants it to wait
    RESUME = "resume"  # somebody wants it to go on
    REVERSE = "reverse"  # somebody wants it to turn around
    STOP = "stop"  # somebody wants it to end; the canary stays as it is
    DISTURBED = "disturbed"  # somebody else has changed the canary
    REFUSED = "refused"  # the step can't be made
    SWITCHED = "switched"  # a cutover or a rollback has ended the canary


TRANSITIONS: Final[Mapping[tuple[State, Event], State]] = {
    (State.STEPPING, Event.SERVED): State.DWELLING,
    (State.STEPPING, Event.REVERSE): State.STEPPING,
    (State.STEPPING, Event.PAUSE): State.PAUSED,
    (State.STEPPING, Event.DISTURBED): State.PAUSED,
    (State.STEPPING, Event.REFUSED): State.PAUSED,
    (State.STEPPING, Event.STOP): State.DONE,
    (State.STEPPING, Event.SWITCHED): State.DONE,
    (State.DWELLING, Event.DWELT): State.STEPPING,
    (State.DWELLING, Event.REVERSE): State.STEPPING,
    (State.DWELLING, Event.PAUSE): State.PAUSED,
    (State.DWELLING, Event.DISTURBED): State.PAUSED,
    (State.DWELLING, Event.ARRIVED): State.DONE,
    (State.DWELLING, Event.STOP): State.DONE,
    (State.DWELLING, Event.SWITCHED): State.DONE,
    (State.PAUSED, Event.RESUME): State.STEPPING,
    (State.PAUSED, Event.REVERSE): State.STEPPING,
    (State.PAUSED, Event.STOP): State.DONE,
    (State.PAUSED, Event.SWITCHED): State.DONE,
}
_SETS_OFF: Final = frozenset({Event.DWELT, Event.RESUME, Event.REVERSE})


class NotNowError(Exception):
    """The ramp can't take this event where it stands."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step. share: what is asked for, in basis points. dwell_s: how long it lasts, seconds."""

    share: int
    dwell_s: float


@dataclass(frozen=True, slots=True)
class Ramp:
    """One ramp.

    canary: its unit, salt and lists are those of all steps, its weight the one before the first.
    active: the slot that it was begun beside. position: the step, or BASE. rises: whether it walks
    up. moves: how often it has set off to a step; names that change. weight, version: of that
    change, once chosen and made. dwelt_s: of the step's time. seen, expected: the version up to
    which all changes are known, and the canary at it.
    """

    name: str
    steps: tuple[Step, ...]
    by: By
    canary: Canary
    active: Slot
    seen: int
    expected: Canary
    state: State = State.STEPPING
    position: int = 0
    rises: bool = True
    moves: int = 0
    weight: int | None = None
    version: int | None = None
    dwelt_s: float = 0.0
    reason: str = ""
    outcome: str = ""

    @property
    def share(self) -> int:
        """What the step asks for, in basis points."""
        return self.canary.basis_points if self.is_at_base else self.steps[self.position].share

    @property
    def is_at_base(self) -> bool:
        """Whether it has come down to where it began."""
        return self.position == BASE

    @property
    def dwell_s(self) -> float:
        """How long the step lasts, in seconds."""
        return 0.0 if self.is_at_base else self.steps[self.position].dwell_s

    @property
    def last(self) -> bool:
        """Whether no step follows."""
        return self.position == (len(self.steps) - 1 if self.rises else BASE)

    @property
    def over(self) -> Event:
        """What the end of the step's time is."""
        return Event.ARRIVED if self.last else Event.DWELT

    def take(self, event: Event, reason: str = "") -> "Ramp":
        """The ramp after the event. NotNowError. reason: in words, if it needs any."""
        following = TRANSITIONS.get((self.state, event))
        if following is None:
            raise NotNowError(f"the ramp is {self.state}")
        after = replace(self, state=following, reason=reason)
        if following is State.DONE:
            return replace(after, outcome=str(event))
        if event in _SETS_OFF:
            return after._set_off(event)  # noqa: SLF001 - it is one of these
        return after

    def _set_off(self, event: Event) -> "Ramp":
        """To the step that is next, or to the same once more, with the rest of its time."""
        if event is Event.RESUME:
            return replace(self, moves=self.moves + 1, version=None)
        rises = self.rises if event is Event.DWELT else not self.rises
        position = self.position + (1 if rises else -1)
        moves = self.moves + 1
        return replace(
            self,
            rises=rises,
            position=position,
            moves=moves,
            weight=None,
            version=None,
            dwelt_s=0.0,
        )

    @property
    def asks_traffic(self) -> bool:
        """Whether the step's weight depends on the traffic."""
        is_partial = not self.is_at_base and self.share < BASIS_POINTS
        return self.by is By.TRAFFIC and is_partial

    def made(self, version: int) -> "Ramp":
        """The same, whose step's change is this version."""
        seen = max(self.seen, version)
        return replace(self, version=version, seen=seen, expected=self.wanted())

    def knowing(self, table: RoutingTable) -> "Ramp":
        """The same, that goes on from this table, whoever made it."""
        return replace(self, seen=table.version, expected=table.canary)

    def choose(self, table: RoutingTable, traffic: Traffic) -> int:
        """The step's weight, in basis points. NoTrafficError, if it is chosen by traffic."""
        if not self.asks_traffic:
            return self.share
        chosen = choose(self.canary, table.pins, traffic, self.share).basis_points
        before = self.expected.basis_points
        return max(chosen, before) if self.rises else min(chosen, before)

    def wanted(self) -> Canary:
        """The canary of the step, its weight being chosen."""
        if self.weight is None:
            raise ValueError("no weight has been chosen")
        return replace(self.canary, basis_points=self.weight)

    def change(self) -> SetCanary:
        """The operation that makes the step."""
        canary = self.wanted()
        return SetCanary(canary.basis_points, canary.unit, canary.salt, canary.allow, canary.deny)

    def fits(self, table: RoutingTable) -> bool:
        """Whether the table is as the ramp left it."""
        return table.canary == self.expected and table.active is self.active


@dataclass(frozen=True, slots=True)
class Foreign:
    """A change that somebody else made, as the audit trail has it. to: what differs afterwards."""

    version: int
    actor: str
    action: str
    to: Mapping[str, object]


def happened(
    ramp: Ramp, table: RoutingTable, changes: Iterable[Foreign]
) -> tuple[Event, str] | None:
    """What others have done to a ramp. table: as it is. changes: that led to it.

    The first that is anything to it counts: a paused one is not disturbed.
    """
    for change in changes:
        found = verdict(change)
        if found and (ramp.state, found[0]) in TRANSITIONS:
            return found
    if ramp.state is State.DWELLING and table.canary != ramp.wanted():
        # A failover of the database has taken changes back.
        return Event.DISTURBED, "the canary is not as the ramp left it, and no change says why"
    return None


def verdict(change: Foreign) -> tuple[Event, str] | None:
    """What somebody else's change is to a ramp, and in words; None: nothing."""
    version = f"version {change.version}"
    if "active" in change.to:
        return Event.SWITCHED, f"{change.actor} made {change.to['active']} active ({version})"
    canary = change.to.get("canary")
    if not isinstance(canary, Mapping):
        return None
    if change.action in {"cutover", "rollback"}:
        return Event.SWITCHED, f"{change.actor} ended the canary by a {change.action} ({version})"
    of = f"{percent(round(float(canary['percent']) * 100)):g} % by {canary['unit']}"
    return Event.DISTURBED, f"{change.actor} set the canary to {of} ({version})"
