"""The pace of drains, as real Redis keeps it for many workers, and each for itself without it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from time import monotonic

import pytest
from redis.asyncio import Redis

from admin.embedded import EmbeddedRedis
from config import Shared
from proxy.config import Settings
from proxy.observability import telemetry
from proxy.observability.telemetry import Telemetry
from proxy.pace import BURST_S, Pace, Want
from proxy.routing.keys import Keys
from proxy.store import Store

Make = Callable[..., Pace]


@pytest.fixture
async def pace_of() -> AsyncIterator[Make]:
    """Makes a worker's pace; workers: of its node. lost: as if the follower can't reach Redis."""
    async with AsyncExitStack() as stack:

        def make(url: str, workers: int = 1, *, lost: bool = False) -> Pace:
            block = Telemetry(1).blocks[0]
            block.cells[telemetry.STORE_REACHABLE] = not lost
            pace = Pace(Store.of(Shared(redis_url=url)), Settings(workers=workers), block)
            stack.push_async_callback(pace.close)
            return pace

        yield make


async def taken(paces: list[Pace], per_second: float, seconds: float) -> tuple[int, float]:
    """What they were granted together, asking as fast as they can; and in which time."""
    began = monotonic()

    async def ask(pace: Pace) -> int:
        granted = 0
        while monotonic() - began < seconds:
            granted += (await pace.take([Want("d-1", per_second, 64)]))[0]
            await asyncio.sleep(0.002)
        return granted

    counts = await asyncio.gather(*(ask(pace) for pace in paces))
    return sum(counts), monotonic() - began


@pytest.mark.parametrize("per_second", [9.0, 200.0, 5_000.0])
async def test_many_workers_keep_to_one_pace(
    redis_url: str, pace_of: Make, per_second: float
) -> None:
    paces = [pace_of(redis_url) for _ in range(6)]
    granted, seconds = await taken(paces, per_second, 1.0)
    assert granted <= per_second * (seconds + BURST_S) + 1
    assert granted >= per_second * 1.0 * 0.9


async def test_a_bucket_is_forgotten_once_nothing_is_owed(redis_url: str, pace_of: Make) -> None:
    assert await pace_of(redis_url).take([Want("d-1", 2.0, 9)]) == [1]
    async with Redis.from_url(redis_url) as redis:
        assert 500 < await redis.pttl(Keys().pace("d-1")) <= 1_500


async def test_drains_have_a_pace_each_and_are_asked_for_at_once(
    redis_url: str, pace_of: Make
) -> None:
    pace = pace_of(redis_url)
    wants = [Want("d-1", 1.0, 9), Want("d-2", 50.0, 9), Want("d-3", 50.0, 2)]
    assert await pace.take(wants) == [1, 6, 2]
    assert (await pace.take(wants[:1])) == [0]


async def test_a_faster_pace_begins_at_once(redis_url: str, pace_of: Make) -> None:
    pace = pace_of(redis_url)
    assert await pace.take([Want("d-1", 0.001, 9)]) == [1]
    assert await pace.take([Want("d-1", 0.001, 9)]) == [0]
    assert await pace.take([Want("d-1", 100.0, 9)]) == [9]


@pytest.mark.parametrize("per_second", [5e-324, 1e-300, 100_000.0])
async def test_every_pace_that_can_be_said_is_kept(
    redis_url: str, pace_of: Make, per_second: float
) -> None:
    pace = pace_of(redis_url)
    first = (await pace.take([Want("d-1", per_second, 10**9)]))[0]
    assert 1 <= first <= per_second * BURST_S + 1
    async with Redis.from_url(redis_url) as redis:
        assert await redis.exists(Keys().pace("d-1")), "Redis itself has answered"


async def test_without_redis_each_keeps_to_its_share(
    fresh_redis: EmbeddedRedis, pace_of: Make
) -> None:
    async with Redis.from_url(fresh_redis.url) as redis:
        await redis.zadd(Keys().leases, dict.fromkeys(("w1", "w2", "w3", "w4"), 2**52))
        await redis.zadd(Keys().leases, {"dead": 1})
    pace = pace_of(fresh_redis.url, workers=1)
    await pace.take([Want("another", 1.0, 1)])
    fresh_redis.stop()
    granted, seconds = await taken([pace], 200.0, 1.0)
    assert granted <= 50.0 * (seconds + BURST_S) + 1
    assert granted >= 50.0 * 0.9


async def test_before_redis_was_ever_reached_its_node_is_the_fleet(pace_of: Make) -> None:
    pace = pace_of("redis://127.0.0.1:1", workers=5, lost=True)
    granted, seconds = await taken([pace], 500.0, 1.0)
    assert 90 <= granted <= 100.0 * (seconds + BURST_S) + 1


async def test_a_tenant_has_a_pace_of_its_own_within_the_drains(
    redis_url: str, pace_of: Make
) -> None:
    first, second = pace_of(redis_url), pace_of(redis_url)
    paces = {"acme": 20.0, "bravo": 20.0, "": 20.0, "dora": 1_000.0}
    wants = [Want("d-1", 100.0, 9, tenant, pace) for tenant, pace in paces.items()]
    assert await first.take(wants) == [3, 3, 3, 2], "all at one moment; the last has what is left"
    async with Redis.from_url(redis_url) as redis:
        assert 0 < await redis.pttl(Keys().pace("d-1:acme")) <= 2_000
    slow = [Want("d-2", 1_000.0, 9, "acme", 1e-3)]
    assert await first.take(slow) == [1]
    assert await second.take(slow) == [0], "what one worker took the other doesn't have"
    assert await second.take([slow[0]._replace(drain="d-3")]) == [1], "of each drain"


@pytest.mark.parametrize("lost", [False, True], ids=["by Redis", "alone"])
async def test_a_tenants_pace_is_kept_over_time(redis_url: str, pace_of: Make, lost: bool) -> None:
    pace, began, granted = pace_of(redis_url, lost=lost), monotonic(), [0, 0]
    wants = [Want("d-1", 400.0, 64, "acme", 50.0), Want("d-1", 400.0, 64, "bravo", 1_000.0)]
    while monotonic() - began < 1.0:
        granted = [a + b for a, b in zip(granted, await pace.take(wants), strict=True)]
        await asyncio.sleep(0.002)
    seconds = monotonic() - began
    assert 50.0 * 0.9 <= granted[0] <= 50.0 * (seconds + BURST_S) + 1
    assert 400.0 * 0.9 <= sum(granted) <= 400.0 * (seconds + BURST_S) + 1
