"""From the settings and the admin's parts to gates by name."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from admin.gates.asking import Table
from admin.gates.census import Before, CensusGate, Now
from admin.gates.checklist import Checklist
from admin.gates.checklist_file import load
from admin.gates.config import Gates
from admin.gates.drill import DrillGate, Last
from admin.gates.fleet import (
    EnvironmentsGate,
    Look,
    SwitchedGate,
    WatchGate,
    Workers,
    WorkersGate,
)
from admin.gates.health import HealthGate
from admin.gates.lag import LagGate
from admin.gates.model import Gate
from admin.gates.performance import PerformanceGate
from admin.gates.schema import SchemaGate
from admin.gates.smoke import ChecksGate, ReadyGate
from admin.gates.warmup import WarmUpGate
from admin.migrations.config import Settings as Migrating
from admin.routing.database import Database

WATCHED = ("error-rate", "response-time", "window")
"""Gates whose findings come from what watches the release: the monitor, and its timer."""
LIVE = frozenset({*WATCHED, "switched", "workers", "census"})
"""Gates that look at what is known anyway, and what they say is only of this moment."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What gates ask. table: the desired one (`Store.current`). census: `Rolls.now`. before: how many
    devices there were as the release began. last_drill: when the last one ended well. watched: gate →
    what it says now; those of `WATCHED` that are not here are unmeasured.
    """  # noqa: D205 - one sentence a field

    table: Table
    database: Database
    migrating: Migrating
    workers: Workers
    census: Now
    before: Before
    last_drill: Last
    watched: Mapping[str, Look] = field(default_factory=dict)


def gates(settings: Gates, parts: Parts) -> dict[str, Gate]:
    """All gates that these settings make, by name."""
    own, http, table = settings, settings.http, parts.table
    found: list[Gate] = [
        HealthGate(own.health, http, table),
        HealthGate(own.health, http, table, name="health-old", of_active=True),
        WarmUpGate(own.warm_up, http, table),
        ReadyGate(own.smoke),
        ChecksGate("smoke", own.smoke, http, table),
        ChecksGate("integration", own.integration, http, table),
        SchemaGate(own.schema, parts.database, parts.migrating),
        PerformanceGate(own.performance, http, table, own.warm_up.file),
        LagGate(own.replication),
        CensusGate(own.census, parts.census, parts.before),
        DrillGate(own.drill, parts.last_drill),
        WorkersGate(own.fleet, table, parts.workers),
        EnvironmentsGate(own.fleet, table),
        SwitchedGate(own.fleet, table, parts.workers),
    ]
    found += [
        WatchGate(name, own.fleet, parts.watched.get(name, _nothing))
        for name in dict.fromkeys((*WATCHED, *parts.watched))
    ]
    return {gate.name: gate for gate in found}


def checklist(settings: Gates, known: Mapping[str, Gate]) -> Checklist:
    """The checklist that these settings name, with these gates. files.FileFault."""
    return load(settings.checklist, known.keys())


async def _nothing(_: object) -> None:
    """Nobody watches."""
