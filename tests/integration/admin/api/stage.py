"""A whole admin to be called as its OpenAPI document says, with something of everything behind it.

Real Redis and PostgreSQL; a worker that serves, names devices, and leaves drains something to do;
tenants with schemas of their own, of which one migration can't be applied; figures of traffic; windows; people
who are logged in.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from time import time
from typing import Any, Final

import aiohttp
import asyncpg
from redis.asyncio import Redis

from admin.bootstrap import running
from admin.config import Settings
from admin.login import store as sessions
from admin.login.grants import Grant
from admin.migrations.worker import Worker
from admin.monitor.settings import Settings as MonitorSettings
from admin.monitor.settings import SignalSettings
from admin.releases.config import Settings as ReleaseSettings
from admin.releases.plan import PatchPlan
from admin.tokens import Role
from config import Shared
from proxy.routing.census import Seat
from proxy.routing.keys import Keys
from proxy.routing.model import Slot
from proxy.routing.traffic import OTHERS
from proxy.routing.windows import FIELD, Figures, Window, encode
from tests.integration.admin.conftest import SECRET, Client, published
from tests.integration.admin.follower import Follower
from tests.support.migrations import Ledger, ledger, of_tenant, settings

TENANTS: Final = tuple(map(of_tenant, ("acme", "bodoni", "caslon", "didot", "elzevir", "garamond")))
NAMES: Final = tuple(each.name for each in TENANTS)
SIGNAL: Final = "database-cpu"
STEP: Final = "nothing"
PEOPLE: Final = ("anna", "bela")
PLAN: Final = PatchPlan(checklist=(), gates=(), cutover_gates=(), drain_per_s=0)
"""What a drill begins with: it asks nothing."""
FILES: Final = {
    "V1.2.0__jobs.sql": "CREATE TABLE jobs (id bigint PRIMARY KEY, legacy text);\n",
    "V1.3.0__priority.sql": "ALTER TABLE jobs ADD COLUMN priority integer;\n",
    "V1.3.1__fill.sql": "-- turnout:phase backfill\nUPDATE nowhere SET legacy = '';\n",
}
"""The last one fails wherever it is tried."""


@dataclass(frozen=True, slots=True)
class Stage:
    """The admin and what is around it. sessions: the names of those that are logged in."""

    call: Client
    worker: Follower
    book: Ledger
    sessions: tuple[str, ...]

    @property
    def url(self) -> str:
        """Where the admin listens."""
        return f"http://{self.call.address}"


@asynccontextmanager
async def stage(shared: Shared, targets_url: str, folder: Path) -> AsyncIterator[Stage]:
    """All of it, for as long as the block runs. targets_url: a database for the tenants' schemas.

    The environment has to name it too, under `tests.support.migrations.REFERENCE`.
    """
    for name, text in FILES.items():
        (folder / name).write_text(text)
    migrating = settings(folder=str(folder), tries=1)
    async with AsyncExitStack() as stack:
        book = await stack.enter_async_context(ledger(shared.database_url, targets_url))
        await book.schemas(TENANTS)
        address = await stack.enter_async_context(
            running(shared, _settings(), migrating, _releasing(), _monitoring())
        )
        session = await stack.enter_async_context(aiohttp.ClientSession())
        call = Client(session, address)
        await published(call)
        worker = Follower(shared, "w1")
        worker.seats = [Seat(Slot.BLUE, "websocket", "acme", name) for name in "abc"]
        worker.draining = len(worker.seats)
        await stack.enter_async_context(worker)
        await _told(shared)
        await stack.enter_async_context(_working(book.worker(migrating)))
        yield Stage(call, worker, book, await _logged_in(book.connection))


@asynccontextmanager
async def _working(worker: Worker) -> AsyncIterator[None]:
    """A worker of migrations, for as long as the block runs."""
    task = asyncio.create_task(worker.run())
    yield
    worker.drain()
    await task


def _settings() -> Settings:
    """Little patience, and no limit on bad tokens: they are shown on purpose."""
    return Settings(
        listen="127.0.0.1:0",
        token_secret=SECRET,
        failed_tokens_per_minute=10_000_000,
        reconcile_interval_s=0.1,
        database_wait_s=5.0,
        shutdown_timeout_s=1.0,
        switch_timeout_ms=2000,
        census_look_s=0.05,
        events_heartbeat_s=0.1,
        steps={STEP: ("true",)},
    )


def _releasing() -> ReleaseSettings:
    return ReleaseSettings(patch=PLAN)


def _monitoring() -> MonitorSettings:
    signal = SignalSettings(name=SIGNAL, warning=70, critical=1e17, unit="%", worst="warning")
    return MonitorSettings(signals=(signal,))


async def _told(shared: Shared) -> None:
    """Figures of traffic, and windows, as nodes tell Redis."""
    served = Figures(100, (0, 97, 0, 1, 2), 3, 2, 1, 250_000, eligible=1, endpoints=2)
    async with Redis.from_url(shared.redis_url) as redis:
        keys, now = Keys(shared.redis_prefix), (await redis.time())[0]
        traffic: Mapping[Any, Any] = {"acme": 70, "bodoni": 20, OTHERS: 10}
        await redis.hset(keys.traffic(now // 60), mapping=traffic)
        groups = {(Slot.BLUE, "rest"): served, (Slot.GREEN, "pilot"): Figures(1, (0, 1, 0, 0, 0))}
        await redis.xadd(keys.windows, {FIELD: encode(Window(now - 2, "here", groups))})


async def _logged_in(connection: asyncpg.Connection) -> tuple[str, ...]:
    """A session of each of the people."""
    names = []
    for subject in PEOPLE:
        name = secrets.token_hex(8)
        digest = sha256(name.encode()).digest()
        grant = Grant(subject, Role.OPERATOR, frozenset({"acme"}))
        new = sessions.New(
            digest,
            name,
            grant,
            sessions.Method.TOKEN,
            "192.0.2.7",
            "a browser",
            time() + 3600,
            None,
        )
        await sessions.begin(connection, new, _settings().login, "r-1")
        names.append(name)
    return tuple(names)
