"""A proxy that starts while Redis is away serves by the table that it kept on disk."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from admin.embedded import EmbeddedRedis
from proxy.last_good import LastGood, Sealed
from proxy.routing.change import Pin
from proxy.routing.codec import encode_table
from proxy.routing.envelope import seal
from proxy.routing.model import RoutingTable, Slot
from tests.support.clients import Load
from tests.support.endpoint import Endpoints
from tests.support.fleet import (
    KEY,
    Fleet,
    Routing,
    Settings,
    routing_at,
    settings,
    slots,
    start_fleet,
)
from tests.support.processes import Children

WORKERS = 2
FOLLOW = {"start_without_table_s": 2.0, "state_wait_s": 0.3, "state_write_s": 0.05}


@pytest.fixture
def file(tmp_path: Path) -> LastGood:
    return LastGood(tmp_path / "state", "turnout", KEY.encode())


@pytest.fixture
def own(tmp_path: Path, fresh_redis: EmbeddedRedis, file: LastGood) -> Settings:
    follow = {**FOLLOW, "state_dir": str(file.folder)}
    return settings(tmp_path, fresh_redis.url, workers=WORKERS, follow=follow)


async def kept(fleet: Fleet, file: LastGood, version: int) -> None:
    """Wait until this version is on disk."""

    def there() -> bool:
        found = file.read()
        return found is not None and found.version == version

    await fleet.child.until(there, f"keeps version {version}")


async def with_a_table(
    spawn: Children, own: Settings, routing: Routing, endpoints: Endpoints, file: LastGood
) -> Fleet:
    """A fleet that serves, acme by green, and has kept its table."""
    fleet = await start_fleet(spawn, own)
    await routing.change(*slots(*endpoints))
    version = await routing.change(Pin("acme", Slot.GREEN))
    await routing.acked(version, WORKERS)
    await kept(fleet, file, version)
    return fleet


async def all_gone(fleet: Fleet) -> None:
    fleet.child.send(signal.SIGTERM)
    assert await fleet.child.ended() == 0


def from_disk(workers: list[dict[str, object]]) -> bool:
    """Whether all serve, by the table on disk."""
    return sum(w["state"] == "serving" and bool(w["from_disk"]) for w in workers) == WORKERS


async def test_without_redis_it_starts_by_the_table_on_disk(
    spawn: Children, own: Settings, fresh_redis: EmbeddedRedis, endpoints: Endpoints, file: LastGood
) -> None:
    async with routing_at(fresh_redis.url) as routing:
        fleet = await with_a_table(spawn, own, routing, endpoints, file)
        version = routing.table.version
        await asyncio.to_thread(fresh_redis.stop)

        # A worker that is killed is replaced by one that serves.
        victim = min(await fleet.pids())
        async with Load(fleet.port) as load:
            os.kill(victim, signal.SIGKILL)
            await fleet.serving(unlike={victim})
            await load.everyone()
        assert (await fleet.get(tenant="acme")).slot == "green"
        await fleet.child.line(f"serving by the table on disk: version {version}")

        # And so is the whole proxy.
        await all_gone(fleet)
        fleet = await start_fleet(spawn, own)
        await fleet.until(from_disk, "all serve by the table on disk")
        assert (await fleet.get(tenant="acme")).slot == "green"
        assert (await fleet.get(tenant="other")).slot == "blue"
        assert (await fleet.readiness()).status == 200
        metrics = await fleet.metrics()
        assert metrics.value("turnout_table_from_disk") == WORKERS
        assert metrics.value("turnout_table_version") == WORKERS * version
        assert all(worker["table_age_s"] > 0 for worker in await fleet.workers())

        fresh_redis.start()
        await routing.acked(await routing.anew(version + 1), WORKERS)
        assert not any(worker["from_disk"] for worker in await fleet.workers())
        assert {w.status.from_disk for w in await routing.fleet()} == {False}
        await kept(fleet, file, version + 1)


async def test_redis_own_table_takes_its_place_also_at_the_same_version(
    spawn: Children, own: Settings, fresh_redis: EmbeddedRedis, endpoints: Endpoints, file: LastGood
) -> None:
    async with routing_at(fresh_redis.url) as routing:
        fleet = await with_a_table(spawn, own, routing, endpoints, file)
        await all_gone(fleet)
        await asyncio.to_thread(fresh_redis.kill)
        fleet = await start_fleet(spawn, own)
        await fleet.until(from_disk, "all serve by the table on disk")
        fresh_redis.start()
        if not await routing.redis.exists(routing.keys.table):
            await routing.anew(routing.table.version)
        await fleet.until(lambda w: not any(x["from_disk"] for x in w), "Redis' table is taken")
        assert {worker["version"] for worker in await fleet.workers()} == {routing.table.version}


async def test_an_older_one_is_not_taken_while_others_serve_a_newer(
    spawn: Children, own: Settings, fresh_redis: EmbeddedRedis, endpoints: Endpoints, file: LastGood
) -> None:
    async with routing_at(fresh_redis.url) as routing:
        fleet = await with_a_table(spawn, own, routing, endpoints, file)
        # As if the disk had not been written to since.
        file.path.unlink()
        file.write(_sealed(routing.table.version - 1))
        await asyncio.to_thread(fresh_redis.stop)
        victim, other = sorted(await fleet.pids())
        os.kill(victim, signal.SIGKILL)
        await fleet.child.line("no routing table|going on with version 0")
        await asyncio.sleep(3 * FOLLOW["state_wait_s"])  # that nothing happens has no event
        assert await fleet.pids() == {other}
        assert "table on disk" not in fleet.child.output()


@pytest.mark.parametrize("fault", ["torn", "forged"])
async def test_a_file_that_cannot_be_believed_is_refused(
    spawn: Children, own: Settings, fresh_redis: EmbeddedRedis, file: LastGood, fault: str
) -> None:
    said = {"torn": "it is torn", "forged": "has a wrong signature"}[fault]
    if fault == "torn":
        file.write(_sealed(5))
        file.path.write_bytes(file.path.read_bytes()[:-1])
    else:
        LastGood(file.folder, file.prefix, b"").write(_sealed(5, b"somebody else's key"))
    await asyncio.to_thread(fresh_redis.stop)
    fleet = await start_fleet(spawn, own)
    await fleet.child.line(f"the table on disk, .*, is not used: .*{said}")
    answer = await fleet.get(tenant="acme")
    assert (answer.status, answer.json["code"]) == (503, "no-routing-table")


def _sealed(version: int, key: bytes = KEY.encode()) -> Sealed:
    body = encode_table(RoutingTable(version))
    return Sealed(version, body, seal("table", version, body, key), 1_700_000_000)


async def test_a_folder_that_cannot_be_written_is_told_and_stops_nothing(
    spawn: Children, tmp_path: Path, fresh_redis: EmbeddedRedis, endpoints: Endpoints
) -> None:
    (tmp_path / "state").write_text("no folder")
    follow = {**FOLLOW, "state_dir": str(tmp_path / "state")}
    fleet = await start_fleet(spawn, settings(tmp_path, fresh_redis.url, follow=follow))
    async with routing_at(fresh_redis.url) as routing:
        await routing.acked(await routing.change(*slots(*endpoints)), WORKERS)
        await fleet.child.line("the table on disk, .*, can't be written: ")
        assert (await fleet.get(tenant="acme")).slot == "blue"


async def test_a_reload_can_begin_to_keep_it(
    spawn: Children,
    tmp_path: Path,
    fresh_redis: EmbeddedRedis,
    endpoints: Endpoints,
    file: LastGood,
) -> None:
    fleet = await start_fleet(spawn, settings(tmp_path, fresh_redis.url, follow=FOLLOW))
    async with routing_at(fresh_redis.url) as routing:
        version = await routing.change(*slots(*endpoints))
        await routing.acked(version, WORKERS)
        follow = {**FOLLOW, "state_dir": str(file.folder)}
        settings(tmp_path, fresh_redis.url, follow=follow).write()
        fleet.child.send(signal.SIGHUP)
        await kept(fleet, file, version)
        assert (await fleet.readiness()).status == 200
