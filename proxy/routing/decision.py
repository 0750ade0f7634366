"""Where a request goes, and why.

Order: unidentified (refused, or the active slot) → unknown tenant (refused, if so configured)
→ hold → affinity → pin → canary bucket below the weight → active slot. Every decision carries its reason, for
`explain`, logs and metrics.
"""

from dataclasses import dataclass
from enum import StrEnum

from proxy.routing.canary import bucket
from proxy.routing.model import RoutingTable, Slot, Unit


class Reason(StrEnum):
    """Why a request goes to its slot."""

    AFFINITY = "affinity"
    PIN = "pin"
    CANARY = "canary"
    ACTIVE = "active"
    UNIDENTIFIED = "unidentified"


@dataclass(frozen=True, slots=True)
class Policy:
    """What happens to requests that the table alone doesn't decide.

    route_unidentified: without a tenant, go to the active slot (else 401). route_unknown: a
    tenant that nobody has named follows canary and active (else 403).
    """

    route_unidentified: bool = True
    route_unknown: bool = True


@dataclass(frozen=True, slots=True)
class Forward:
    """Send it to the slot."""

    slot: Slot
    reason: Reason


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer it here. status: the HTTP status; code: a stable word for machines."""

    status: int
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Park:
    """Keep it until the switch is over. switch: its name."""

    switch: str


UNIDENTIFIED = Refuse(401, "unidentified", "the request names no tenant")
UNKNOWN = Refuse(403, "unknown-tenant", "the tenant is not known here")


def decide(
    table: RoutingTable,
    policy: Policy,
    tenant: str | None,
    *,
    affinity: Slot | None = None,
    affinity_key: str = "",
    request_key: str = "",
) -> Forward | Park | Refuse:
    """Decide one request.

    affinity: the slot that it is bound to, if it is. affinity_key, request_key: what the canary
    draws by, if its unit asks for them.
    """
    if tenant is None and not policy.route_unidentified:
        return UNIDENTIFIED
    if tenant is not None and not policy.route_unknown and not table.knows(tenant):
        return UNKNOWN
    switch = table.held_by(tenant)
    if switch:
        return Park(switch)
    if affinity is not None:
        return Forward(affinity, Reason.AFFINITY)
    return routed(table, tenant, affinity_key=affinity_key, request_key=request_key)


def routed(
    table: RoutingTable, tenant: str | None, *, affinity_key: str = "", request_key: str = ""
) -> Forward:
    """Where the table alone sends who may be sent: neither held nor bound by an affinity."""
    if tenant is None:
        return Forward(table.active, Reason.UNIDENTIFIED)
    pinned = table.pins.get(tenant)
    if pinned is not None:
        return Forward(pinned, Reason.PIN)
    if in_canary(table, tenant, affinity_key=affinity_key, request_key=request_key):
        return Forward(table.standby, Reason.CANARY)
    return Forward(table.active, Reason.ACTIVE)


def in_canary(
    table: RoutingTable, tenant: str, *, affinity_key: str = "", request_key: str = ""
) -> bool:
    """Whether the canary, were it not pinned, would take this request to standby."""
    canary = table.canary
    if canary.basis_points == 0 or not canary.may_draw(tenant):
        return False
    return bucket(canary.salt, _key(canary.unit, tenant, affinity_key, request_key)) < (
        canary.basis_points
    )


def _key(unit: Unit, tenant: str, affinity_key: str, request_key: str) -> str:
    """A request without a key of the asked unit is drawn by its tenant."""
    if unit is Unit.AFFINITY and affinity_key:
        return f"{tenant}/{affinity_key}"
    if unit is Unit.REQUEST and request_key:
        return request_key
    return tenant
