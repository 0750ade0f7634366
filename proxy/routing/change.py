"""How the table changes: typed operations, applied as one.

Rules: a change holds one or more operations and makes version n from version n - 1, whole or
not at all. What doesn't fit raises and changes nothing; the caller keeps its table.
"""

from dataclasses import dataclass, replace
from types import MappingProxyType

from proxy.routing.model import (
    DEFAULT_PER_SECOND,
    Canary,
    Drain,
    Endpoint,
    RoutingTable,
    Slot,
    Unit,
)


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
    """Weight, and if given unit, salt and lists, of the canary."""

    basis_points: int
    unit: Unit | None = None
    salt: str | None = None
    allow: frozenset[str] | None = None
    deny: frozenset[str] | None = None


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


@dataclass(frozen=True, slots=True)
class Hold:
    """Requests of these tenants (None: of all) are parked by this switch.

    Who is held by another switch can't be held.
    """

    switch: str
    tenants: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """What this switch has parked goes on. Releasing what isn't held changes nothing."""

    switch: str


@dataclass(frozen=True, slots=True)
class SetDrain:
    """A drain by this name begins, or goes on by other figures. See `model.Drain`."""

    drain: str
    slot: Slot
    per_second: float | None = None
    tenants: frozenset[str] | None = None
    hurry: bool | None = None
    tenant_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class EndDrain:
    """The drain is over. Ending what doesn't run changes nothing."""

    drain: str


@dataclass(frozen=True, slots=True)
class EndAffinities:
    """Affinities to this slot that were made before now hold no longer."""

    slot: Slot


@dataclass(frozen=True, slots=True)
class EndAffinitiesOf:
    """Affinities of these tenants (None: of all) that were made before now hold no longer."""

    tenants: frozenset[str] | None = None


Operation = (
    Pin
    | Unpin
    | SetCanary
    | Cutover
    | Rollback
    | SetEndpoints
    | Register
    | Forget
    | Hold
    | Release
    | SetDrain
    | EndDrain
    | EndAffinities
    | EndAffinitiesOf
)


@dataclass(frozen=True, slots=True)
class Change:
    """Operations that make this version from the one before it."""

    version: int
    operations: tuple[Operation, ...]


def apply(table: RoutingTable, change: Change) -> RoutingTable:
    """The table after the change. ContractError if the change does not follow this table."""
    if change.version != table.version + 1:
        raise ContractError(f"version {change.version} does not follow {table.version}")
    draft = _Draft(table, change.version)
    for operation in change.operations:
        draft.take(operation)
    return draft.table()


class _Draft:
    """One table's changes in progress; what is not touched is shared with the table before."""

    def __init__(self, table: RoutingTable, version: int) -> None:
        self._before = table
        self._version = version
        self._active, self._fallback = table.active, table.fallback
        self._canary = table.canary
        self._pins: dict[str, Slot] | None = None
        self._tenants: set[str] | None = None
        self._endpoints = dict(table.endpoints)
        self._holds: dict[str, str] | None = None
        self._hold_all = table.hold_all
        self._drains = table.drains
        self._affinities_since = table.affinities_since
        self._affinities_of: dict[str, int] | None = None

    def take(self, operation: Operation) -> None:
        match operation:
            case Pin(tenant, slot):
                self._own_pins()[tenant] = slot
            case Unpin(tenant):
                self._own_pins().pop(tenant, None)
            case SetEndpoints(slot, endpoints):
                self._endpoints[slot] = endpoints
            case Register(tenant):
                self._own_tenants().add(tenant)
            case Forget(tenant):
                self._own_tenants().discard(tenant)
            case SetCanary() | Cutover() | Rollback():
                self._move(operation)
            case _:
                self._switch(operation)

    def _move(self, operation: SetCanary | Cutover | Rollback) -> None:
        canary = self._canary
        match operation:
            case SetCanary(basis_points, unit, salt, allow, deny):
                self._canary = Canary(
                    basis_points,
                    canary.unit if unit is None else unit,
                    canary.salt if salt is None else salt,
                    canary.allow if allow is None else allow,
                    canary.deny if deny is None else deny,
                )
            case Cutover(to):
                if to is not self._active:
                    self._active, self._fallback = to, self._active
                self._canary = replace(canary, basis_points=0)
            case Rollback():
                self._active = self._fallback
                self._canary = replace(canary, basis_points=0)

    def _switch(
        self,
        operation: Hold | Release | SetDrain | EndDrain | EndAffinities | EndAffinitiesOf,
    ) -> None:
        match operation:
            case Hold(switch, tenants):
                self._hold(switch, tenants)
            case Release(switch):
                if self._hold_all == switch:
                    self._hold_all = ""
                held = self._before.holds if self._holds is None else self._holds
                self._holds = {tenant: by for tenant, by in held.items() if by != switch}
            case SetDrain(drain, slot, per_second, tenants, hurry, of_one):
                pace = DEFAULT_PER_SECOND if per_second is None else per_second
                drained = Drain(slot, tenants, pace, bool(hurry), of_one or 0.0)
                self._drains = {**self._drains, drain: drained}
            case EndDrain(drain):
                self._drains = {name: of for name, of in self._drains.items() if name != drain}
            case EndAffinities(slot):
                self._affinities_since = {**self._affinities_since, slot: self._version}
            case EndAffinitiesOf(None):
                self._affinities_since = dict.fromkeys(Slot, self._version)
                self._affinities_of = {}
            case EndAffinitiesOf(tenants):
                before = self._affinities_of
                ended = self._before.tenant_affinities_since if before is None else before
                self._affinities_of = {**ended, **dict.fromkeys(tenants or (), self._version)}

    def _hold(self, switch: str, tenants: frozenset[str] | None) -> None:
        holds = dict(self._before.holds) if self._holds is None else self._holds
        if tenants is None:
            holding = set(holds.values())
        else:
            holding = {holds.get(tenant, "") for tenant in tenants}
        others = (holding | {self._hold_all}) - {"", switch}
        if others:
            raise ContractError(f"switch {min(others)} holds already")
        if tenants is None:
            self._hold_all = switch
        else:
            self._holds = holds | dict.fromkeys(tenants, switch)

    def table(self) -> RoutingTable:
        before = self._before
        return RoutingTable(
            self._version,
            self._active,
            self._fallback,
            self._canary,
            before.pins if self._pins is None else MappingProxyType(self._pins),
            before.tenants if self._tenants is None else frozenset(self._tenants),
            MappingProxyType(self._endpoints),
            before.holds if self._holds is None else MappingProxyType(self._holds),
            self._hold_all,
            MappingProxyType(dict(self._drains)),
            MappingProxyType(dict(self._affinities_since)),
            before.tenant_affinities_since
            if self._affinities_of is None
            else MappingProxyType(self._affinities_of),
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
