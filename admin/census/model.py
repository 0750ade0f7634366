"""The census of all workers as one value, and what it says of a roll.

Pure. Rules:
1. A device is its tenant and its name, by whatever kind it is connected, through whichever worker.
2. It is *still* there as long as one of its connections is on the drained slot; *back* if none is
   and one is on the other; else *missing*. So one that comes back before its old connection is gone
   is back once that is.
3. A worker that has not told all it knows may have any device: nothing is complete before it has.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from proxy.routing.census import Told
from proxy.routing.lasting import is_meant
from proxy.routing.model import Drain, RoutingTable, Slot


class Device(NamedTuple):
    """A piece of equipment. tenant: empty for nobody's."""

    tenant: str
    name: str


class Standing(StrEnum):
    """Where a device is, as a roll sees it."""

    BACK = "back"  # on the other slot
    STILL = "still"  # on the slot that is drained
    MISSING = "missing"  # nowhere
    NEW = "new"  # on the other slot, and was nowhere when the roll was taken


class Outcome(StrEnum):
    """How the watch over a roll ended."""

    COMPLETE = "complete"  # all are back
    LIMIT = "limit"  # its time was over
    STOPPED = "stopped"  # the drain was stopped: what was left stays where it is
    REPLACED = "replaced"  # another drain of the slot began


@dataclass(frozen=True, slots=True)
class Connected:
    """A device on a slot. since_ms: when the first of these connections was seen, ms since 1970."""

    kinds: tuple[str, ...]
    connections: int
    since_ms: int


@dataclass(frozen=True, slots=True)
class Census:
    """Who is connected, by all who tell. unknown: workers that have not told all they know.

    unnamed: slot and kind → connections that no device is named of. taken: whether anybody tells.
    """

    devices: Mapping[Device, Mapping[Slot, Connected]]
    unnamed: Mapping[tuple[Slot, str], int]
    unknown: tuple[str, ...]
    taken: bool

    def on(self, slot: Slot) -> set[Device]:
        """The devices that have a connection on this slot."""
        return {device for device, slots in self.devices.items() if slot in slots}


@dataclass(frozen=True, slots=True)
class Roll:
    """Who was connected. there: on the slot that is drained. elsewhere: on the other one alone."""

    slot: Slot
    there: frozenset[Device]
    elsewhere: frozenset[Device] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a census says of a roll. unknown: as of the census."""

    standing: Mapping[Device, Standing]
    unknown: tuple[str, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Standing → how many devices; `before`: how many were on the slot."""
        found = Counter(self.standing.values())
        counts = {str(each): found[each] for each in Standing}
        before = sum(count for each, count in found.items() if each is not Standing.NEW)
        return {"before": before, **counts}

    @property
    def is_complete(self) -> bool:
        """Whether all who were there are back."""
        counts = self.counts
        return not self.unknown and counts["back"] == counts["before"]


def census_of(workers: Mapping[str, Told]) -> Census:
    """One census of what all workers tell."""
    seen: dict[Device, dict[Slot, Connected]] = {}
    unnamed: Counter[tuple[Slot, str]] = Counter()
    for told in workers.values():
        for seat, taken in told.seats.items():
            if not seat.device:
                unnamed[seat.slot, seat.kind] += taken.connections
                continue
            slots = seen.setdefault(Device(seat.tenant, seat.device), {})
            before = slots.get(seat.slot, Connected((), 0, taken.since_ms))
            slots[seat.slot] = Connected(
                tuple(sorted({*before.kinds, seat.kind})),
                before.connections + taken.connections,
                min(before.since_ms, taken.since_ms),
            )
    unknown = sorted(worker for worker, told in workers.items() if not told.whole)
    return Census(seen, unnamed, tuple(unknown), bool(workers))


def take(census: Census, drain: Drain, table: RoutingTable) -> Roll:
    """The roll of those whom the drain means, and of the same tenants on the other slot."""
    there = meant(census, drain, table)
    elsewhere = {
        device
        for device in census.on(drain.slot.other) - there
        if drain.tenants is None or device.tenant in drain.tenants
    }
    return Roll(drain.slot, frozenset(there), frozenset(elsewhere))


def meant(census: Census, drain: Drain, table: RoutingTable) -> set[Device]:
    """The devices on the slot that the drain means."""
    devices = census.on(drain.slot)
    tenants = {device.tenant for device in devices}
    theirs = {each for each in tenants if is_meant(drain, table, drain.slot, each or None)}
    return {device for device in devices if device.tenant in theirs}


def compare(roll: Roll, census: Census, tenants: frozenset[str] | None) -> Comparison:
    """Where those of the roll are now, and who is new of these tenants (None: of all)."""
    still, other = census.on(roll.slot), census.on(roll.slot.other)
    standing = {device: _standing(device, still, other) for device in roll.there}
    new = other - roll.there - roll.elsewhere
    standing |= {
        device: Standing.NEW for device in new if tenants is None or device.tenant in tenants
    }
    return Comparison(standing, census.unknown)


def _standing(device: Device, still: set[Device], other: set[Device]) -> Standing:
    if device in still:
        return Standing.STILL
    return Standing.BACK if device in other else Standing.MISSING


def bounded(roll: Roll, most: int) -> tuple[Roll, int]:
    """The roll with so many devices at most, and how many it lacks. Those on the slot come first."""
    there, elsewhere = sorted(roll.there), sorted(roll.elsewhere)
    kept = Roll(
        roll.slot,
        frozenset(there[:most]),
        frozenset(elsewhere[: max(most - len(there), 0)]),
    )
    return kept, len(there) + len(elsewhere) - len(kept.there) - len(kept.elsewhere)


def ordered(devices: Iterable[Device]) -> list[Device]:
    """As lists show them: by tenant and name."""
    return sorted(devices)
