"""The composition root of one admin process: the only file that knows all parts."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
from aiohttp import web

from admin.api.app import create_app
from admin.api.auth import Authenticator
from admin.api.changing import check
from admin.api.metrics import Metrics
from admin.api.problems import Problem
from admin.api.route import Parts
from admin.canary.controller import Ramps
from admin.canary.traffic import LastHour
from admin.census.reading import Reader
from admin.census.watch import Rolls
from admin.config import Settings
from admin.drains.controller import Drains
from admin.gates.files import FileFault
from admin.login.door import Logins
from admin.migrations.config import Settings as MigrationSettings
from admin.migrations.guard import SchemaGuard
from admin.migrations.watch import watch
from admin.migrations.worker import advance
from admin.monitor.reading import Windows
from admin.monitor.settings import Settings as MonitorSettings
from admin.monitor.shared import SharedSignals
from admin.releases.compose import Needs, compose
from admin.releases.config import Settings as ReleaseSettings
from admin.routing.control import Control
from admin.routing.database import Database, DatabaseUnavailableError, Pool, open_pool
from admin.routing.events import Hub
from admin.routing.fleet import Fleet
from admin.routing.publish import Publisher, open_redis
from admin.routing.reconcile import Reconciler
from admin.routing.store import Store
from admin.schema import migrate, migrations
from admin.switches.controller import Switches
from admin.tasks import Tasks
from config import Shared, split_address
from proxy.routing.change import Change
from proxy.routing.keys import Keys
from proxy.routing.lasting import KINDS
from proxy.routing.model import RoutingTable, Slot
from redis_access import Access

log = structlog.get_logger(__name__)
RETRY_S = 0.25
MAX_FIELD_BYTES = 16_384
"""Above the limit of a token, so that one that is too long gets its problem document."""
LINGER_S = 2.0
"""How long the rest of a refused body is read, so that the client sees the refusal."""


class StartError(Exception):
    """The admin can't start; the message says what to do."""


@asynccontextmanager
async def running(
    shared: Shared,
    settings: Settings,
    migrating: MigrationSettings | None = None,
    releasing: ReleaseSettings | None = None,
    monitoring: MonitorSettings | None = None,
) -> AsyncIterator[str]:
    """The whole admin for as long as the block runs; yields the address that it listens on.

    StartError if the settings or PostgreSQL don't let it start, SchemaError if the schema is
    another program's. It starts without Redis.
    """
    if settings.secret_fault():
        raise StartError(
            f"{settings.secret_fault()}: set token_secret in [admin], or "
            "TURNOUT_ADMIN_TOKEN_SECRET; `openssl rand -hex 32` makes one"
        )
    async with AsyncExitStack() as stack:
        pool = await wait_for_database(shared.database_url, settings)
        database = Database(pool, settings.database_connect_timeout_s)
        stack.push_async_callback(database.close)
        async with pool.acquire() as connection:
            await migrate(connection, migrations(), settings.database_wait_s)
        try:
            parts, tasks = _compose(
                stack, shared, settings, database, migrating, releasing, monitoring
            )
        except FileFault as fault:
            raise StartError(str(fault)) from None
        stack.push_async_callback(tasks.close)
        runner = web.AppRunner(
            create_app(parts),
            access_log=None,
            shutdown_timeout=settings.shutdown_timeout_s,
            lingering_time=LINGER_S,
            max_field_size=MAX_FIELD_BYTES,
            logger=_quiet_logger(),
            auto_decompress=False,
        )
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        stack.callback(parts.hub.close)
        yield await _listen(runner, settings.listen)


class _ClassOnly(logging.Filter):
    """aiohttp logs what it can't parse, and that may be a token: the error's class is kept."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[0]:
            record.msg = f"{record.msg} ({record.exc_info[0].__name__})"
            record.exc_info = record.exc_text = None
        return True


def _quiet_logger() -> logging.Logger:
    logger = logging.getLogger("admin.http")
    if not logger.filters:
        logger.addFilter(_ClassOnly())
    return logger


def _compose(
    stack: AsyncExitStack,
    shared: Shared,
    settings: Settings,
    database: Database,
    migrating: MigrationSettings | None = None,
    releasing: ReleaseSettings | None = None,
    monitoring: MonitorSettings | None = None,
) -> tuple[Parts, Tasks]:
    keys = Keys(shared.redis_prefix)
    access = Access(shared, keys.table)
    redis = open_redis(access, settings.redis_timeout_s)
    stack.push_async_callback(redis.aclose)
    hub = Hub(listeners=settings.events_clients, queue=settings.events_queue)
    publisher = Publisher(
        redis,
        keys,
        shared.routing_key,
        log_entries=settings.log_entries,
        forget_s=settings.worker_forget_s,
    )
    store = Store(database)
    fleet = Fleet(redis, keys, publisher, hub, settings.redis_timeout_s)
    reconciler = Reconciler(store, publisher, fleet, hub, settings)
    metrics = Metrics()
    guard = SchemaGuard(database)
    control = Control(store, publisher, fleet, reconciler, metrics.ack_ms.observe, guard)
    metrics.watch(lambda: _gauges(control))
    tasks = Tasks()
    stack.push_async_callback(tasks.close)  # also if a file that is read below can't be used
    tasks.start("watch-redis", lambda: access.watch(settings.redis_timeout_s))
    tasks.start("fleet-news", fleet.follow)
    tasks.start("reconcile", reconciler.run)
    tasks.start("prune", reconciler.prune)

    def may_be_made(table: RoutingTable, made: Change) -> None:
        check(table, made, settings.endpoint_networks, force=False)

    switches = Switches(control, hub, tasks, settings, may_be_made, Problem)
    tasks.start("switches", switches.run)
    rolls = Rolls(store, Reader(redis, keys, fleet), hub, settings)
    drains = Drains(control, hub, tasks, settings, rolls)
    tasks.start("drains", drains.run)
    tasks.start("census", rolls.run)
    metrics.watch_slots(lambda: _by_slot(drains, rolls))
    last_hour = LastHour(redis, keys)
    ramps = Ramps(control, hub, tasks, last_hour, may_be_made, Problem)
    tasks.start("ramps", ramps.run)
    migrating = migrating or MigrationSettings()
    if migrating.servers:  # else there are no plans to look at, several times a second
        tasks.start("advance", lambda: advance(database, migrating.look_s))
        tasks.start("migrations", lambda: watch(database, hub))
    windows = Windows(redis, keys, skipped=metrics.windows_skipped.inc)
    releasing = releasing or ReleaseSettings()
    needs = Needs(
        *(control, hub, tasks, switches, drains, rolls, windows),
        *(may_be_made, Problem, metrics.count_notification),
    )
    monitoring = monitoring or MonitorSettings()
    releases, _, signals = compose(stack, settings, releasing, migrating, monitoring, needs)
    shared_signals = SharedSignals(redis, keys, signals)
    tasks.start("signals", shared_signals.run)
    parts = Parts(
        *(settings, control, hub, metrics, switches, drains, ramps, last_hour, rolls),
        guard=guard,
        migrations=migrating,
        releases=releases,
        releasing=releasing,
        windows=windows,
        signals=shared_signals,
        logins=Logins(settings, database, Authenticator(settings)),
        monitoring=monitoring,
    )
    return parts, tasks


def _gauges(control: Control) -> dict[str, float]:
    desired = control.reconciler.desired
    return {
        "workers_live": control.fleet.live_count,
        "published_version": control.fleet.published,
        "desired_version": -1 if desired is None else desired,
        "redis_reachable": bool(control.fleet.reachable),
        "postgresql_reachable": bool(control.reconciler.database_reachable),
    }


def _by_slot(drains: Drains, rolls: Rolls) -> Iterator[tuple[str, Slot, str, int]]:
    for slot, left in drains.counted.items():
        for kind in KINDS:
            yield "drain_left", slot, kind, left.kinds.get(kind, 0)
    for slot, counts in rolls.counted.items():
        for standing, count in counts.items():
            yield "census_devices", slot, standing, count


async def wait_for_database(url: str, settings: Settings) -> Pool:
    """Connect to PostgreSQL as soon as it lets us. StartError: not within `database_wait_s`."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + settings.database_wait_s
    told = False
    while True:
        try:
            return await open_pool(url, settings)
        except DatabaseUnavailableError as error:
            if loop.time() >= deadline:
                raise StartError(
                    f"PostgreSQL can't be reached ({error}): check database_url, that the server "
                    "runs, and that it lets this user in"
                ) from None
            if not told:
                log.warning("waiting for postgresql", fault=str(error))
                told = True
        except ValueError:
            raise StartError("database_url is not a PostgreSQL URL") from None
        await asyncio.sleep(RETRY_S)


async def _listen(runner: web.AppRunner, listen: str) -> str:
    host, port = split_address(listen)
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        raise StartError(f"can't listen on {listen}: {error.strerror}") from None
    bound = runner.addresses[0]
    shown = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
    return f"{shown}:{bound[1]}"
