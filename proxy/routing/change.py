"""How the table changes: typed operations, applied as one.

Rules: a change holds one or more operations and makes version n from version n - 1, whole or
not at all. What doesn't fit raises and changes nothing; the caller keeps its table.
"""

from dataclasses import dataclass, replace
from types import MappingProxyType

from proxy.routing.model import Canary, Endpoint, RoutingTable, Slot, Unit


class ContractError(ValueError):
    """An entry, operation or table that can't be used; the message names the place and why."""


@dataclass(frozen=True, slots=True)
class Pin:
    """The tenant goes to this slot, whatever canary and active say."""

    tenant: str
    slot: Slot


@dataclass(frozen=True, slots=True)
class Unpin:
    """The tenant follows canary and active again. Unpinning the unpinned changes nothing."""

    tenant: str


@dataclass(frozen=True, slots=True)
class SetCanary:
    """Weight, and if given unit and salt, of the canary."""

    basis_points: int
    unit: Unit | None = None
    salt: str | None = None


@dataclass(frozen=True, slots=True)
class Cutover:
    """The active pointer moves to this slot; the canary ends; a rollback leads back."""

    to: Slot


@dataclass(frozen=True, slots=True)
class Rollback:
    """The active pointer returns to the fallback; the canary ends."""


@dataclass(frozen=True, slots=True)
class SetEndpoints:
    """The instances of a slot, all of them."""

    slot: Slot
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class Register:
    """The tenant is known by name (it matters where unknown tenants are refused)."""

    tenant: str


@dataclass(frozen=True, slots=True)
class Forget:
    """The tenant is no longer registered; a pin stays until it is taken off."""

    tenant: str


Operation = Pin | Unpin | SetCanary | Cutover | Rollback | SetEndpoints | Register | Forget


@dataclass(frozen=True, slots=True)
class Change:
    """Operations that make this version from the one before it."""

    version: int
    operations: tuple[Operation, ...]


def apply(table: RoutingTable, change: Change) -> RoutingTable:
    """The table after the change. ContractError if the change does not follow this table."""
    if change.version != table.version + 1:
        raise ContractError(f"version {change.version} does not follow {table.version}")
    draft = _Draft(table)
    for operation in change.operations:
        draft.take(operation)
    return draft.table(change.version)


class _Draft:
    """One table's changes in progress; what is not touched is shared with the table before."""

    def __init__(self, table: RoutingTable) -> None:
        self._before = table
        self._active, self._fallback = table.active, table.fallback
        self._canary = table.canary
        self._pins: dict[str, Slot] | None = None
        self._tenants: set[str] | None = None
        self._endpoints = dict(table.endpoints)

    def take(self, operation: Operation) -> None:
        match operation:
            case Pin(tenant, slot):
                self._own_pins()[tenant] = slot
            case Unpin(tenant):
                self._own_pins().pop(tenant, None)
            case SetCanary(basis_points, unit, salt):
                self._canary = Canary(
                    basis_points,
                    self._canary.unit if unit is None else unit,
                    self._canary.salt if salt is None else salt,
                )
            case Cutover(to):
                if to is not self._active:
                    self._active, self._fallback = to, self._active
                self._canary = replace(self._canary, basis_points=0)
            case Rollback():
                self._active = self._fallback
                self._canary = replace(self._canary, basis_points=0)
            case SetEndpoints(slot, endpoints):
                self._endpoints[slot] = endpoints
            case Register(tenant):
                self._own_tenants().add(tenant)
            case Forget(tenant):
                self._own_tenants().discard(tenant)

    def table(self, version: int) -> RoutingTable:
        return RoutingTable(
            version,
            self._active,
            self._fallback,
            self._canary,
            self._before.pins if self._pins is None else MappingProxyType(self._pins),
            self._before.tenants if self._tenants is None else frozenset(self._tenants),
            MappingProxyType(self._endpoints),
        )

    def _own_pins(self) -> dict[str, Slot]:
        if self._pins is None:
            pins = self._before.pins
            # A proxy copies its dict in one go; dict() asks it for each key.
            self._pins = pins.copy() if isinstance(pins, MappingProxyType) else dict(pins)
        return self._pins

    def _own_tenants(self) -> set[str]:
        if self._tenants is None:
            self._tenants = set(self._before.tenants)
        return self._tenants
