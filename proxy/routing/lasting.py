"""What lasts long on a slot: its kinds, and whom a drain means.

Pure. Rule: a drain that names tenants means all that is theirs on the slot. One that names none
means whoever belongs elsewhere by now: the table leads there, or a switch holds the tenant.
"""

from typing import Final

from proxy.routing.decision import routed
from proxy.routing.model import BASIS_POINTS, Drain, RoutingTable, Slot, Unit

WEBSOCKET: Final = "websocket"
TUNNEL: Final = "tunnel"
TCP: Final = "tcp"
EVENTS: Final = "events"
REQUEST: Final = "request"
KINDS: Final = (WEBSOCKET, TUNNEL, TCP, EVENTS, REQUEST)
"""What a client's connection may have under way in a slot. A request ends by itself."""


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
