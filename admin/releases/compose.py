"""Puts releases together with the parts that they need."""

from collections.abc import Callable, Collection
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from admin.census.watch import Rolls
from admin.config import Settings
from admin.drains.controller import Drains
from admin.gates import compose as gating
from admin.gates.checklist import Checklist, NoItemError
from admin.gates.files import FileFault
from admin.gates.model import About, Measured, Outcome
from admin.migrations.config import Settings as Migrating
from admin.monitor.model import ERROR_RATE, RESPONSE_TIME
from admin.monitor.reading import Windows
from admin.monitor.settings import Settings as Monitoring
from admin.monitor.signals import Prometheus, Signals
from admin.monitor.watch import Watch
from admin.notify import templates
from admin.notify.notifier import Notifier
from admin.releases import store
from admin.releases.config import Settings as Releasing
from admin.releases.controller import Releases
from admin.releases.drills import remind
from admin.releases.effects import Effects, Limits
from admin.releases.keep import Keep
from admin.releases.model import Release, State
from admin.releases.needs import needs_of
from admin.releases.plan import Kind
from admin.releases.ports import Ports
from admin.releases.wiring import WiredGates, WiredHooks, WiredMonitor
from admin.routing.control import Control
from admin.routing.events import Hub
from admin.routing.store import Check
from admin.switches.controller import Switches
from admin.tasks import Tasks
from config.words import like

HOUR_S: Final = 3600.0
"""For so long the document has a release watched at least ("Monitor for 1 hour minimum")."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What they work with. check, refusal: as the switches have them. count: of notifications."""

    control: Control
    hub: Hub
    tasks: Tasks
    switches: Switches
    drains: Drains
    rolls: Rolls
    windows: Windows
    check: Check
    refusal: type[Exception]
    count: Callable[[str, str], None]


def compose(
    stack: AsyncExitStack,
    settings: Settings,
    releasing: Releasing,
    migrating: Migrating,
    monitoring: Monitoring,
    needs: Needs,
) -> tuple[Releases, WiredMonitor, Signals]:
    """Releases, their monitor and its signals; their tasks are started. files.FileFault."""
    signals = Signals(monitoring)
    watch = Watch(needs.windows, monitoring, signals, lambda: monitor.equipment)
    keep = Keep(
        needs.control.store.database,
        needs.windows,
        signals.latest,
        (releasing.traffic_before_s, releasing.traffic_after_s),
        2 * monitoring.rebuild_s,
        releasing.traffic_kept_days,
    )
    needs.tasks.start("keep-traffic", keep.run)
    monitor = WiredMonitor(watch, needs.rolls.now, keep.baseline)
    needs.tasks.start("monitor", watch.run)
    if monitoring.prometheus_url:
        needs.tasks.start("prometheus", Prometheus(monitoring, signals).run)
    asked = _asked(migrating, needs, monitor)
    gates = gating.gates(releasing.gates, asked)
    checklist = gating.checklist(releasing.gates, gates)
    check_plans(releasing, checklist, gates)
    notifier = Notifier(releasing.notify, templates.load(releasing.notify.templates), needs.count)
    stack.push_async_callback(notifier.close)
    ports = Ports(
        WiredGates(
            gates,
            checklist,
            releasing.gates.at_once,
            needs.control.store.current,
        ),
        monitor,
        WiredHooks(releasing.hooks, settings.step_urls),
        notifier,
    )
    limits = Limits(needs.check, needs.refusal, releasing.switch_s, releasing.drain_s)
    effects = Effects(needs.control, needs.switches, needs.drains, ports.hooks, limits)
    releases = Releases(needs.control, needs.hub, needs.tasks, ports, effects, releasing)
    needs.tasks.start("releases", releases.run)
    if releasing.notify.targets:
        database, days = needs.control.store.database, releasing.gates.drill.days
        needs.tasks.start("drills", lambda: remind(database, notifier, days, releasing.environment))
    return releases, monitor, signals


def _asked(migrating: Migrating, needs: Needs, monitor: WiredMonitor) -> gating.Parts:
    """What gates ask."""
    database = needs.control.store.database

    async def before(about: About) -> int | None:
        async with database.connection() as connection:
            return await store.devices(connection, about.release)

    async def last_drill() -> datetime | None:
        async with database.connection() as connection:
            return await store.last_drill(connection)

    async def window(about: About) -> Measured | None:
        async with database.connection() as connection:
            record = await store.find(connection, about.release)
        return None if record is None else watched_for(record.release)

    return gating.Parts(
        needs.control.store.current,
        *(database, migrating, needs.control.fleet, needs.rolls.now, before, last_drill),
        watched={
            ERROR_RATE: partial(monitor.trigger, ERROR_RATE),
            RESPONSE_TIME: partial(monitor.trigger, RESPONSE_TIME),
            "window": window,
        },
    )


def watched_for(release: Release) -> Measured | None:
    """What the gate `window` says: whether everybody was watched for as long as the plan says."""
    if release.state is not State.STABILISING:
        return None
    over, wanted = release.dwelt_s, release.plan.window_s
    evidence = {"watched_s": round(over, 3), "window_s": wanted}
    told = f"watched for {over / 60:.0f} of {wanted / 60:.0f} minutes"
    if over < wanted:
        return Measured(Outcome.FAILED, told, evidence)
    if wanted < HOUR_S:
        return Measured(Outcome.WARNED, f"{told}; the document wants 60", evidence)
    return Measured(Outcome.PASSED, told, evidence)


def check_plans(releasing: Releasing, checklist: Checklist, gates: Collection[str]) -> None:
    """Every kind's plan names items and gates that there are. files.FileFault."""
    for kind in Kind:
        try:
            needs = needs_of(releasing.plan_of(kind), checklist)
        except NoItemError as error:
            close = like(error.name, [item.name for item in checklist.items])
            hint = f"; did you mean {close}?" if close else ""
            raise FileFault(f"releases.{kind}.checklist: {error}{hint}") from None
        unknown = next((each.gate for each in needs if each.gate and each.gate not in gates), "")
        if unknown:
            raise FileFault(f"releases.{kind}: no gate is called {unknown!r}")
