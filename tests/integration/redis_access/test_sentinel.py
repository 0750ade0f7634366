"""The master that real sentinels name: found, left when it is deposed, and never mistaken."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

from config import Shared
from proxy.routing.keys import Keys
from redis_access import Access, ElsewhereError
from tests.support.redis_group import PASSWORD, SENTINEL_PASSWORD, SERVICE, Node, Watched

LIMIT_S = 2.0
SECONDS = 30.0
FAULTS = (RedisError, OSError, TimeoutError)
Made = Callable[..., Access]


def access_to(group: Watched, **more: object) -> Access:
    shared = Shared(redis_url=group.url, redis_sentinel_password=SENTINEL_PASSWORD)
    return Access(msgspec.structs.replace(shared, **more), Keys().table)


@pytest.fixture
async def client(watched: Watched) -> AsyncIterator["Redis"]:
    async with access_to(watched).client(LIMIT_S, LIMIT_S) as made:
        yield made


async def value(node: Node, key: str = "k") -> bytes | None:
    async with node.client() as past:
        found: bytes | None = await past.get(key)
        return found


async def succeeds(work: Callable[[], object]) -> None:
    """Try until it does."""
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                await work()  # type: ignore[misc]
            except FAULTS:
                await asyncio.sleep(0.05)
            else:
                return


async def test_the_master_is_found_and_written_to(watched: Watched, client: "Redis") -> None:
    await client.set("k", "1")
    assert await value(watched.first) == b"1"


async def test_after_a_failover_the_other_is_written_to(watched: Watched, client: "Redis") -> None:
    await client.set("k", "1")
    watched.first.kill()
    await watched.named(watched.second)
    await succeeds(lambda: client.set("k", "2"))
    assert await value(watched.second) == b"2"


async def test_a_connection_to_who_became_a_replica_is_left(
    watched: Watched, client: "Redis"
) -> None:
    await client.set("k", "1")
    await watched.fail_over()
    await watched.named(watched.second)
    async with watched.first.client() as first:  # which the sentinels do too, some seconds later
        await first.execute_command("REPLICAOF", "127.0.0.1", watched.second.port)
    with pytest.raises(ElsewhereError):
        await client.set("k", "2")
    await client.set("k", "2")
    assert await value(watched.second) == b"2"


async def test_a_deposed_master_that_still_answers_is_not_used(
    watched: Watched, client: "Redis"
) -> None:
    """It was away while the others agreed, and takes itself for the master when it is back."""
    access = access_to(watched, redis_recheck_s=0.05)
    async with access.client(LIMIT_S, LIMIT_S) as stays:
        await stays.set("k", "old")
        watched.first.pause()
        await watched.named(watched.second)
        look = asyncio.get_running_loop().create_task(access.watch(LIMIT_S))
        try:
            async with asyncio.timeout(SECONDS):
                while True:
                    if access.place == ("127.0.0.1", watched.second.port):
                        break
                    await asyncio.sleep(0.01)
        finally:
            look.cancel()
        watched.first.resume()
        with pytest.raises(ElsewhereError):
            await stays.set("k", "lost")
        await succeeds(lambda: stays.set("k", "new"))
        assert await value(watched.second) == b"new"
        assert await value(watched.first) != b"lost"


async def test_one_sentinel_that_is_cut_off_is_not_believed(watched: Watched) -> None:
    cut_off, *others = watched.sentinels
    await watched.named(watched.first)
    cut_off.pause()
    async with others[0].client() as sentinel:
        await sentinel.execute_command("SENTINEL", "FAILOVER", SERVICE)
    await watched.named(watched.second, others)
    cut_off.resume()
    access = access_to(watched)
    async with access.client(LIMIT_S, LIMIT_S) as client:
        await client.set("k", "1")
    assert access.place == ("127.0.0.1", watched.second.port)


async def test_sentinels_that_are_silent_cost_no_more_than_their_limit(watched: Watched) -> None:
    """One answers: it is believed, for the others don't in time."""
    for each in watched.sentinels[1:]:
        each.pause()
    async with access_to(watched).client(LIMIT_S, 0.3) as client:
        await client.set("k", "1")


async def test_who_is_named_but_is_no_master_is_not_used(
    watched: Watched, client: "Redis", caplog: pytest.LogCaptureFixture
) -> None:
    for each in watched.sentinels:
        each.pause()  # so that they can't know
    async with watched.second.client() as second, watched.first.client() as first:
        await first.execute_command("REPLICAOF", "127.0.0.1", watched.second.port)
        await second.ping()
    for each in watched.sentinels:
        each.resume()
    with pytest.raises(RedisConnectionError):
        await client.set("k", "1")


async def test_without_any_sentinel_it_says_why(
    watched: Watched, caplog: pytest.LogCaptureFixture
) -> None:
    for each in watched.sentinels:
        each.kill()
    with caplog.at_level(logging.INFO, "turnout.redis"):
        async with access_to(watched).client(LIMIT_S, LIMIT_S) as client:
            with pytest.raises(RedisConnectionError):
                await client.set("k", "1")
    assert caplog.messages == ["nobody says where Redis is: ConnectionError"]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"redis_sentinel_password": "wrong"}, "AuthenticationError"),
        ({"redis_sentinel_password": ""}, "AuthenticationError"),
        ({"redis_url": "other"}, "sentinels know no master of this name"),
    ],
)
async def test_a_fault_is_named_without_its_secrets(
    watched: Watched, caplog: pytest.LogCaptureFixture, changed: dict[str, str], reason: str
) -> None:
    if "redis_url" in changed:
        changed = {"redis_url": watched.url.replace(f"/{SERVICE}", "/other")}
    with caplog.at_level(logging.DEBUG):
        async with access_to(watched, **changed).client(LIMIT_S, LIMIT_S) as client:
            with pytest.raises(RedisConnectionError) as refusal:
                await client.set("k", "1")
    assert any(reason in message for message in caplog.messages)
    for secret in (PASSWORD, SENTINEL_PASSWORD):
        assert secret not in f"{refusal.value} {refusal.value!r} {caplog.text}"


async def test_without_enough_replicas_it_is_looked_for_again(
    watched: Watched, client: "Redis"
) -> None:
    """A master that lost its replicas may have been deposed: NOREPLICAS ends the connection."""
    async with watched.first.client() as first:
        await first.config_set("min-replicas-to-write", "2")
    with pytest.raises(ElsewhereError):
        await client.set("k", "1")
    async with watched.first.client() as first:
        await first.config_set("min-replicas-to-write", "0")
    await client.set("k", "1")
