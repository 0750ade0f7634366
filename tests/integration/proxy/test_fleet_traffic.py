"""The figures of traffic in Redis: by a reporter alone, and by real fleets."""

import os
import signal
from collections import Counter
from typing import Any

from redis.asyncio import Redis

from proxy.observability import telemetry
from proxy.routing.change import Cutover
from proxy.routing.keys import Keys
from proxy.routing.model import Slot
from proxy.routing.traffic import Traffic, add_up, decode
from tests.support.counting import Workers
from tests.support.fleet import Fleet, FleetOf, Routing

SOON = {"traffic_s": 0.1}


async def figures(redis: "Redis") -> Traffic:
    """All minutes that are there."""
    names = await redis.keys(Keys().traffic(0)[:-1] + "*")
    found: list[Any] = [await redis.hgetall(name) for name in names]
    return add_up(map(decode, found))


async def told(fleet: Fleet, redis: "Redis", exact: dict[str, int]) -> None:
    """Wait until just this is told."""

    async def equal() -> bool:
        return (await figures(redis)) == Traffic(exact, 0, (await figures(redis)).minutes)

    await fleet.child.until(equal, f"{exact} is told")


async def test_a_minute_names_no_more_tenants_than_it_may(redis_url: str) -> None:
    workers = Workers(2)
    reporter = workers.reporter(redis_url, traffic_tenants=2)
    async with Redis.from_url(redis_url) as redis:
        workers.answers(0, {"acme": 5, "bravo": 4, "caslon": 3})
        await reporter.tell()
        workers.answers(1, {"acme": 1, "didot": 2})
        await reporter.tell()
        found = await figures(redis)
        assert (len(found.requests), found.total) == (2, 15)
        for tenant, count in found.requests.items():
            assert count == {"acme": 6, "bravo": 4, "caslon": 3}[tenant]
        (name, *_) = await redis.keys("*")
        assert 3_600_000 < await redis.pttl(name) <= 7_200_000


async def test_what_could_not_be_told_is_lost_and_never_told_twice(redis_url: str) -> None:
    workers = Workers(1)
    lost = workers.reporter()
    workers.answers(0, {"acme": 5})
    await lost.tell()
    lost._store = workers.reporter(redis_url)._store
    workers.all.supervisor[telemetry.REPORTER] = os.getpid()
    workers.answers(0, {"acme": 1})
    await lost.tell()
    async with Redis.from_url(redis_url) as redis:
        assert (await figures(redis)).requests == {"acme": 1}


async def test_only_the_last_to_begin_tells(redis_url: str) -> None:
    workers = Workers(1)
    reporter = workers.reporter(redis_url)
    workers.all.supervisor[telemetry.REPORTER] = os.getpid() + 1
    workers.answers(0, {"acme": 1})
    await reporter.tell()
    async with Redis.from_url(redis_url) as redis:
        assert (await figures(redis)).total == 0


async def test_a_fleet_tells_who_asked_how_much(fleet_of: FleetOf, routing: Routing) -> None:
    """Through reloads, deaths of workers and of the one that tells, and a cutover."""
    fleet = await fleet_of(workers=2, metrics=SOON)
    exact: Counter[str] = Counter()

    async def ask(times: int, tenant: str) -> None:
        for _ in range(times):
            await fleet.get(tenant=tenant)
        exact[tenant] += times

    await ask(20, "acme")
    await ask(5, "bravo")
    assert (await fleet.get()).status == 200  # nobody's: not among the figures
    await told(fleet, routing.redis, exact)
    await routing.acked(await routing.change(Cutover(Slot.GREEN)), 2)
    pids = await fleet.serving()
    await ask(3, "acme")
    await told(fleet, routing.redis, exact)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    await fleet.serving(unlike=pids)
    await ask(4, "acme")
    await told(fleet, routing.redis, exact)
    (teller,) = fleet.processes() - await fleet.pids()
    os.kill(teller, signal.SIGKILL)
    await fleet.child.until(lambda: _other(fleet, teller), "another tells")
    await ask(2, "bravo")
    await told(fleet, routing.redis, exact)


async def _other(fleet: Fleet, than: int) -> bool:
    rest = fleet.processes() - await fleet.pids()
    return len(rest) == 1 and than not in rest


async def test_what_was_counted_last_is_told_at_the_end(
    fleet_of: FleetOf, routing: Routing
) -> None:
    fleet = await fleet_of(workers=2, metrics={"traffic_s": 60.0})
    for _ in range(10):
        await fleet.get(tenant="acme")
    os.kill(fleet.child.pid, signal.SIGTERM)
    await fleet.child.line(r"supervisor INFO ended$")
    assert (await figures(routing.redis)).requests == {"acme": 10}
