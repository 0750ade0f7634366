"""The node of a real cluster that has our keys: found, followed when they move, and when it fails."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from admin.embedded.ports import LOOPBACK
from config import Shared
from proxy.routing.keys import Keys
from redis_access import Access, ElsewhereError
from tests.support.clients import Load
from tests.support.endpoint import Endpoints
from tests.support.fleet import KEY
from tests.support.planes import WORKERS, Planes, both_planes
from tests.support.processes import Children
from tests.support.redis_group import PASSWORD, Sharded

LIMIT_S = 2.0
LOG = Keys().log


@pytest.fixture
def access(sharded: Sharded) -> Access:
    return Access(Shared(redis_url=sharded.url), Keys().table)


@pytest.fixture
async def client(access: Access) -> AsyncIterator["Redis"]:
    async with access.client(LIMIT_S, LIMIT_S) as made:
        yield made


@pytest.fixture
async def planes(
    spawn: Children, tmp_path: Path, sharded: Sharded, admin_database_url: str, endpoints: Endpoints
) -> AsyncIterator[Planes]:
    shared = Shared(sharded.url, database_url=admin_database_url, routing_key=KEY)
    async with both_planes(spawn, tmp_path, shared, endpoints) as started:
        yield started


async def versions(planes: Planes) -> list[int]:
    return [each["version"] for each in await planes.fleet.workers()]


async def test_all_that_planes_do_goes_to_who_has_the_keys(
    sharded: Sharded, access: Access, client: "Redis"
) -> None:
    owner = await sharded.owner()
    await client.eval("return redis.call('SET', KEYS[1], ARGV[1])", 1, LOG, "1")
    assert access.place == (LOOPBACK, owner.port)
    async with client.pubsub() as news:
        await news.subscribe(Keys().news)
        async with client.pipeline(transaction=False) as pipeline:
            pipeline.publish(Keys().news, "hello")
            await pipeline.execute()
        async with asyncio.timeout(LIMIT_S):
            while True:
                message = await news.get_message(timeout=LIMIT_S)
                if message is not None and message["type"] == "message":
                    break
    assert message["data"] == b"hello"


async def test_where_the_keys_move_the_client_follows(sharded: Sharded, client: "Redis") -> None:
    await client.set(LOG, "1")
    source = await sharded.owner()
    target = next(each for each in sharded.masters if each is not source)
    await sharded.migrate(source, target)
    with pytest.raises(ElsewhereError):
        await client.get(LOG)  # MOVED: what is asked once more finds it
    assert await client.get(LOG) == b"1"


async def test_while_keys_move_nothing_is_half_done(sharded: Sharded, client: "Redis") -> None:
    """A script that needs keys of both sides is refused, and so is who asks for what has moved."""
    source = await sharded.owner()
    target = next(each for each in sharded.masters if each is not source)
    await client.set(LOG, "1")
    async with source.client() as old, target.client() as new:
        slot = await old.execute_command("CLUSTER", "KEYSLOT", LOG)
        source_id, target_id = sharded.ids[source.port], sharded.ids[target.port]
        await new.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
        await old.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
    with pytest.raises(RedisConnectionError):
        await client.eval("return redis.call('SET', KEYS[2], 'x')", 2, LOG, Keys().table)
    async with source.client() as old:
        assert await old.get(LOG) == b"1"
    await sharded.migrate(source, target)
    await client.eval("return redis.call('SET', KEYS[2], 'x')", 2, LOG, Keys().table)
    assert await client.get(LOG) == b"1"


async def test_a_seed_that_is_gone_is_not_waited_for(sharded: Sharded) -> None:
    owner = await sharded.owner()
    silent = next(each for each in sharded.masters if each is not owner)
    silent.pause()
    access = Access(Shared(redis_url=sharded.url), Keys().table)
    async with access.client(LIMIT_S, LIMIT_S) as client:
        await client.set(LOG, "1")
    assert access.place == (LOOPBACK, owner.port)


async def test_changes_go_on_where_the_keys_move_to(planes: Planes, sharded: Sharded) -> None:
    before = (await planes.change("green"))["version"]
    source = await sharded.owner()
    target = next(each for each in sharded.masters if each is not source)
    async with Load(planes.fleet.port, tenant="other") as load:
        await sharded.migrate(source, target)
        after = (await planes.changes("blue"))["version"]
        await load.everyone()
    assert not load.failures
    assert after > before
    assert await versions(planes) == [after] * WORKERS
    assert await sharded.owner() is target


async def test_changes_go_on_after_a_takeover(planes: Planes, sharded: Sharded) -> None:
    before = (await planes.change("green"))["version"]
    owner = await sharded.owner()
    async with Load(planes.fleet.port, tenant="other") as load:
        owner.kill()
        async with sharded.replica.client() as replica:
            await replica.execute_command("CLUSTER", "FAILOVER", "TAKEOVER")
        after = (await planes.changes("blue"))["version"]
        await load.everyone()
    assert not load.failures
    assert after > before
    assert await versions(planes) == [after] * WORKERS
    assert await sharded.owner() is sharded.replica
    assert PASSWORD not in planes.fleet.child.output()
