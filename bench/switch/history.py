"""What happened in one turn: requests, switches, WebSockets. Pure.

All times are monotonic seconds of the machine, the same in each of its processes.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from proxy.routing.model import Slot


@dataclass(frozen=True, slots=True)
class Request:
    """One request of one client. slot: the endpoint's own word; None if none answered.

    fault: why it was not answered whole by an endpoint; empty if it was.
    """

    begun: float
    ended: float
    tenant: str
    slot: Slot | None
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Switch:
    """One change. tenant: whom it moves, None for all. acked: infinite if it never was.

    ack_ms: what the contender itself says the change took, if it says so. fault: why there was
    no ack; empty if there was.
    """

    asked: float
    acked: float
    to: Slot
    tenant: str | None = None
    ack_ms: float | None = None
    fault: str = ""

    @property
    def client_ms(self) -> float:
        """From asking to the ack, by the clock of who asked."""
        return (self.acked - self.asked) * 1000

    @property
    def is_acked(self) -> bool:
        """Whether the contender said that it is done."""
        return math.isfinite(self.acked)


class What(StrEnum):
    """What may happen to a WebSocket."""

    OPENED = "opened"
    CLOSED = "closed"
    LOST = "lost"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class SocketEvent:
    """Something that happened to a WebSocket. number: which. slot: where it was open.

    code: of the close frame, 0 without one. CLOSED came with a close frame, LOST without,
    REFUSED is an attempt to open it that failed.
    """

    what: What
    at: float
    number: int
    tenant: str
    slot: Slot | None
    code: int = 0


@dataclass(frozen=True, slots=True)
class Drain:
    """The slot that was left was drained after the last switch. left: what was left at the end."""

    slot: Slot
    begun: float
    ended: float
    left: int


@dataclass(frozen=True, slots=True)
class History:
    """One turn. standing: tenant → slot before the first switch, acknowledged before any request.

    loaded_s: how long the load lasted.
    """

    standing: Mapping[str, Slot]
    switches: Sequence[Switch]
    requests: Sequence[Request]
    events: Sequence[SocketEvent] = ()
    drain: Drain | None = None
    loaded_s: float = 0.0


SLOTS: Mapping[str, Slot] = {str(slot): slot for slot in Slot}


def requests_of(rows: Iterable[Sequence[Any]], tenants: Sequence[str]) -> list[Request]:
    """What the load wrote: [begun, ended, index of the tenant, slot or "", fault]."""
    return [
        Request(begun, ended, tenants[index], SLOTS.get(slot), fault)
        for begun, ended, index, slot, fault in rows
    ]


def events_of(rows: Iterable[Sequence[Any]], tenants: Sequence[str]) -> list[SocketEvent]:
    """What the load wrote: [what, at, number, index of the tenant, slot or "", code]."""
    return [
        SocketEvent(What(what), at, number, tenants[index], SLOTS.get(slot), code)
        for what, at, number, index, slot, code in rows
    ]
