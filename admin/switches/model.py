"""A fenced switch as a value, its life as a table, and when nothing is under way any more.

Pure. Rules:
1. `TRANSITIONS` is a switch's whole life. Whatever fails before the commit undoes it; after the
   commit nothing can.
2. A worker is believed to have stopped only by its own word: that it serves by the hold, and that
   nothing of it is under way there; or that it has ended. One that fell silent may still serve.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from proxy.routing.ack import WorkerStatus
from proxy.routing.change import EndAffinitiesOf, EndDrain, Hold, Operation, Release, SetDrain
from proxy.routing.model import Slot


class State(StrEnum):
    """Where a switch stands."""

    HOLDING = "holding"  # requests are parked; what is under way ends
    STEPPING = "stepping"  # nothing is under way; the caller's step runs
    COMMITTING = "committing"  # the step is done; the new routes are being published
    DONE = "done"  # they are, and what was parked goes on there
    UNDOING = "undoing"  # it failed; the hold is being taken off
    UNDONE = "undone"  # what was parked goes on by the old routes


class Event(StrEnum):
    """What happens to a switch."""

    DRAINED = "drained"  # nothing is under way at any worker
    STEPPED = "stepped"  # the step succeeded, or there is none
    COMMITTED = "committed"  # the new routes are decided
    FAILED = "failed"  # a limit passed, a step failed, somebody cancelled it
    RELEASED = "released"  # the hold is off


TRANSITIONS: Final = {
    (State.HOLDING, Event.DRAINED): State.STEPPING,
    (State.HOLDING, Event.FAILED): State.UNDOING,
    (State.STEPPING, Event.STEPPED): State.COMMITTING,
    (State.STEPPING, Event.FAILED): State.UNDOING,
    (State.COMMITTING, Event.COMMITTED): State.DONE,
    (State.COMMITTING, Event.FAILED): State.UNDOING,
    (State.UNDOING, Event.RELEASED): State.UNDONE,
}
ENDED: Final = frozenset({State.DONE, State.UNDONE})
CANCELLABLE: Final = frozenset({State.HOLDING, State.STEPPING})


@dataclass(frozen=True, slots=True)
class Step:
    """What the caller has done while nothing is under way: a webhook, or a configured command.

    kind: "webhook" or "command". target: the URL, or the command's name.
    """

    kind: str
    target: str


@dataclass(frozen=True, slots=True)
class Switch:
    """One fenced switch.

    tenants: who is held; None: all. operations: what the commit does to the routing. limit_s:
    from its beginning to the end of its step. per_second: at which pace long connections of the
    held are closed. accept_lost: go on although workers fell silent. held, committed: the versions
    of its two changes. reason: why it was undone.
    """

    name: str
    operations: tuple[Operation, ...]
    tenants: frozenset[str] | None = None
    state: State = State.HOLDING
    step: Step | None = None
    limit_s: float = 30.0
    per_second: float = 1000.0
    accept_lost: bool = False
    held: int | None = None
    committed: int | None = None
    step_begun: bool = False
    reason: str = ""

    @property
    def ended(self) -> bool:
        """Whether nothing more happens to it."""
        return self.state in ENDED

    def hold(self) -> tuple[Operation, ...]:
        """The operations of its first change: park, and close what lasts long."""
        drains = (
            SetDrain(drain, slot, self.per_second, self.tenants) for slot, drain in self._drains()
        )
        return (Hold(self.name, self.tenants), *drains)

    def commit(self) -> tuple[Operation, ...]:
        """The operations that move the tenants and let them go.

        What they were bound to before would lead some of their requests back.
        """
        return (*self.operations, EndAffinitiesOf(self.tenants), *self.release())

    def release(self) -> tuple[Operation, ...]:
        """The operations that let them go."""
        return (Release(self.name), *(EndDrain(drain) for _, drain in self._drains()))

    def _drains(self) -> list[tuple[Slot, str]]:
        return [(slot, f"{self.name}-{slot}") for slot in Slot]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Who a switch waits for. busy: worker → what is under way there. silent: who may still serve."""

    pending: tuple[str, ...]
    busy: dict[str, int]
    silent: tuple[str, ...]

    @property
    def is_over(self) -> bool:
        """Whether nothing is under way anywhere."""
        return not (self.pending or self.busy or self.silent)

    @property
    def only_silent(self) -> bool:
        """Whether all that are left fell silent."""
        return bool(self.silent) and not (self.pending or self.busy)

    def __str__(self) -> str:
        parts = []
        if self.pending:
            parts.append(f"without the hold: {', '.join(self.pending)}")
        if self.busy:
            busy = ", ".join(f"{worker} ({count})" for worker, count in self.busy.items())
            parts.append(f"still under way: {busy}")
        if self.silent:
            parts.append(f"fell silent: {', '.join(self.silent)}")
        return "; ".join(parts) or "nobody"


def waiting_for(
    switch: Switch, live: Iterable[WorkerStatus], silent: Iterable[WorkerStatus]
) -> Waiting:
    """Who of the workers may still serve the held tenants by their old routes.

    live: those with a lease. silent: those whose lease ended without a farewell; one that had said
    that nothing is left before is believed.
    """
    if switch.held is None:
        raise ValueError("the switch holds nobody yet")
    pending, busy = [], {}
    for status in sorted(live, key=lambda status: status.worker):
        if status.version < switch.held:
            pending.append(status.worker)
        elif status.holding.get(switch.name, 0):
            busy[status.worker] = status.holding[switch.name]
    lost = [
        status.worker
        for status in silent
        if status.version < switch.held or status.holding.get(switch.name, 0)
    ]
    return Waiting(tuple(pending), busy, () if switch.accept_lost else tuple(sorted(lost)))
