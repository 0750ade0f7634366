"""The words of the contract as values: Slot, Endpoint, Canary, RoutingTable."""

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
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")


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
    raising the weight only adds keys.
    """

    basis_points: int = 0
    unit: Unit = Unit.TENANT
    salt: str = "turnout"


def _no_pins() -> Mapping[str, Slot]:
    return MappingProxyType({})


def _no_endpoints() -> Mapping[Slot, tuple[Endpoint, ...]]:
    return MappingProxyType({Slot.BLUE: (), Slot.GREEN: ()})


@dataclass(frozen=True, slots=True)
class RoutingTable:
    """Everything that routes, at one version. Never mutated: `change.apply` makes the next one.

    version: grows by one with each change, 0 before the first. active: the slot that the
    unpinned go to. fallback: where a rollback returns to (equal to active when there is no
    cutover to undo). pins: tenant → slot. tenants: those registered by name beside the pinned.
    endpoints: the instances of each slot; both slots are always present.
    """

    version: int = 0
    active: Slot = Slot.BLUE
    fallback: Slot = Slot.BLUE
    canary: Canary = field(default_factory=Canary)
    pins: Mapping[str, Slot] = field(default_factory=_no_pins)
    tenants: frozenset[str] = frozenset()
    endpoints: Mapping[Slot, tuple[Endpoint, ...]] = field(default_factory=_no_endpoints)

    @property
    def standby(self) -> Slot:
        """The slot that is not active."""
        return self.active.other

    def knows(self, tenant: str) -> bool:
        """Whether somebody has named this tenant: registered or pinned."""
        return tenant in self.pins or tenant in self.tenants
