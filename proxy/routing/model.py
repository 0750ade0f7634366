"""The words of the contract as values: Slot, Endpoint, Canary, Drain, RoutingTable."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Self

BASIS_POINTS = 10_000
"""The whole, in basis points: 1 is 0.01 %."""

TENANT_PATTERN = "[a-z0-9-]{1,63}"
_TENANT = re.compile(TENANT_PATTERN)
DEFAULT_PER_SECOND = 100.0
NAME_PATTERN = "[a-z0-9-]{1,64}"
_NAME = re.compile(NAME_PATTERN)
_HOST_PATTERN = "[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?"
_HOST = re.compile(_HOST_PATTERN)
_PORT_PATTERN = (
    "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
)
_PART = "[0-9A-Fa-f]{1,4}"
_IPV6_PATTERN = "|".join(
    [
        f"({_PART}:){{7}}{_PART}",
        f"({_PART}:){{1,7}}:",
        *(f"({_PART}:){{1,{7 - count}}}(:{_PART}){{1,{count}}}" for count in range(1, 7)),
        f":((:{_PART}){{1,7}}|:)",
    ]
)
ENDPOINT_PATTERN = f"({_HOST_PATTERN}|\\[({_IPV6_PATTERN})\\]):{_PORT_PATTERN}"
"""What `Endpoint.parse` takes, as JSON Schema can say it: without IPv4 at the end of IPv6."""


class Slot(StrEnum):
    """A place to deploy, nothing more: blue and green only swap roles."""

    BLUE = "blue"
    GREEN = "green"

    @property
    def other(self) -> "Slot":
        """The slot that this one swaps roles with."""
        return Slot.GREEN if self is Slot.BLUE else Slot.BLUE


class Unit(StrEnum):
    """What the canary draws: whole tenants, affinity keys (user sessions), or single requests."""

    TENANT = "tenant"
    AFFINITY = "affinity"
    REQUEST = "request"


def is_tenant(text: str) -> bool:
    """Whether the text can be a tenant's id: 1 to 63 of `a-z 0-9 -`."""
    return _TENANT.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Whether the text can name a switch or a drain: 1 to 64 of `a-z 0-9 -`."""
    return _NAME.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, order=True)
class Endpoint:
    """One instance in a slot: where it listens."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """`host:port` or `[IPv6]:port`; ValueError says what is wrong."""
        host, colon, port = text.rpartition(":")
        if not colon or not port.isascii() or not port.isdigit() or len(port) > 5:
            raise ValueError("an endpoint is host:port")
        if not 0 < int(port) < 65536:
            raise ValueError("a port lies between 1 and 65535")
        if host.startswith("[") and host.endswith("]") and "%" not in host:
            try:
                return cls(str(ipaddress.IPv6Address(host[1:-1])), int(port))
            except ValueError:
                raise ValueError("the brackets hold no IPv6 address") from None
        if _HOST.fullmatch(host) is None:
            raise ValueError("the host is a name or an address; IPv6 goes in brackets")
        return cls(host.lower(), int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Canary:
    """The share of the unpinned that goes to standby.

    basis_points: 0 to 10 000. salt: changing it draws a new order of keys; within one salt,
    raising the weight only adds keys. allow: the tenants that may be drawn at all; empty: all
    may. deny: those that never are, even if they are allowed.
    """

    basis_points: int = 0
    unit: Unit = Unit.TENANT
    salt: str = "turnout"
    allow: frozenset[str] = frozenset()
    deny: frozenset[str] = frozenset()

    def may_draw(self, tenant: str) -> bool:
        """Whether the lists leave this tenant to the weight."""
        return tenant not in self.deny and (not self.allow or tenant in self.allow)


@dataclass(frozen=True, slots=True)
class Drain:
    """What lasts long on a slot is to end there, in good order, so that it begins anew elsewhere.

    tenants: whose; None: all whose route leads elsewhere by now. per_second: how many connections
    are closed in a second, by all workers together. hurry: the time is over, all that is left is
    closed at once. tenant_per_second: how many of these may be one tenant's; 0: all of them.
    """

    slot: Slot
    tenants: frozenset[str] | None = None
    per_second: float = DEFAULT_PER_SECOND
    hurry: bool = False
    tenant_per_second: float = 0.0


def _no_pins() -> Mapping[str, Slot]:
    return MappingProxyType({})


def _no_endpoints() -> Mapping[Slot, tuple[Endpoint, ...]]:
    return MappingProxyType({Slot.BLUE: (), Slot.GREEN: ()})


def _no_holds() -> Mapping[str, str]:
    return MappingProxyType({})


def _no_drains() -> Mapping[str, Drain]:
    return MappingProxyType({})


def _no_ends() -> Mapping[str, int]:
    return MappingProxyType({})


def _since_ever() -> Mapping[Slot, int]:
    return MappingProxyType({Slot.BLUE: 0, Slot.GREEN: 0})


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """Everything that routes, at one version. Never mutated: `change.apply` makes the next one.

    version: grows by one with each change, 0 before the first. active: the slot that the
    unpinned go to. fallback: where a rollback returns to (equal to active when there is no
    cutover to undo). pins: tenant → slot. tenants: those registered by name beside the pinned.
    endpoints: the instances of each slot; both slots are always present. holds: tenant → the
    switch that parks its requests. hold_all: the switch that parks everybody's, empty without
    one. drains: by name. affinities_since: of each slot, the version since which affinities to
    it count; those made before have ended. tenant_affinities_since: the same of single tenants,
    for both slots.
    """

    version: int = 0
    active: Slot = Slot.BLUE
    fallback: Slot = Slot.BLUE
    canary: Canary = field(default_factory=Canary)
    pins: Mapping[str, Slot] = field(default_factory=_no_pins)
    tenants: frozenset[str] = frozenset()
    endpoints: Mapping[Slot, tuple[Endpoint, ...]] = field(default_factory=_no_endpoints)
    holds: Mapping[str, str] = field(default_factory=_no_holds)
    hold_all: str = ""
    drains: Mapping[str, Drain] = field(default_factory=_no_drains)
    affinities_since: Mapping[Slot, int] = field(default_factory=_since_ever)
    tenant_affinities_since: Mapping[str, int] = field(default_factory=_no_ends)

    @property
    def standby(self) -> Slot:
        """The slot that is not active."""
        return self.active.other

    def held_by(self, tenant: str | None) -> str:
        """The switch that parks the requests of this tenant (None: of nobody); empty without."""
        if self.hold_all or tenant is None:
            return self.hold_all
        return self.holds.get(tenant, "")

    def affinity_counts_since(self, tenant: str) -> tuple[int, int]:
        """From which versions on this tenant's affinities to blue and to green count."""
        own = self.tenant_affinities_since.get(tenant, 0)
        since = self.affinities_since
        return max(own, since[Slot.BLUE]), max(own, since[Slot.GREEN])

    def knows(self, tenant: str) -> bool:
        """Whether somebody has named this tenant: registered or pinned."""
        return tenant in self.pins or tenant in self.tenants
