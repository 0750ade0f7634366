"""A release's traffic is kept whoever dies, and an admin that takes over judges by what was before."""

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis

from admin.config import Settings
from admin.monitor.model import Reading, Verdict
from admin.monitor.reading import Windows
from admin.monitor.settings import Settings as Monitoring
from admin.monitor.watch import Watch
from admin.releases import keep as keeping
from admin.releases import kept_store
from admin.releases.keep import Keep
from admin.releases.kept import Interval
from admin.releases.store import Record, find
from admin.releases.wiring import WiredMonitor
from admin.routing.database import Database, open_pool
from config import Shared
from proxy.routing.keys import Keys
from proxy.routing.model import Slot
from proxy.routing.windows import FIELD, Figures, Window, encode
from tests.integration.admin.conftest import Client, published
from tests.support.monitor import figures, trigger
from tests.support.processes import Child, Children

RELEASES = "/v1/releases"
PLAN = {
    "steps": [5],
    "dwell_s": 3600,
    "checklist": [],
    "gates": [],
    "cutover_gates": [],
    "signers": [],
    "cutover_signers": [],
    "drain_per_s": 0,
    "unmeasured": "go",
}
BLUE, GREEN = (Slot.BLUE, "rest"), (Slot.GREEN, "rest")


class Stage:
    """The stores of one installation, and as many admins' parts as a test wants."""

    def __init__(self, shared: Shared, redis: Any, database: Database, now: int) -> None:
        self.redis, self.database, self.now = redis, database, now
        self.keys = Keys(shared.redis_prefix)
        self.readings: dict[str, Reading] = {}

    async def told(self, windows: Iterable[Window]) -> None:
        """As nodes have told them, each when its second was over."""
        pipeline = self.redis.pipeline(transaction=False)
        for each in windows:
            pipeline.xadd(self.keys.windows, {FIELD: encode(each)}, id=f"{each.second + 1}000-*")
        await pipeline.execute()

    async def lose(self, before: int) -> None:
        """Redis forgets windows, as it does with time."""
        await self.redis.xtrim(self.keys.windows, minid=f"{before}000", approximate=False)

    def windows(self) -> Windows:
        return Windows(self.redis, self.keys)

    def keep(self, days: int = 0) -> Keep:
        """Of an admin that has just started."""
        return Keep(
            self.database, self.windows(), lambda: self.readings, (300.0, 300.0), 1_200, days
        )

    async def intervals(self, name: str) -> list[Interval]:
        async with self.database.connection() as connection:
            return await kept_store.intervals(connection, name)

    async def record(self, name: str) -> Record:
        async with self.database.connection() as connection:
            found = await find(connection, name)
        assert found is not None
        return found

    async def sql(self, statement: str, *args: Any) -> None:
        async with self.database.connection() as connection:
            await connection.execute(statement, *args)


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The admin of this process keeps nothing by itself: tests set times back under it."""
    monkeypatch.setattr(keeping, "EVERY_S", 86_400.0)


@pytest.fixture
async def stage(shared: Shared, settings: Settings, call: Client) -> AsyncIterator[Stage]:
    """With one admin in this process."""
    async with staged(shared, settings) as stage:
        yield stage


@asynccontextmanager
async def staged(shared: Shared, settings: Settings) -> AsyncIterator[Stage]:
    async with AsyncExitStack() as stack:
        database = Database(await open_pool(shared.database_url, settings), 5.0)
        stack.push_async_callback(database.close)
        redis = await stack.enter_async_context(Redis.from_url(shared.redis_url))
        yield Stage(shared, redis, database, (await redis.time())[0])


@pytest.fixture
async def release(call: Client, follow: Callable[..., Any]) -> str:
    """The name of one that has moved its first share."""
    return await released(call, follow)


async def released(call: Client, follow: Callable[..., Any]) -> str:
    for slot in ("blue", "green"):
        await call("PUT", f"/v1/slots/{slot}/endpoints", {"endpoints": ["127.0.0.1:1"]})
    await call("PUT", "/v1/slots/blue/version", {"version": "1.2.0"})
    await follow()
    status, document, _ = await call("POST", RELEASES, {"version": "1.3.0", "plan": PLAN})
    assert status == 202, document
    name = str(document["name"])
    while True:
        switches = (await call("GET", f"{RELEASES}/{name}/report"))[1]["switches"]
        # Only once it has ended may a test set its time back.
        if switches and switches[0]["ack_ms"] is not None:
            return name
        await asyncio.sleep(0.05)


def served(seconds: Iterable[int], **more: Any) -> list[Window]:
    return [
        Window(each, node, {BLUE: figures(10, 1), GREEN: figures(5)}, **more)
        for each in seconds
        for node in ("a", "b")
    ]


def requests(intervals: Iterable[Interval]) -> int:
    return sum(figures.requests for each in intervals for figures in each.groups.values())


async def begun(stage: Stage, name: str, ago_s: int) -> None:
    await stage.sql(
        "UPDATE turnout.releases SET begun_at = now() - make_interval(secs => $2) WHERE name = $1",
        *(name, float(ago_s)),
    )


async def moved(stage: Stage, name: str, ago_s: int) -> None:
    await stage.sql(
        "UPDATE turnout.release_effects SET ended_at = now() - make_interval(secs => $2)"
        " WHERE release = $1 AND kind = 'weight'",
        *(name, float(ago_s)),
    )


async def test_who_goes_on_loses_nothing_and_counts_nothing_twice(stage: Stage, release: str):
    first = (stage.now - 900) // 10 * 10
    await begun(stage, release, 600)
    await stage.told(served(range(first, stage.now - 400)))
    await stage.keep().once()
    halfway = await stage.intervals(release)
    assert halfway[0].begins >= stage.now - 905
    assert {each.told_ms for each in halfway[:-1]} == {20_000}
    # The first admin is gone. The second comes minutes later, and again.
    await stage.told(served(range(stage.now - 400, stage.now)))
    stage.readings["database-cpu"] = Reading(42.0, float(stage.now))
    second = stage.keep()
    await second.once()
    await second.once()
    whole = await stage.intervals(release)
    assert [each.begins for each in whole] == list(
        range(halfway[0].begins, whole[-1].begins + 1, 10)
    )
    assert requests(whole) == 30 * (stage.now - halfway[0].begins)
    assert whole[0] == halfway[0]
    assert whole[-1].signals == {"database-cpu": 42.0}


async def test_what_redis_has_lost_is_still_there(stage: Stage, release: str, call: Client):
    await begun(stage, release, 600)
    await stage.told(served(range(stage.now - 900, stage.now)))
    await stage.keep().once()
    before = await stage.intervals(release)
    await stage.lose(stage.now - 63)
    await stage.keep().once()
    assert await stage.intervals(release) == before
    report = (await call("GET", f"{RELEASES}/{release}/report"))[1]
    assert len(report["traffic"]["blue"]) == len(before)


async def test_two_at_once_write_the_same(stage: Stage, release: str):
    await begun(stage, release, 600)
    await stage.told(served(range(stage.now - 900, stage.now)))
    await asyncio.gather(*(stage.keep().once() for _ in range(4)))
    found = await stage.intervals(release)
    assert requests(found) == 30 * (stage.now - found[0].begins)


async def test_it_ends_some_minutes_after_the_release(stage: Stage, release: str, call: Client):
    await begun(stage, release, 1_500)
    await call("POST", f"{RELEASES}/{release}/rollback", {"note": "enough"})
    while (await call("GET", f"{RELEASES}/{release}"))[1]["state"] != "rolled-back":
        await asyncio.sleep(0.05)
    await stage.sql(
        "UPDATE turnout.releases SET ended_at = now() - make_interval(secs => 800) WHERE name = $1",
        release,
    )
    await stage.told(served(range(stage.now - 2_000, stage.now)))
    await stage.keep().once()
    found = await stage.intervals(release)
    assert -1_800 <= found[0].begins - stage.now <= -1_780
    assert -520 <= found[-1].begins - stage.now <= -495
    async with stage.database.connection() as connection:
        await kept_store.prune(connection, 1, 600)
        assert await kept_store.intervals(connection, release) == found
        await stage.sql("UPDATE turnout.releases SET ended_at = now() - interval '30 hours'")
        await kept_store.prune(connection, 0, 600)
        assert await kept_store.intervals(connection, release) == found
        await kept_store.prune(connection, 1, 600)
        assert await kept_store.intervals(connection, release) == []


async def test_old_intervals_grow_coarser_and_keep_their_sums(stage: Stage, release: str):
    await begun(stage, release, 86_400)
    at = (stage.now - 20_000) // 600 * 600
    old = [
        Interval(begins, 10, 20_000, 2, {BLUE: figures(100, 3, endpoint_connections=begins % 97)})
        for begins in range(at, at + 120, 10)
    ]
    async with stage.database.connection() as connection, connection.transaction():
        await kept_store.keep(connection, release, old)
    await stage.told(served(range(stage.now - 60, stage.now)))
    await stage.keep().once()
    found = [each for each in await stage.intervals(release) if each.length_s > 10]
    assert [(each.begins, each.length_s, each.told_ms) for each in found] == [
        *((at, 60, 120_000), (at + 60, 60, 120_000)),
    ]
    assert requests(found) == 1_200
    assert found[0].groups[BLUE].endpoint_connections == (at + 50) % 97


async def judged(stage: Stage, name: str, keep: Keep | None, ago_s: int) -> Verdict:
    """What an admin says that has just started."""
    watch = Watch(stage.windows(), Monitoring())
    more = [] if keep is None else [keep.baseline]
    monitor = WiredMonitor(watch, lambda: asyncio.sleep(3600, None), *more)  # type: ignore[arg-type]
    await monitor.judge((await stage.record(name)).release, [float(ago_s)], None)
    return watch.verdict


async def test_who_takes_over_long_after_the_cutover_compares_with_what_was_before(
    stage: Stage, release: str
):
    """All are on green for 40 minutes, and wait twice as long: against itself that is normal."""
    at = stage.now - 2_400
    before: Figures = figures(50, 0, 40_000)
    after: Figures = figures(50, 0, 90_000)
    await begun(stage, release, 2_500)
    await moved(stage, release, 2_400)
    await stage.told(Window(each, "a", {BLUE: before}) for each in range(at - 1_190, at - 2))
    await stage.told(Window(each, "a", {GREEN: after}) for each in range(at + 2, stage.now))
    await stage.keep().once()
    # The admin dies, and Redis forgets what was before.
    await stage.lose(at + 60)
    blind = trigger(await judged(stage, release, None, 2_400), "response-time")
    seeing = trigger(await judged(stage, release, stage.keep(), 2_400), "response-time")
    assert blind.level != "critical", blind
    assert seeing.level == "critical", seeing
    assert seeing.active is not None
    assert 35 < seeing.active < 45, seeing


async def test_verdicts_are_remembered_when_they_change(stage: Stage, release: str):
    def verdict(level: str, *raised: str) -> dict[str, Any]:
        triggers = [{"name": each, "level": level, "detail": f"{each} is bad"} for each in raised]
        return {"level": level, "second": stage.now, "triggers": triggers}

    async with stage.database.connection() as connection:
        await connection.execute("DELETE FROM turnout.release_verdicts")
        for each in (
            *(verdict("normal"), verdict("normal"), verdict("warning", "error-rate")),
            *(verdict("warning", "error-rate"), verdict("critical", "error-rate")),
        ):
            await kept_store.note_verdict(connection, release, each)
        found = await kept_store.verdicts(connection, release)
    told = [each["level"] for each in found if each["second"] == stage.now]
    assert told == ["normal", "warning", "critical"]


async def test_the_trail_outlives_its_traffic(stage: Stage, release: str):
    count = "SELECT count(*) FROM turnout.release_events"
    await stage.sql("UPDATE turnout.releases SET ended_at = now() - interval '9 years'")
    async with stage.database.connection() as connection:
        before = await connection.fetchval(count)
        await kept_store.prune(connection, 1, 0)
        assert await connection.fetchval(count) >= before > 0


async def test_an_admin_killed_by_9_loses_nothing_that_another_would_not_count(
    spawn: Children,
    config_file: Path,
    shared: Shared,
    settings: Settings,
    follow: Callable[..., Any],
):
    """Two processes, one after the other; the first dies between two of its rounds, or in one."""

    def start() -> Child:
        return spawn(sys.executable, "-m", "admin", "--config", str(config_file), name="admin")

    first = start()
    address = (await first.line(r'\{.*"address": ?"([^"]+)".*\}', 60))[1]
    async with aiohttp.ClientSession() as session:
        call = Client(session, address)
        await published(call)
        async with staged(shared, settings) as stage:
            begin = (stage.now - 880) // 10 * 10
            # Before anybody reads: what is older than what was read is not looked for.
            await stage.told(served(range(begin, stage.now - 300)))
            name = await released(call, follow)
            await begun(stage, name, 600)
            while not await stage.intervals(name):
                await asyncio.sleep(0.01)
            first.kill()
            halfway = await stage.intervals(name)
            await stage.told(served(range(stage.now - 300, stage.now)))
            start()
            while (found := await stage.intervals(name))[-1].begins <= stage.now - 20:
                await asyncio.sleep(0.05)
    assert halfway[-1].begins < stage.now - 290
    assert requests(found) == 30 * (stage.now - found[0].begins)
    assert found[: len(halfway) - 1] == halfway[:-1]
