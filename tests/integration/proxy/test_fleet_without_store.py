"""While Redis is away, a worker without a table takes no request that another could serve."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from admin.embedded import EmbeddedRedis
from tests.support.clients import Load
from tests.support.endpoint import Endpoints
from tests.support.fleet import Fleet, routing_at, settings, slots, start_fleet
from tests.support.processes import Children

WORKERS = 2


@pytest.fixture
async def fleet(
    spawn: Children, tmp_path: Path, fresh_redis: EmbeddedRedis, endpoints: Endpoints
) -> Fleet:
    """A fleet with a table, whose Redis has gone."""
    # A worker that is not patient would be seen to answer 503 at once.
    own = settings(
        tmp_path, fresh_redis.url, workers=WORKERS, follow={"start_without_table_s": 0.1}
    )
    started = await start_fleet(spawn, own)
    async with routing_at(fresh_redis.url) as routing:
        await routing.acked(await routing.change(*slots(*endpoints)), WORKERS)
    await asyncio.to_thread(fresh_redis.stop)
    await started.until(lambda w: not any(x["store_reachable"] for x in w), "all notice it")
    return started


async def test_a_reload_without_redis_keeps_the_workers_that_have_a_table(fleet: Fleet) -> None:
    old = await fleet.serving()
    async with Load(fleet.port) as load:
        fleet.child.send(signal.SIGHUP)
        await fleet.child.line("the new workers did not come up", seconds=30)
        await load.everyone()
    assert not load.failures
    assert await fleet.serving() == old


async def test_a_worker_that_dies_without_redis_leaves_the_rest_to_the_others(
    fleet: Fleet, fresh_redis: EmbeddedRedis
) -> None:
    victim, other = sorted(await fleet.serving())
    os.kill(victim, signal.SIGKILL)
    await fleet.child.line("going on with version 0")
    async with Load(fleet.port) as load:
        await load.everyone()
        await fleet.until(
            lambda w: [x["pid"] for x in w if x["state"] == "serving"] == [other],
            "only the other serves",
        )
        fresh_redis.start()
        await fleet.until(
            lambda w: sum(x["state"] == "serving" for x in w) == WORKERS, "both serve again"
        )
        await load.everyone()
    assert not load.failures
