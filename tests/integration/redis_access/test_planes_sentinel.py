"""Both planes through a failover by real sentinels: traffic goes on, no version goes down."""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from config import Shared
from tests.support.clients import Load
from tests.support.endpoint import Endpoints
from tests.support.fleet import KEY
from tests.support.planes import WORKERS, Planes, both_planes
from tests.support.processes import Children
from tests.support.redis_group import PASSWORD, SENTINEL_PASSWORD, Watched


@pytest.fixture
async def planes(
    spawn: Children, tmp_path: Path, watched: Watched, admin_database_url: str, endpoints: Endpoints
) -> AsyncIterator[Planes]:
    shared = Shared(
        watched.url,
        database_url=admin_database_url,
        routing_key=KEY,
        redis_sentinel_password=SENTINEL_PASSWORD,
    )
    async with both_planes(spawn, tmp_path, shared, endpoints) as started:
        yield started


async def versions(planes: Planes) -> list[int]:
    return [each["version"] for each in await planes.fleet.workers()]


async def test_a_killed_master_stops_no_traffic_and_changes_go_on(
    planes: Planes, watched: Watched
) -> None:
    before = (await planes.change("green"))["version"]
    async with Load(planes.fleet.port, tenant="other") as load:
        watched.first.kill()
        await watched.named(watched.second)
        back = time.monotonic()
        after = (await planes.changes("blue"))["version"]
        print(f"changes again {time.monotonic() - back:.2f} s after the sentinels named the other")
        await load.everyone()
    assert not load.failures
    assert after > before
    assert await versions(planes) == [after] * WORKERS


async def test_a_failover_that_loses_writes_takes_no_version_back(
    planes: Planes, watched: Watched
) -> None:
    """The replica has not got the last changes: they are published anew, with a higher version."""
    await planes.change("green")
    await watched.cut_replication()
    lost = [(await planes.change(slot))["version"] for slot in ("blue", "green", "blue")]
    watched.first.kill()
    await watched.named(watched.second)
    after = (await planes.changes("green"))["version"]
    assert after > lost[-1]
    assert await versions(planes) == [after] * WORKERS
    table = (await planes.call("GET", "/v1/routing"))[1]
    assert table["published_version"] == after
    assert (await planes.call("GET", "/v1/audit?action=republish"))[1]["items"]


async def test_a_deposed_master_gets_no_change_and_keeps_no_worker(
    planes: Planes, watched: Watched
) -> None:
    await planes.change("green")
    watched.first.pause()
    await watched.named(watched.second)
    watched.first.resume()  # it takes itself for the master, and answers
    after = (await planes.changes("blue"))["version"]
    async with watched.second.client() as second:
        assert int(await second.hget("{turnout}:table", "version")) == after
        assert await second.zcard("{turnout}:leases") == WORKERS


async def test_no_secret_is_in_the_log(planes: Planes, watched: Watched) -> None:
    for each in watched.sentinels:
        each.kill()
    watched.first.kill()
    await planes.fleet.child.line("nobody says where Redis is")
    log = planes.fleet.child.output()
    assert "the master is 127.0.0.1:" in log
    assert PASSWORD not in log
    assert SENTINEL_PASSWORD not in log
