"""A drain as a value, its life as a table, and what is left of it.

Pure. Rules:
1. `TRANSITIONS` is a drain's whole life. However it ends, it is taken out of the table.
2. What is left is known by the workers' own words: a worker that has not looked yet, or fell
   silent before it said that nothing is left, is waited for.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from proxy.routing.ack import MAX_TENANTS_TOLD, WorkerStatus
from proxy.routing.change import EndAffinities, EndDrain, Operation, SetDrain
from proxy.routing.model import Slot


class State(StrEnum):
    """Where a drain stands."""

    DRAINING = "draining"  # what lasts is ended, at its pace
    HURRYING = "hurrying"  # the limit is reached: all that is left is ended at once
    ENDING = "ending"  # it is being taken out of the table, and told
    DONE = "done"


class Event(StrEnum):
    """What happens to a drain."""

    EMPTY = "empty"  # nothing is left at any worker
    LIMIT = "limit"  # its time is over
    STOPPED = "stopped"  # somebody wants it to end; what is left stays
    ENDED = "ended"  # it is out of the table


TRANSITIONS: Final = {
    (State.DRAINING, Event.EMPTY): State.ENDING,
    (State.DRAINING, Event.LIMIT): State.HURRYING,
    (State.DRAINING, Event.STOPPED): State.ENDING,
    (State.HURRYING, Event.EMPTY): State.ENDING,
    (State.HURRYING, Event.LIMIT): State.ENDING,
    (State.HURRYING, Event.STOPPED): State.ENDING,
    (State.ENDING, Event.ENDED): State.DONE,
}


@dataclass(frozen=True, slots=True)
class Drain:
    """One drain.

    tenants: whose; None: all who belong elsewhere. limit_s: from its beginning until all that is
    left is ended at once. webhook: where its end is told. version, hurried_version: of the changes
    that began it and put it in a hurry. outcome: the event that ended it. tenant_per_second: the
    pace of each tenant; 0: none has one of its own.
    """

    name: str
    slot: Slot
    tenants: frozenset[str] | None
    per_second: float
    limit_s: float
    webhook: str | None = None
    state: State = State.DRAINING
    version: int | None = None
    hurried_version: int | None = None
    outcome: str = ""
    tenant_per_second: float = 0.0

    def begin(self) -> tuple[Operation, ...]:
        """The operations that begin it."""
        return (self._operation(hurry=None),)

    def hurry(self) -> tuple[Operation, ...]:
        """The operations that put it in a hurry."""
        return (self._operation(hurry=True),)

    def _operation(self, hurry: bool | None) -> SetDrain:
        of_one = self.tenant_per_second or None
        return SetDrain(self.name, self.slot, self.per_second, self.tenants, hurry, of_one)

    def end(self) -> tuple[Operation, ...]:
        """The operations that end it. Nothing is bound to a slot any more that was drained of all."""
        ended = EndDrain(self.name)
        if self.tenants is None and self.outcome != Event.STOPPED:
            return (ended, EndAffinities(self.slot))
        return (ended,)


@dataclass(frozen=True, slots=True)
class Left:
    """What is left. counts: worker → how many. unknown: workers that have not said, or fell silent.

    kinds: kind → how many. tenants: of the tenants that have most (empty: nobody's); others: of the
    rest, of which each worker names only its own largest.
    """

    counts: dict[str, int]
    unknown: tuple[str, ...]
    kinds: Mapping[str, int] = field(default_factory=dict)
    tenants: Mapping[str, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """How many, by all who said so."""
        return sum(self.counts.values())

    @property
    def others(self) -> int:
        """How many are of tenants that are not named."""
        return max(self.total - sum(self.tenants.values()), 0)

    @property
    def is_nothing(self) -> bool:
        """Whether every worker says that nothing is left."""
        return not (self.unknown or any(self.counts.values()))


def left_of(
    name: str, version: int, live: Iterable[WorkerStatus], silent: Iterable[WorkerStatus]
) -> Left:
    """What is left of the drain, by those with a lease and by those whose lease just ended."""
    counts: dict[str, int] = {}
    unknown: list[str] = []
    kinds: Counter[str] = Counter()
    tenants: Counter[str] = Counter()
    for status in sorted(live, key=lambda status: status.worker):
        if status.version >= version and name in status.draining:
            counts[status.worker] = status.draining[name]
            detail = status.left.get(name, {})
            kinds.update(detail.get("kinds", {}))
            tenants.update(detail.get("tenants", {}))
        else:
            unknown.append(status.worker)
    unknown += sorted(
        status.worker
        for status in silent
        if status.version < version or status.draining.get(name, 1)
    )
    return Left(counts, tuple(unknown), +kinds, dict(tenants.most_common(MAX_TENANTS_TOLD)))
