"""Where a request goes, and why.

Order: unidentified (refused, or the active slot) → unknown tenant (refused, if so configured)
→ pin → canary bucket below the weight → active slot. Every decision carries its reason, for
`explain`, logs and metrics.
"""

from dataclasses import dataclass
from enum import StrEnum

from proxy.routing.canary import bucket
from proxy.routing.model import RoutingTable, Slot, Unit


class Reason(StrEnum):
    """Why a request goes to its slot."""

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


UNIDENTIFIED = Refuse(401, "unidentified", "the request names no tenant")
UNKNOWN = Refuse(403, "unknown-tenant", "the tenant is not known here")


def decide(
    table: RoutingTable,
    policy: Policy,
    tenant: str | None,
    *,
    affinity_key: str = "",
    request_key: str = "",
) -> Forward | Refuse:
    """Decide one request. The keys are what the canary draws by, if its unit asks for them."""
    if tenant is None:
        if not policy.route_unidentified:
            return UNIDENTIFIED
        return Forward(table.active, Reason.UNIDENTIFIED)
    pinned = table.pins.get(tenant)
    if pinned is not None:
        return Forward(pinned, Reason.PIN)
    if not policy.route_unknown and tenant not in table.tenants:
        return UNKNOWN
    if in_canary(table, tenant, affinity_key=affinity_key, request_key=request_key):
        return Forward(table.standby, Reason.CANARY)
    return Forward(table.active, Reason.ACTIVE)


def in_canary(
    table: RoutingTable, tenant: str, *, affinity_key: str = "", request_key: str = ""
) -> bool:
    """Whether the canary, were it not pinned, would take this request to standby."""
    canary = table.canary
    if canary.basis_points == 0:
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
