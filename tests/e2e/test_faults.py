"""kill -9 of a worker, of the admin and of Redis, and emptying Redis, under load."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable

import pytest
from redis.asyncio import Redis

from tests.e2e.conftest import System
from tests.support.traffic import Traffic, misrouted

TENANTS = [f"tenant-{number:02}" for number in range(40)]
WORKERS = 4


async def under_load(
    system: System, fault: Callable[[], Awaitable[None]], *, above: int = -1, without: int = 0
) -> tuple[Traffic, float]:
    """Traffic before, during and after a fault; how long until the fleet has converged again."""
    async with Traffic(system.about["proxy"], TENANTS) as traffic:
        await system.change("PUT", "/v1/canary", {"percent": 50})
        await traffic.more(10)
        await fault()
        took = await system.converged(workers=WORKERS, above=above, without=without)
        await traffic.more(30)
        await system.change("PUT", f"/v1/tenants/{TENANTS[0]}/pin", {"slot": "green"})
        await traffic.more(20)
    assert misrouted(traffic.seen, system.changes) == []
    return traffic, took


@pytest.mark.timeout(240)
async def test_a_killed_worker_costs_its_own_requests_only(system: System):
    (victim, *_) = sorted(worker["pid"] for worker in (await system.get("/v1/workers"))["workers"])
    at = 0.0

    async def kill() -> None:
        nonlocal at
        at = asyncio.get_running_loop().time()
        os.kill(victim, signal.SIGKILL)

    traffic, took = await under_load(system, kill, without=victim)
    print(f"a killed worker: lease over and converged again after {took:.2f} s")
    lost = traffic.failures()
    # Each client has one connection: those of the killed worker lose one request at the most.
    assert all(seen.began <= at + 0.1 for seen in lost), lost
    assert len(lost) <= traffic.http_clients + traffic.socket_clients + traffic.stream_clients
    fleet = (await system.get("/v1/workers"))["workers"]
    assert victim not in [worker["pid"] for worker in fleet if worker["lease_ms"] > 0]


@pytest.mark.timeout(240)
async def test_a_killed_admin_costs_no_request(system: System):
    async def kill() -> None:
        os.kill(system.about["pids"]["admin"], signal.SIGKILL)

    traffic, took = await under_load(system, kill)
    print(f"a killed admin: converged again after {took:.2f} s")
    assert traffic.failures() == []


@pytest.mark.timeout(240)
async def test_a_killed_redis_costs_no_request(system: System):
    async def kill() -> None:
        os.kill(system.about["pids"]["redis"], signal.SIGKILL)

    traffic, took = await under_load(system, kill)
    print(f"a killed Redis: converged again after {took:.2f} s")
    assert traffic.failures() == []


@pytest.mark.timeout(240)
async def test_an_emptied_redis_costs_no_request_and_is_filled_with_a_higher_version(
    system: System,
):
    before = (await system.table()).version + 1  # under_load makes one change first

    async def empty() -> None:
        async with Redis.from_url(system.about["redis_url"]) as redis:
            await redis.flushall()

    traffic, took = await under_load(system, empty, above=before)
    print(f"an emptied Redis: converged again after {took:.2f} s")
    assert traffic.failures() == []
    assert (await system.table()).version > before
