"""The publication script on a real Redis: compare, set, append, and who is there."""

from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis

from admin.routing import publish
from admin.routing.publish import ANY, RESET, Publisher, StoreUnavailableError, open_redis
from config import Shared
from proxy.routing.ack import WorkerStatus, encode_status
from proxy.routing.change import Change, Cutover, Pin, apply
from proxy.routing.codec import decode_table, encode_change
from proxy.routing.envelope import verify
from proxy.routing.keys import Keys
from proxy.routing.model import RoutingTable, Slot
from proxy.routing.stored import restored
from proxy.store import stored
from redis_access import Access

KEY = "a routing key"


@pytest.fixture
def keys() -> Keys:
    return Keys("publish")


def access(url: str) -> Access:
    return Access(Shared(redis_url=url), Keys("publish").table)


@pytest.fixture
async def redis(redis_url):
    async with open_redis(access(redis_url), 1.0) as client:
        yield client


@pytest.fixture
def publisher(redis, keys) -> Publisher:
    return Publisher(redis, keys, KEY, log_entries=10, forget_s=60)


def entry(version: int) -> tuple[int, bytes]:
    return version, encode_change(Change(version, (Cutover(Slot.GREEN),)))


async def ids(redis: "Redis", keys: Keys) -> list[bytes]:
    entries: Any = await redis.xrange(keys.log)
    return [entry_id for entry_id, _ in entries]


async def test_what_is_written_is_whole_and_sealed(publisher, redis, keys):
    outcome = await publisher.publish(RoutingTable(1), [entry(1)], ANY)
    assert (outcome.word, outcome.snapshot.version, outcome.snapshot.log_version) == (
        "published",
        1,
        1,
    )
    stored: Any = await redis.hgetall(keys.table)
    assert decode_table(stored[b"body"]) == RoutingTable(1)
    verify("table", 1, stored[b"body"], stored[b"mac"], KEY.encode())
    logged: Any = await redis.xrange(keys.log)
    [(entry_id, fields)] = logged
    assert entry_id == b"1-0"
    verify("change", 1, fields[b"body"], fields[b"mac"], KEY.encode())


@pytest.mark.parametrize(("version", "expected"), [(4, 3), (4, 1), (3, 1)])
async def test_a_version_that_does_not_follow_is_not_published(
    publisher, redis, keys, version, expected
):
    await publisher.publish(RoutingTable(2), [entry(2)], ANY)
    outcome = await publisher.publish(RoutingTable(version), [entry(version)], expected)
    assert (outcome.word, outcome.snapshot.version) == ("behind", 2)
    assert await ids(redis, keys) == [b"2-0"]


@pytest.mark.parametrize(("version", "expected"), [(2, 1), (1, 0), (2, ANY), (1, ANY)])
async def test_a_version_that_is_there_is_not_published_again(
    publisher, redis, keys, version, expected
):
    await publisher.publish(RoutingTable(2), [entry(2)], ANY)
    table = replace(RoutingTable(version), active=Slot.GREEN)
    outcome = await publisher.publish(table, [entry(version)], expected)
    assert (outcome.word, outcome.snapshot.version) == ("ahead", 2)
    stored: Any = await redis.hget(keys.table, "body")
    assert decode_table(stored) == RoutingTable(2)
    assert await ids(redis, keys) == [b"2-0"]


async def test_several_entries_are_published_as_one(publisher, redis, keys):
    await publisher.publish(RoutingTable(1), [entry(1)], ANY)
    outcome = await publisher.publish(RoutingTable(3), [entry(2), entry(3)], 1)
    assert outcome.word == "published"
    assert await ids(redis, keys) == [b"1-0", b"2-0", b"3-0"]
    assert await publisher.version() == 3


async def test_a_log_that_lost_its_table_is_not_written_below(publisher, redis, keys):
    await publisher.publish(RoutingTable(5), [entry(5)], ANY)
    await redis.delete(keys.table)
    assert await publisher.version() == -1
    assert (await publisher.publish(RoutingTable(5), [entry(5)], ANY)).word == "ahead"
    assert (await publisher.publish(RoutingTable(6), [entry(6)], ANY)).word == "published"


async def test_what_can_not_be_believed_is_taken_away(publisher, redis, keys):
    await publisher.publish(RoutingTable(9), [entry(9)], ANY)
    assert (await publisher.publish(RoutingTable(2), [entry(2)], RESET)).word == "published"
    assert await ids(redis, keys) == [b"2-0"]
    assert await publisher.version() == 2


async def test_the_log_is_bounded(publisher, redis, keys):
    for version in range(1, 400):
        expected = ANY if version == 1 else version - 1
        await publisher.publish(RoutingTable(version), [entry(version)], expected)
    # Trimming is by whole nodes of a hundred entries.
    assert await redis.xlen(keys.log) <= 10 + 100


async def test_the_fleet_is_read_at_the_same_moment(publisher, redis, keys):
    seconds, micros = await redis.time()
    now = seconds * 1000 + micros // 1000
    status = encode_status(WorkerStatus("a", "here", 1, 7, "serving"))
    await redis.zadd(keys.leases, {"a": now + 5000, "lost": now - 5000, "long gone": now - 61_000})
    await redis.hset(keys.workers, mapping={"a": status, "lost": b"?", "long gone": status})
    for snapshot in (
        (await publisher.publish(RoutingTable(1), [entry(1)], ANY)).snapshot,
        await publisher.look(),
    ):
        lost, live = snapshot.leases
        assert (live.worker, live.status.version) == ("a", 7)
        assert 4000 < live.remaining_ms <= 5000
        assert (lost.worker, lost.status.version, lost.status.state) == ("lost", 0, "unknown")
        assert lost.remaining_ms <= -5000
    assert await redis.hkeys(keys.workers) == [b"a", b"lost"]


async def test_a_server_that_is_not_there(keys):
    async with open_redis(access("redis://127.0.0.1:1/0"), 0.5) as redis:
        publisher = Publisher(redis, keys, KEY, log_entries=10, forget_s=60)
        with pytest.raises(StoreUnavailableError):
            await publisher.version()
        with pytest.raises(StoreUnavailableError):
            await publisher.look()
        with pytest.raises(StoreUnavailableError) as caught:
            await publisher.publish(RoutingTable(1), [entry(1)], ANY)
    assert "127.0.0.1" not in str(caught.value)


async def test_a_server_that_says_nothing(fresh_redis, keys):
    async with open_redis(access(fresh_redis.url), 0.2) as redis:
        publisher = Publisher(redis, keys, KEY, log_entries=10, forget_s=60)
        await redis.client_pause(5000)
        with pytest.raises(StoreUnavailableError, match="Timeout"):
            await publisher.look()


# ── a table that is too large to be written with each change ─────────────────────────────────


@pytest.fixture
def large(monkeypatch):
    """Every table counts as large."""
    monkeypatch.setattr(publish, "SMALL_TABLE_BYTES", 1)


async def grown(publisher: Publisher, after: RoutingTable, count: int) -> RoutingTable:
    """Publish so many changes, one after another; the last table."""
    table = after
    for _ in range(count):
        change = Change(table.version + 1, (Pin(f"t-{table.version}", Slot.GREEN),))
        table = apply(table, change)
        body = encode_change(change)
        outcome = await publisher.publish(
            table, [(table.version, body)], table.version - 1, f"commit-{table.version}"
        )
        assert outcome.word == "published"
        assert outcome.snapshot.version == outcome.snapshot.log_version == table.version
    return table


@pytest.fixture
async def begun(publisher, redis, large) -> RoutingTable:
    table = RoutingTable(1)
    await publisher.publish(table, [entry(1)], ANY, "commit-1")
    return table


async def test_the_snapshot_stays_and_the_log_leads_on(publisher, redis, keys, begun):
    before: Any = await redis.hget(keys.table, "body")
    table = await grown(publisher, begun, 5)
    assert await redis.hget(keys.table, "body") == before
    assert await publisher.version() == 6
    found = await stored(redis, keys)
    assert (found.version, found.at, len(found.tail)) == (6, 1, 5)
    assert restored(found, KEY.encode()) == table
    assert (await publisher.look()).tail == 5


async def test_no_more_entries_follow_a_snapshot_than_the_log_keeps(publisher, redis, keys, begun):
    # The fixture's log keeps ten.
    table = await grown(publisher, begun, 10)
    assert (await stored(redis, keys)).at == 1
    table = await grown(publisher, table, 1)
    found = await stored(redis, keys)
    assert (found.at, found.tail) == (12, ())
    assert restored(found, KEY.encode()) == table


async def test_another_admin_goes_on_from_the_snapshot(publisher, redis, keys, begun):
    table = await grown(publisher, begun, 3)
    other = Publisher(redis, keys, KEY, log_entries=10, forget_s=60)
    table = await grown(other, await grown(other, table, 1), 2)
    found = await stored(redis, keys)
    assert (found.version, found.at) == (7, 5)
    assert restored(found, KEY.encode()) == table


async def test_a_checkpoint_is_of_what_is_published(publisher, redis, keys, begun):
    table = await grown(publisher, begun, 3)
    assert not await publisher.checkpoint(begun, "commit-1")
    assert not await publisher.checkpoint(table, "of another commit")
    assert (await stored(redis, keys)).at == 1
    assert await publisher.checkpoint(table, "commit-4")
    found = await stored(redis, keys)
    assert (found.at, found.tail) == (4, ())
    assert restored(found, KEY.encode()) == table


async def test_a_table_without_a_snapshot_is_written_whole(publisher, redis, keys, begun):
    table = await grown(publisher, begun, 2)
    await redis.hset(keys.table, "at", "not a version")
    table = await grown(publisher, table, 1)
    assert restored(await stored(redis, keys), KEY.encode()) == table


async def test_a_version_that_no_operation_leads_to_is_written_whole(publisher, redis, keys, begun):
    """One that was raised, and is published later, in order."""
    raised = replace(begun, version=begun.version + 1)
    anew = encode_change(Change(raised.version, ()))
    await publisher.publish(raised, [(raised.version, anew)], begun.version)
    assert restored(await stored(redis, keys), KEY.encode()) == raised


async def test_a_large_change_is_written_whole(publisher, redis, keys, large, monkeypatch):
    monkeypatch.setattr(publish, "LARGE_CHANGE_BYTES", 100)
    table = RoutingTable(1)
    await publisher.publish(table, [entry(1)], ANY)
    change = Change(2, tuple(Pin(f"tenant-{number}", Slot.GREEN) for number in range(10)))
    table = apply(table, change)
    await publisher.publish(table, [(2, encode_change(change))], 1)
    assert (await stored(redis, keys)).at == 2
