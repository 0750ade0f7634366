"""Who is connected for long, as a worker writes it down and as it is read.

Pure. A worker's census is one hash, which ends with the worker:

    whole                              1: all is told; 0: there is more to come
    <slot>|<kind>|<tenant>|<device>    <connections> <since>, ms since 1970 by Redis' clock

tenant: empty for nobody's. device: empty for all whose device nothing names; these are counted by
slot and kind, without their tenants. What can't be read is passed over: it may be of a newer worker.
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from proxy.routing.model import Slot, is_name, is_tenant

WHOLE: Final = "whole"
MAX_DEVICE: Final = 64
"""Characters of a device's name."""
MAX_WORKER_SEATS: Final = 100_000
"""Fields of one worker that are read."""
_DEVICE: Final = re.compile(r"[!-~]([ -~]{0,62}[!-~])?")
_VALUE: Final = re.compile(r"([0-9]{1,9}) ([0-9]{1,16})")


class Seat(NamedTuple):
    """What is connected: a device of a tenant, on a slot, by one kind of `lasting.KINDS`."""

    slot: Slot
    kind: str
    tenant: str
    device: str

    @property
    def field(self) -> str:
        """Its name in the hash."""
        return f"{self.slot}|{self.kind}|{self.tenant}|{self.device}"


class Taken(NamedTuple):
    """How a seat is taken. connections: how many. since_ms: the first of them, by Redis' clock."""

    connections: int
    since_ms: int


class Told(NamedTuple):
    """One worker's census. whole: all is told that it knows."""

    whole: bool
    seats: Mapping[Seat, Taken]


def is_device(text: str) -> bool:
    """Whether it can name a device: 1 to 64 printable ASCII characters, no blanks at its ends."""
    return _DEVICE.fullmatch(text) is not None


def read_census(fields: Mapping[bytes, bytes]) -> Told:
    """A worker's census from its hash."""
    seats: dict[Seat, Taken] = {}
    for name, value in fields.items():
        if len(seats) >= MAX_WORKER_SEATS:
            return Told(whole=False, seats=seats)
        seat, taken = _seat(name), _taken(value)
        if seat is not None and taken is not None:
            seats[seat] = taken
    return Told(fields.get(WHOLE.encode()) == b"1", seats)


def _seat(name: bytes) -> Seat | None:
    parts = name.decode("ascii", "replace").split("|", 3)
    if len(parts) != 4 or parts[0] not in tuple(Slot) or not is_name(parts[1]):
        return None
    slot, kind, tenant, device = parts
    if (tenant and not is_tenant(tenant)) or (device and not is_device(device)):
        return None
    return Seat(Slot(slot), kind, tenant, device)


def _taken(value: bytes) -> Taken | None:
    found = _VALUE.fullmatch(value.decode("ascii", "replace"))
    return None if found is None else Taken(int(found[1]), int(found[2]))
