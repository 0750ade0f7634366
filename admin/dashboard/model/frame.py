"""What stands around every page: where one can go, and how routing stands."""

from collections.abc import Mapping
from dataclasses import dataclass

from admin.migrations.version import Version
from proxy.routing.model import RoutingTable, Slot
from proxy.routing.values import percent

PLACES = (
    ("board", "Board"),
    ("release", "Release"),
    ("tenants", "Tenants"),
    ("canary", "Canary"),
    ("switches", "Switches"),
    ("workers", "Workers"),
    ("drains", "Drains"),
    ("migrations", "Migrations"),
    ("audit", "Audit"),
)
"""The pages, in the order in which they are offered."""


@dataclass(frozen=True, slots=True)
class SlotStanding:
    """A slot now. version: what runs there, empty if nobody said."""

    slot: str
    role: str
    version: str
    endpoints: int


@dataclass(frozen=True, slots=True)
class Frame:
    """How routing stands. version: of the table. canary: percent of what goes to standby."""

    version: int
    active: SlotStanding
    standby: SlotStanding
    canary: float
    tenants: int
    held: bool


def frame(table: RoutingTable, versions: Mapping[Slot, Version]) -> Frame:
    """The frame of a table. versions: which application version a slot runs."""

    def standing(slot: Slot, role: str) -> SlotStanding:
        version = versions.get(slot)
        text = "" if version is None else str(version)
        return SlotStanding(str(slot), role, text, len(table.endpoints[slot]))

    return Frame(
        table.version,
        standing(table.active, "active"),
        standing(table.standby, "standby"),
        percent(table.canary.basis_points),
        len(table.pins.keys() | table.tenants),
        bool(table.holds or table.hold_all),
    )
