"""Whom a drain means, and what lasts on a client's connection.

Pure. Rules:
1. A drain that names tenants means all that is theirs on the slot. One that names none means
   whoever belongs elsewhere by now: the table leads there, or a switch holds the tenant.
2. Only what may be ended in good order is ended at the drain's pace, who has been silent longest
   first. A request ends by itself: it counts as left until then, and only a drain in a hurry
   cuts it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeVar

from proxy.routing.decision import routed
from proxy.routing.model import BASIS_POINTS, Drain, RoutingTable, Slot, Unit

WEBSOCKET: Final = "websocket"
TUNNEL: Final = "tunnel"
TCP: Final = "tcp"
EVENTS: Final = "events"
REQUEST: Final = "request"

Held = TypeVar("Held")


@dataclass(frozen=True, slots=True)
class Lasting:
    """What is under way in a slot on one client's connection.

    tenant: whose; None: nobody's. idle_since: when the last byte went by, monotonic seconds.
    may_end: it can be ended in good order now; not so a request, nor what is ending already.
    """

    kind: str
    slot: Slot
    tenant: str | None
    idle_since: float
    may_end: bool


class Meaning:
    """Which drains of a table mean a tenant on a slot. Asked for each connection: it remembers."""

    def __init__(self, table: RoutingTable) -> None:
        self._table = table
        self._known: dict[tuple[Slot, str | None], tuple[str, ...]] = {}

    def of(self, lasting: Lasting) -> tuple[str, ...]:
        """The names of the drains that mean it."""
        place = (lasting.slot, lasting.tenant)
        known = self._known.get(place)
        if known is None:
            known = self._known[place] = tuple(
                name
                for name, drain in self._table.drains.items()
                if is_meant(drain, self._table, lasting.slot, lasting.tenant)
            )
        return known


def is_meant(drain: Drain, table: RoutingTable, slot: Slot, tenant: str | None) -> bool:
    """Whether the drain means what this tenant (None: nobody) has on the slot."""
    if drain.slot is not slot:
        return False
    if drain.tenants is not None:
        return tenant in drain.tenants
    return bool(table.held_by(tenant)) or not may_lead_to(slot, table, tenant)


def may_lead_to(slot: Slot, table: RoutingTable, tenant: str | None) -> bool:
    """Whether the table leads the tenant's new requests to the slot, or some of them."""
    canary = table.canary
    is_drawn = tenant is not None and tenant not in table.pins and canary.may_draw(tenant)
    if is_drawn and canary.unit is not Unit.TENANT and 0 < canary.basis_points < BASIS_POINTS:
        return True
    return routed(table, tenant).slot is slot


def longest_idle_first(found: Iterable[tuple[Lasting, Held]]) -> list[tuple[Lasting, Held]]:
    """Those that may be ended, in the order in which they are."""
    return sorted(
        [(lasting, held) for lasting, held in found if lasting.may_end],
        key=lambda each: each[0].idle_since,
    )
