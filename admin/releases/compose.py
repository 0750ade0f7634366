"""Puts releases together with the parts that they need."""

from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime

from admin.census.watch import Rolls
from admin.config import Settings
from admin.drains.controller import Drains
from admin.gates import compose as gating
from admin.gates.model import About
from admin.migrations.config import Settings as Migrating
from admin.monitor.settings import Settings as Monitoring
from admin.monitor.signals import Prometheus, Signals
from admin.monitor.watch import Reader, Watch
from admin.notify import templates
from admin.notify.notifier import Notifier
from admin.releases import store
from admin.releases.config import Settings as Releasing
from admin.releases.controller import Releases
from admin.releases.effects import Effects, Limits
from admin.releases.ports import Ports
from admin.releases.wiring import WiredGates, WiredHooks, WiredMonitor
from admin.routing.control import Control
from admin.routing.events import Hub
from admin.routing.store import Check
from admin.switches.controller import Switches
from admin.tasks import Tasks


@dataclass(frozen=True, slots=True)
class Needs:
    """What they work with. check, refusal: as the switches have them. count: of notifications."""

    control: Control
    hub: Hub
    tasks: Tasks
    switches: Switches
    drains: Drains
    rolls: Rolls
    windows: Reader
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
    monitor = WiredMonitor(watch, needs.rolls.now)
    needs.tasks.start("monitor", watch.run)
    if monitoring.prometheus_url:
        needs.tasks.start("prometheus", Prometheus(monitoring, signals).run)
    notifier = Notifier(releasing.notify, templates.load(releasing.notify.templates), needs.count)
    stack.push_async_callback(notifier.close)
    ports = Ports(
        WiredGates(
            gating.gates(releasing.gates, _asked(migrating, needs)),
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
    return releases, monitor, signals


def _asked(migrating: Migrating, needs: Needs) -> gating.Parts:
    """What gates ask."""
    database = needs.control.store.database

    async def before(about: About) -> int | None:
        async with database.connection() as connection:
            return await store.devices(connection, about.release)

    async def last_drill() -> datetime | None:
        async with database.connection() as connection:
            return await store.last_drill(connection)

    return gating.Parts(
        needs.control.store.current,
        *(database, migrating, needs.control.fleet, needs.rolls.now, before, last_drill),
    )
