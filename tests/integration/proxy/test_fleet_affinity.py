"""What belongs together, through several workers: their races, their deaths, Redis away."""

import asyncio
import itertools
import os
import signal
from pathlib import Path

from admin.embedded import EmbeddedRedis
from proxy.routing.change import Cutover, EndAffinities
from proxy.routing.model import Slot
from tests.support.clients import fetch
from tests.support.endpoint import Endpoints
from tests.support.fleet import Fleet, FleetOf, Routing, routing_at, settings, slots, start_fleet
from tests.support.processes import Children

WORKERS = 3
RULES = [
    {"name": "payment", "header": "Idempotency-Key"},
    {"name": "session", "cookie": "sid"},
]


async def slots_of(fleet: Fleet, each: int = 1, **fields: str) -> set[str]:
    """The slots that such requests reach, through every worker."""
    connections = await fleet.connections(each)
    try:
        return {(await connection.get(**fields)).slot for connection in connections}
    finally:
        for connection in connections:
            await connection.close()


async def test_a_key_holds_through_every_worker(fleet_of: FleetOf, routing: Routing) -> None:
    fleet = await fleet_of(workers=WORKERS, affinity=RULES)
    assert (await fleet.get(cookie="sid=anna")).slot == "blue"
    await routing.acked(await routing.change(Cutover(Slot.GREEN)), WORKERS)
    assert await slots_of(fleet, cookie="sid=anna") == {"blue"}
    assert await slots_of(fleet, cookie="sid=bert") == {"green"}
    assert await slots_of(fleet) == {"green"}
    metrics = await fleet.metrics()
    assert metrics.value("turnout_affinity_misses_total") == 2
    assert metrics.value("turnout_affinity_hits_total") == 2 * WORKERS - 1


async def test_a_key_outlives_its_worker(fleet_of: FleetOf, routing: Routing) -> None:
    fleet = await fleet_of(workers=1, affinity=RULES)
    assert (await fleet.get(idempotency_key="pay-1")).slot == "blue"
    await routing.acked(await routing.change(Cutover(Slot.GREEN)), 1)
    (victim,) = await fleet.serving()
    os.kill(victim, signal.SIGKILL)
    await fleet.serving(unlike={victim})
    assert (await fleet.get(idempotency_key="pay-1")).slot == "blue"
    assert (await fleet.get(idempotency_key="pay-2")).slot == "green"


async def test_workers_that_race_for_a_key_agree(fleet_of: FleetOf, routing: Routing) -> None:
    """While the table changes, so that they would not by themselves."""
    fleet = await fleet_of(workers=WORKERS, affinity=RULES)
    connections = await fleet.connections(each=2)
    numbers = itertools.count()
    try:
        for turn in range(40):
            key = f"race-{next(numbers)}"
            to = Slot.GREEN if turn % 2 == 0 else Slot.BLUE
            answers, _ = await asyncio.gather(
                asyncio.gather(*(each.get(idempotency_key=key) for each in connections)),
                routing.change(Cutover(to)),
            )
            assert len({answer.slot for answer in answers}) == 1, (key, answers)
    finally:
        for connection in connections:
            await connection.close()


async def test_affinities_that_were_ended_hold_no_more(fleet_of: FleetOf, routing: Routing) -> None:
    fleet = await fleet_of(workers=WORKERS, affinity=RULES)
    assert await slots_of(fleet, cookie="sid=anna") == {"blue"}
    changed = await routing.change(Cutover(Slot.GREEN), EndAffinities(Slot.BLUE))
    await routing.acked(changed, WORKERS)
    assert await slots_of(fleet, cookie="sid=anna") == {"green"}


async def test_without_redis_a_worker_keeps_its_word_and_writes_it_later(
    spawn: Children, tmp_path: Path, fresh_redis: EmbeddedRedis, endpoints: Endpoints
) -> None:
    async with routing_at(fresh_redis.url) as routing:
        own = settings(tmp_path, fresh_redis.url, workers=1, affinity=RULES)
        fleet = await start_fleet(spawn, own)
        await routing.acked(await routing.change(*slots(*endpoints)), 1)
        await asyncio.to_thread(fresh_redis.stop)
        await fleet.until(lambda w: not any(x["store_reachable"] for x in w), "it is noticed")
        assert (await fleet.get(cookie="sid=anna")).slot == "blue"
        fresh_redis.start()
        await fleet.until(lambda w: all(x["store_reachable"] for x in w), "it is back")
        await routing.acked(await routing.change(Cutover(Slot.GREEN)), 1)
        assert (await fleet.get(cookie="sid=anna")).slot == "blue"
        name = routing.keys.affinity("*")

        async def written() -> bool:
            return len(await routing.redis.keys(name)) == 1

        await fleet.child.until(written, "what was bound meanwhile is in Redis")


async def test_no_value_lies_in_redis(fleet_of: FleetOf, routing: Routing) -> None:
    fleet = await fleet_of(workers=1, affinity=RULES)
    answer = await fetch(fleet.port, "/", cookie="sid=anna-s-secret", tenant="acme")
    assert answer.slot == "blue"
    names = await routing.redis.keys("*")
    assert any(b":affinity:" in name for name in names)
    assert not any(b"anna" in name for name in names)
    (own,) = [name for name in names if b":affinity:" in name]
    assert await routing.redis.get(own) == f"blue|{routing.table.version}".encode()
