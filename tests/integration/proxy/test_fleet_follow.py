"""Workers follow the log in Redis: what is wrong there is refused, what is missing is made up for."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from redis.asyncio.client import PubSub

from admin.embedded import EmbeddedRedis
from admin.routing import publish
from proxy.routing.ack import WorkerStatus, decode_status
from proxy.routing.change import Change, Pin, Unpin
from proxy.routing.codec import encode_change, encode_table
from proxy.routing.model import Slot
from proxy.store import stored
from tests.support.clients import Load
from tests.support.endpoint import Endpoints
from tests.support.fleet import (
    Fleet,
    FleetOf,
    Routing,
    routing_at,
    settings,
    slots,
    start_fleet,
)
from tests.support.processes import SECONDS, Children

WORKERS = 2
BACK_AGAIN_S = 10.0
"""Bound of what is promised within 2 s, for a machine that tests share."""

BAD_ENTRIES = (
    (None, b"0" * 64, "wrong signature"),
    (None, b"", "wrong signature"),
    (b"not JSON", None, "is not JSON"),
    (b'{"schema":2,"version":VERSION,"operations":[]}', None, "is not of schema 1"),
    (b'{"schema":1,"version":VERSION,"operations":[{"op":"fly"}]}', None, "operations[0].op"),
    (b'{"schema":1,"version":7,"operations":[{"op":"rollback"}]}', None, "does not follow"),
)
"""Body (None: that of a good change), signature (None: the right one), what the nack says."""


async def test_bad_entries_are_refused_and_routing_stays(
    fleet_of: FleetOf, routing: Routing
) -> None:
    fleet = await fleet_of(workers=WORKERS)
    for count, (body, code, said) in enumerate(BAD_ENTRIES, 1):
        good, bad = routing.table.version, routing.table.version + 1
        await routing.append(bad, _body(body, bad), code)
        await _refused(routing, said)
        assert {w.status.version for w in await routing.fleet()} == {good}
        assert (await fleet.get(tenant="acme")).slot == "blue"
        metrics = await fleet.metrics()
        assert metrics.value("turnout_rejected_entries_total") == WORKERS * count
        assert metrics.value("turnout_table_version") == good * WORKERS
        # Published anew above the bad entry, the table is served and the nacks are taken back.
        await routing.acked(await routing.anew(bad + 1), WORKERS)
        assert {w.status.error for w in await routing.fleet()} == {""}
    await routing.acked(await routing.change(Pin("acme", Slot.GREEN)), WORKERS)
    assert (await fleet.get(tenant="acme")).slot == "green"


def _body(body: bytes | None, version: int) -> bytes:
    if body is None:
        return encode_change(Change(version, (Pin("acme", Slot.GREEN),)))
    return body.replace(b"VERSION", b"%d" % version)


async def _refused(routing: Routing, said: str) -> None:
    await routing.until(
        lambda workers: len(workers) == WORKERS and all(said in w.status.error for w in workers),
        f"every worker refuses it: {said}",
    )


async def test_a_bad_table_is_refused_and_routing_stays(
    fleet_of: FleetOf, routing: Routing
) -> None:
    fleet = await fleet_of(workers=WORKERS)
    good = routing.table
    body = encode_table(replace(good, version=good.version + 5, active=Slot.GREEN))
    forged = good.version + 5
    fields: list[str | bytes | int] = [
        *("version", forged, "at", forged),
        *("body", body, "mac", b"0" * 64),
    ]
    await routing.redis.hset(routing.keys.table, items=fields)
    await routing.append(good.version + 5, encode_change(Change(good.version + 5, ())))
    await _refused(routing, "the table at version 6 has a wrong signature")
    assert {w.status.version for w in await routing.fleet()} == {good.version}
    assert (await fleet.get(tenant="acme")).slot == "blue"
    await routing.acked(await routing.anew(good.version + 6), WORKERS)


async def test_who_loads_a_large_table_goes_on_by_the_log(
    fleet_of: FleetOf, routing: Routing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "SMALL_TABLE_BYTES", 1)
    for number in range(5):
        await routing.change(Pin(f"tenant-{number}", Slot.GREEN))
    found = await stored(routing.redis, routing.keys)
    assert found.at < found.version
    fleet = await fleet_of(workers=WORKERS)
    await routing.acked(routing.table.version, WORKERS)
    assert (await fleet.get(tenant="tenant-4")).slot == "green"
    await routing.acked(await routing.change(Unpin("tenant-4")), WORKERS)
    assert (await fleet.get(tenant="tenant-4")).slot == "blue"


async def test_who_finds_a_gap_after_the_snapshot_waits_for_the_next(
    fleet_of: FleetOf, routing: Routing, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = await fleet_of(workers=WORKERS)
    monkeypatch.setattr(publish, "SMALL_TABLE_BYTES", 1)
    lost = await routing.change(Pin("acme", Slot.GREEN))
    last = await routing.change(Pin("globex", Slot.GREEN))
    await routing.acked(last, WORKERS)
    await routing.redis.xdel(routing.keys.log, f"{lost}-0")
    os.kill((await routing.fleet())[0].status.pid, signal.SIGKILL)
    said = f"version {last}: version {last} does not follow"
    await routing.until(
        lambda workers: any(w.status.error.startswith(said) for w in workers),
        "the worker in its place looked for the table",
    )
    assert (await fleet.get(tenant="globex")).slot == "green"
    monkeypatch.undo()  # written whole
    await routing.acked(await routing.change(Pin("hooli", Slot.GREEN)), WORKERS)
    assert (await fleet.get(tenant="acme")).slot == "green"


async def test_a_bad_entry_that_stays_makes_no_worker_busy(
    fleet_of: FleetOf, routing: Routing
) -> None:
    fleet = await fleet_of(workers=WORKERS, follow={"renew_s": 0.1})
    await routing.append(routing.table.version + 1, b"not JSON")
    await _refused(routing, "is not JSON")
    began, before = time.monotonic(), await _commands(routing)
    await routing.renewed(WORKERS, times=8)
    seconds, after = time.monotonic() - began, await _commands(routing)
    reads = after["xread"] - before["xread"]
    # A worker that is busy with the entry would read it thousands of times.
    assert reads <= WORKERS * (2 + 10 * seconds), f"{reads} reads in {seconds:.1f} s"
    assert (await fleet.metrics()).value("turnout_rejected_entries_total") == WORKERS
    assert len(_lines(fleet, "is not applied")) == WORKERS, "the log says it once a worker"


async def _commands(routing: Routing) -> dict[str, int]:
    """Calls of each command since the server started."""
    found: Mapping[str, Mapping[str, int]] = await routing.redis.info("commandstats")
    return {name.removeprefix("cmdstat_"): stats["calls"] for name, stats in found.items()}


def _lines(fleet: Fleet, text: str) -> list[str]:
    return [line for line in fleet.child.output().splitlines() if text in line]


async def test_a_gap_in_the_log_loads_the_table(fleet_of: FleetOf, routing: Routing) -> None:
    fleet = await fleet_of(workers=WORKERS)
    before = await fleet.metrics()
    pids = await fleet.pids()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    for tenant in ("a", "b", "c"):
        version = await routing.change(Pin(tenant, Slot.GREEN))
    await routing.redis.xtrim(routing.keys.log, maxlen=1, approximate=False)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    await routing.acked(version, WORKERS)
    after = await fleet.metrics()
    loads = [each.value("turnout_table_loads_total") for each in (before, after)]
    assert loads[1] == loads[0] + WORKERS
    assert {(await fleet.get(tenant=tenant)).slot for tenant in "abc"} == {"green"}


async def test_a_flushed_server_loses_nothing(fleet_of: FleetOf, routing: Routing) -> None:
    fleet = await fleet_of(workers=WORKERS)
    await routing.acked(await routing.change(Pin("acme", Slot.GREEN)), WORKERS)
    version = routing.table.version
    async with Load(fleet.port) as load:
        await routing.redis.flushall()
        await load.everyone()
        await routing.until(lambda workers: len(workers) == WORKERS, "all registered again")
        await load.everyone()
        await routing.acked(await routing.anew(version + 5), WORKERS)
        await load.everyone()
    assert not load.failures
    assert {asked.answer.slot for asked in load.asked} == {"green"}


async def test_a_lower_version_is_never_taken(fleet_of: FleetOf, routing: Routing) -> None:
    fleet = await fleet_of(workers=WORKERS, follow={"renew_s": 0.1})
    old = routing.table
    for _ in range(3):
        version = await routing.change(Pin("acme", Slot.GREEN))
    await routing.acked(version, WORKERS)
    # As after a failover to a replica that lacks the last writes: an older table and its log.
    await routing.redis.flushall()
    routing.table = old
    lower = await routing.anew(version - 1)
    await routing.redis.client_kill_filter(_type="normal", skipme=True)
    await fleet.child.line(f"is at version {lower}, behind ours")
    await routing.renewed(WORKERS)
    assert {w.status.version for w in await routing.fleet()} == {version}
    assert (await fleet.get(tenant="acme")).slot == "green"
    await routing.acked(await routing.anew(version + 1), WORKERS)
    assert (await fleet.get(tenant="acme")).slot == "blue"


# ── Redis gone ────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def own_routing(fresh_redis: EmbeddedRedis) -> AsyncIterator[Routing]:
    """A publisher to a Redis that the test may stop."""
    async with routing_at(fresh_redis.url) as publisher:
        yield publisher


async def published(routing: Routing, endpoints: Endpoints, workers: int) -> None:
    version = await routing.change(*slots(*endpoints))
    await routing.acked(version, workers)


async def converged_again(routing: Routing, workers: int, what: str) -> None:
    """Publish a change now and wait for it; print and bound the time."""
    began = time.monotonic()
    await routing.acked(await routing.change(Pin("acme", Slot.GREEN)), workers)
    seconds = time.monotonic() - began
    print(f"converged {seconds:.3f} s after {what}")
    assert seconds < BACK_AGAIN_S


@pytest.mark.parametrize("graceful", [True, False], ids=["stopped", "killed"])
async def test_redis_stopped_and_started_again(
    spawn: Children,
    tmp_path: Path,
    fresh_redis: EmbeddedRedis,
    own_routing: Routing,
    endpoints: Endpoints,
    graceful: bool,
) -> None:
    fleet = await start_fleet(spawn, settings(tmp_path, fresh_redis.url))
    await published(own_routing, endpoints, WORKERS)
    async with Load(fleet.port) as load:
        await asyncio.to_thread(fresh_redis.stop if graceful else fresh_redis.kill)
        await fleet.until(lambda w: not any(x["store_reachable"] for x in w), "all notice it")
        await load.everyone()
        assert (await fleet.readiness()).status == 200, "ready without Redis: it has a table"
        fresh_redis.start()
        await converged_again(own_routing, WORKERS, "Redis' start")
        await load.everyone()
    assert not load.failures
    await fleet.until(lambda w: all(x["store_reachable"] for x in w), "all reach it")


async def test_redis_hangs_and_goes_on(
    spawn: Children,
    tmp_path: Path,
    fresh_redis: EmbeddedRedis,
    own_routing: Routing,
    endpoints: Endpoints,
) -> None:
    fleet = await start_fleet(spawn, settings(tmp_path, fresh_redis.url))
    await published(own_routing, endpoints, WORKERS)
    async with Load(fleet.port) as load:
        os.kill(fresh_redis.pid, signal.SIGSTOP)
        try:
            await fleet.until(lambda w: not any(x["store_reachable"] for x in w), "all notice it")
            await load.everyone()
        finally:
            os.kill(fresh_redis.pid, signal.SIGCONT)
        await converged_again(own_routing, WORKERS, "Redis' hang")
        await load.everyone()
    assert not load.failures


async def test_start_without_redis(
    spawn: Children,
    tmp_path: Path,
    fresh_redis: EmbeddedRedis,
    own_routing: Routing,
    endpoints: Endpoints,
) -> None:
    await asyncio.to_thread(fresh_redis.stop)
    follow = {"start_without_table_s": 0.2}
    fleet = await start_fleet(spawn, settings(tmp_path, fresh_redis.url, follow=follow))
    answer = await fleet.get(tenant="acme")
    assert answer.status == 503
    assert int(answer.fields["retry-after"]) >= 1
    assert answer.fields["content-type"] == "application/problem+json"
    assert answer.json["code"] == "no-routing-table"
    assert (await fleet.readiness()).status == 503
    fresh_redis.start()
    await published(own_routing, endpoints, WORKERS)
    assert (await fleet.get(tenant="acme")).slot == "blue"
    assert (await fleet.readiness()).status == 200


async def test_a_table_without_a_version_does_not_end_following(
    fleet_of: FleetOf, routing: Routing
) -> None:
    fleet = await fleet_of(workers=WORKERS)
    version = routing.table.version
    # More digits than int() takes. The entry makes each worker look at it.
    await routing.redis.hset(routing.keys.table, "version", "9" * 5000)
    await routing.append(version + 2, b"")
    await fleet.child.until(
        lambda: len(_lines(fleet, "the store is at version none")) >= WORKERS, "all looked at it"
    )
    await routing.redis.hset(routing.keys.table, "version", version)
    await routing.acked(await routing.anew(version + 3), WORKERS)
    assert (await fleet.get(tenant="acme")).slot == "blue"


# ── leases ────────────────────────────────────────────────────────────────────────────────────


async def test_nobody_waits_for_a_killed_worker(fleet_of: FleetOf, routing: Routing) -> None:
    fleet = await fleet_of(workers=WORKERS, follow={"lease_s": 600.0})
    victim = (await routing.fleet())[0].status
    async with routing.redis.pubsub() as news:
        await news.subscribe(routing.keys.news)
        os.kill(victim.pid, signal.SIGKILL)
        gone = await _goodbye(news)
    assert (gone.worker, gone.version) == (victim.worker, victim.version)
    await routing.acked(await routing.change(Pin("acme", Slot.GREEN)), WORKERS)
    assert victim.worker not in {lease.worker for lease in await routing.fleet()}
    assert {each.worker for each in await routing.departed()} == {victim.worker}
    await fleet.serving(unlike={victim.pid})


async def _goodbye(news: PubSub) -> WorkerStatus:
    """The first that is heard."""
    async with asyncio.timeout(SECONDS):
        while True:
            message = await news.get_message(timeout=SECONDS)
            if message is not None and message["type"] == "message":
                said = decode_status(message["data"])
                if said.state == "gone":
                    return said


async def test_who_dies_while_redis_is_away_gets_its_goodbye_later(
    spawn: Children,
    tmp_path: Path,
    fresh_redis: EmbeddedRedis,
    own_routing: Routing,
    endpoints: Endpoints,
) -> None:
    follow = {"lease_s": 600.0}
    fleet = await start_fleet(spawn, settings(tmp_path, fresh_redis.url, follow=follow))
    await published(own_routing, endpoints, WORKERS)
    victim = (await own_routing.fleet())[0].status
    await asyncio.to_thread(fresh_redis.stop)
    os.kill(victim.pid, signal.SIGKILL)
    await fleet.child.line(f"can't say goodbye for worker {victim.worker} yet")
    fresh_redis.start()
    await own_routing.until(
        lambda workers: victim.worker not in {w.worker for w in workers}, "its lease is taken away"
    )
    await own_routing.acked(await own_routing.change(Pin("acme", Slot.GREEN)), WORKERS)


async def test_workers_that_are_told_to_end_give_their_leases_back(
    fleet_of: FleetOf, routing: Routing
) -> None:
    fleet = await fleet_of(workers=WORKERS, follow={"lease_s": 600.0})
    assert await routing.redis.zcard(routing.keys.leases) == WORKERS
    fleet.child.send(signal.SIGTERM)
    assert await fleet.child.ended() == 0
    assert await routing.fleet() == []
    assert len(await routing.departed()) == WORKERS
