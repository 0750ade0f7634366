"""The stores fail, lose data, come back, or are shared by several admins."""

import asyncio
import contextlib
import json
from functools import partial
from typing import Any

import asyncpg
import msgspec
import pytest
from redis.asyncio import Redis

from admin.routing import idempotency, publish
from admin.routing.audit import Author
from admin.routing.database import Database, open_pool
from admin.routing.fleet import SETTLE_S
from admin.routing.store import Proposal, Store
from config import Shared
from proxy.routing.change import Operation, Pin
from proxy.routing.codec import decode_change, decode_table, table_document
from proxy.routing.keys import Keys
from proxy.routing.model import RoutingTable, Slot
from proxy.routing.stored import restored
from proxy.store import stored
from tests.integration.admin.conftest import is_problem, published
from tests.support.processes import SECONDS


async def read_table(shared: Shared):
    async with Redis.from_url(shared.redis_url) as redis:
        body: Any = await redis.hget(Keys(shared.redis_prefix).table, "body")
    return decode_table(body)


async def read_log(shared: Shared) -> list[int]:
    async with Redis.from_url(shared.redis_url) as redis:
        entries: Any = await redis.xrange(Keys(shared.redis_prefix).log)
    for entry_id, entry in entries:
        assert decode_change(entry[b"body"]).version == int(entry_id.split(b"-")[0])
    return [int(entry_id.split(b"-")[0]) for entry_id, _ in entries]


async def converged(client) -> dict[str, Any]:
    while True:
        document: dict[str, Any] = await published(client)
        if document["converged"]:
            return document


@contextlib.asynccontextmanager
async def events_of(client, types: str):
    """The live feed as an iterator of (kind, document); subscribed when this is entered."""
    headers = {"Authorization": f"Bearer {client.token}"}
    url = f"http://{client.address}/v1/events?types={types}"
    async with client.session.get(url, headers=headers) as answer:
        assert answer.status == 200
        await answer.content.readuntil(b"\n\n")
        yield read_events(answer.content)


async def read_events(stream):
    while True:
        block = await stream.readuntil(b"\n\n")
        fields = dict(line.split(": ", 1) for line in block.decode().strip().splitlines())
        if "event" in fields:
            yield fields["event"], json.loads(fields["data"])


def plan(operations: tuple[Operation, ...], _: RoutingTable) -> tuple[Operation, ...]:
    return operations


async def test_two_admins_start_at_once_on_an_empty_database(start, shared, database_url):
    shared = msgspec.structs.replace(shared, database_url=database_url)
    first, second = await asyncio.gather(start(shared), start(shared))
    await asyncio.gather(published(first), published(second))
    assert (await first("PUT", "/v1/canary", {"percent": 5}))[0] == 200
    assert (await second("PUT", "/v1/canary", {"percent": 6}))[0] == 200
    assert (await read_table(shared)).canary.basis_points == 600


async def test_a_large_table_gets_a_snapshot_once_it_is_quiet(start, shared, monkeypatch):
    monkeypatch.setattr(publish, "SMALL_TABLE_BYTES", 1)
    admins = [await start(), await start()]
    await asyncio.gather(*map(published, admins))
    for number in range(9):
        path = f"/v1/tenants/t-{number}/pin"
        assert (await admins[number % 2]("PUT", path, {"slot": "green"}))[0] == 200
    async with Redis.from_url(shared.redis_url) as redis:
        keys = Keys(shared.redis_prefix)
        async with asyncio.timeout(SECONDS):
            while True:
                found = await stored(redis, keys)
                if not found.tail:
                    break
                await asyncio.sleep(0.02)
    assert found.version == found.at
    assert len(restored(found, shared.routing_key.encode()).pins) == 9


async def test_two_admins_make_a_hundred_changes_without_a_gap(start, shared, follow):
    # A hundred at once are more than a busy machine gets acknowledged in the usual time.
    admins = [await start(ack_timeout_ms=60_000) for _ in range(2)]
    first = (await published(admins[0]))["version"]
    await published(admins[1])
    worker = await follow()
    await worker.until(first)

    async def make(number: int) -> Any:
        path = f"/v1/tenants/t{number % 7}/pin"
        slot = "green" if number % 2 else "blue"
        status, result, _ = await admins[number % 2]("PUT", path, {"slot": slot})
        assert (status, result["published"]) == (200, True), result
        return result

    results = await asyncio.gather(*(make(number) for number in range(100)))
    assert sorted(result["version"] for result in results) == list(range(first + 1, first + 101))
    assert await read_log(shared) == list(range(first, first + 101))
    document = await converged(admins[0])
    assert document["version"] == first + 100
    published_document = table_document(await read_table(shared))
    assert published_document == {key: document[key] for key in published_document}
    assert worker.table == await read_table(shared)
    # It followed each of them by the log: never the whole table again.
    assert (worker.loaded, worker.versions) == (1, list(range(first, first + 101)))


async def test_an_emptied_redis_gets_the_table_at_a_higher_version(call, shared, follow):
    await call("PUT", "/v1/tenants/acme/pin", {"slot": "green"})
    worker = await follow()
    before = await call.version()
    async with events_of(call, "republished,converged") as events:
        async with Redis.from_url(shared.redis_url) as redis:
            await redis.flushdb()
        kind, told = await anext(events)
        assert (kind, told["version"]) == ("republished", before + 1)
        kind, told = await anext(events)
        assert (kind, told["version"], told["workers"]) == ("converged", before + 1, 1)
        assert told["ack_ms"] < 2000
    assert worker.version == before + 1
    assert worker.versions == sorted(set(worker.versions))
    assert worker.table.pins == {"acme": "green"}
    row = (await call("GET", "/v1/audit?limit=1"))[1]["items"][0]
    assert (row["actor"], row["action"], row["version"]) == ("system", "republish", before + 1)


async def test_no_change_is_called_served_while_workers_are_still_coming_back(start, stack, shared):
    """A new admin finds Redis empty: it can't know who still serves the old table."""
    await published(await start())
    await stack.aclose()
    async with Redis.from_url(shared.redis_url) as redis:
        await redis.flushdb()
    call = await start()
    await published(call, 2)
    status, result, _ = await call("PUT", "/v1/canary", {"percent": 5})
    assert status == 200
    assert result["ack_ms"] > SETTLE_S * 1000 / 2


async def test_redis_restarts(fresh_redis, admin_database_url, start, follow, shared):
    own = Shared(fresh_redis.url, "own", admin_database_url, "")
    call = await start(own)
    await published(call)
    follower = type(await follow())(own, "w9")
    async with follower:
        await call("PUT", "/v1/canary", {"percent": 5})
        before = await call.version()
        async with events_of(call, "store,republished,converged") as events:
            fresh_redis.stop()
            assert await anext(events) == ("store", {"reachable": False})
            answer = await call("PUT", "/v1/canary", {"percent": 6})
            is_problem(answer, 503, "store-unavailable")
            assert answer[2]["Retry-After"]
            assert (await call("GET", "/readyz"))[0] == 503
            status, document, _ = await call("GET", "/v1/routing")
            assert (status, document["version"]) == (200, before)
            assert (document["published_version"], document["converged"]) == (None, False)
            is_problem(await call("GET", "/v1/workers"), 503, "store-unavailable")
            fresh_redis.start()
            assert await anext(events) == ("store", {"reachable": True})
        await follower.until(before)
        document = await converged(call)
        assert document["canary"]["percent"] == 5
        assert (await call("GET", "/readyz"))[0] == 200
        status, result, _ = await call("PUT", "/v1/canary", {"percent": 7})
        assert (status, result["acked"]) == (200, ["w9"])
    rows = (await call("GET", "/v1/audit?action=canary"))[1]["items"]
    assert ("refused", "store-unavailable") in [(row["outcome"], row["code"]) for row in rows]


async def test_redis_is_ahead_of_a_database_that_was_restored(call, shared, follow):
    worker = await follow()
    await worker.until(1)
    await call("PUT", "/v1/canary", {"percent": 5})
    connection = await asyncpg.connect(shared.database_url)
    async with events_of(call, "republished") as events:
        await connection.execute(
            "UPDATE turnout.routing_head SET version = 1, canary_basis_points = 0"
        )
        await connection.execute("DELETE FROM turnout.changes")
        await connection.close()
        assert await anext(events) == ("republished", {"version": 3, "reason": "ahead"})
    await worker.until(3)
    assert worker.table.canary.basis_points == 0
    assert worker.versions == [1, 2, 3]


async def test_what_was_committed_but_not_published_is_published_in_order(
    call, shared, settings, follow
):
    """As if an admin had died between the two."""
    worker = await follow()
    await worker.until(1)
    database = Database(await open_pool(shared.database_url, settings), 1.0)
    store = Store(database)
    for tenant in ("a", "b", "c"):
        operations = (Pin(tenant, Slot.GREEN),)
        await store.commit(
            Proposal("pin", Author("somebody", "admin", ""), partial(plan, operations))
        )
    await database.close()
    await worker.until(4)
    assert worker.table.pins == dict.fromkeys("abc", "green")
    assert (worker.loaded, worker.versions) == (1, [1, 2, 3, 4])
    assert await read_log(shared) == [1, 2, 3, 4]


async def test_what_is_old_is_taken_off(call, shared, settings):
    headers = {"Idempotency-Key": "old"}
    await call("PUT", "/v1/canary", {"percent": 5}, headers=headers)
    await call("PUT", "/v1/canary", {"percent": 6}, headers={"Idempotency-Key": "new"})
    connection = await asyncpg.connect(shared.database_url)
    await connection.execute(
        "UPDATE turnout.idempotency SET at = now() - interval '25 hours' WHERE key = 'old'"
    )
    database = Database(await open_pool(shared.database_url, settings), 1.0)
    await idempotency.prune(database, 24, 1)
    await database.close()
    keys = await connection.fetch("SELECT key FROM turnout.idempotency")
    versions = await connection.fetch("SELECT version FROM turnout.changes")
    await connection.close()
    assert ([row["key"] for row in keys], [row["version"] for row in versions]) == (["new"], [3])
    again = await call("PUT", "/v1/canary", {"percent": 5}, headers=headers)
    assert again[1]["version"] == 4


async def test_a_redis_that_takes_no_table_is_told(call, shared, follow):
    """Committed, not published: the answer says so, and the change goes out when Redis takes it."""
    worker = await follow()
    await worker.until(1)
    async with Redis.from_url(shared.redis_url) as redis:
        body: Any = await redis.hgetall(Keys(shared.redis_prefix).table)
        await redis.acl_setuser("default", commands=["-xadd"], enabled=True)
        try:
            status, result, _ = await call("PUT", "/v1/canary", {"percent": 5, "timeout_ms": 0})
            assert (status, result["published"], result["converged"]) == (202, False, False)
            assert await redis.hgetall(Keys(shared.redis_prefix).table) == body
        finally:
            await redis.acl_setuser("default", commands=["+xadd"], enabled=True)
    await worker.until(2)
    assert worker.versions == [1, 2]


async def test_without_postgresql_nothing_changes(fresh_postgres, redis_url, start, follow, shared):
    own = Shared(redis_url, "own", fresh_postgres.url, "")
    call = await start(own)
    await published(call)
    before = await call.version()
    fresh_postgres.stop()
    for method, path, body in (
        ("GET", "/v1/routing", None),
        ("GET", "/v1/audit", None),
        ("PUT", "/v1/canary", {"percent": 5}),
        ("DELETE", "/v1/tenants/acme/pin", None),
    ):
        answer = await call(method, path, body)
        is_problem(answer, 503, "database-unavailable")
        assert answer[2]["Retry-After"]
    status, document, _ = await call("GET", "/readyz")
    assert (status, document["parts"]["postgresql"], document["parts"]["redis"]) == (
        503,
        {"ok": False},
        {"ok": True},
    )
    fresh_postgres.start()
    assert await call.version() == before
    assert (await call("PUT", "/v1/canary", {"percent": 5}))[0] == 200


async def test_a_change_that_waits_for_a_lock_gives_up(start, shared):
    call = await start(database_lock_timeout_s=0.2)
    await published(call)
    connection = await asyncpg.connect(shared.database_url)
    async with connection.transaction():
        await connection.execute("SELECT * FROM turnout.routing_head FOR UPDATE")
        answer = await call("PUT", "/v1/canary", {"percent": 5})
        is_problem(answer, 503, "database-unavailable")
    await connection.close()
    assert (await call("PUT", "/v1/canary", {"percent": 5}))[0] == 200


async def test_the_audit_trail_can_not_be_rewritten(call, shared):
    connection = await asyncpg.connect(shared.database_url)
    for statement in (
        "UPDATE turnout.audit SET actor = 'nobody'",
        "DELETE FROM turnout.audit",
        "TRUNCATE turnout.audit",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            await connection.execute(statement)
    await connection.close()


async def test_a_change_that_can_not_be_audited_is_not_made(call, shared):
    before = await call.version()
    connection = await asyncpg.connect(shared.database_url)
    await connection.execute("ALTER TABLE turnout.audit ADD CHECK (action <> 'pin') NOT VALID")
    status, problem, _ = await call("PUT", "/v1/tenants/acme/pin", {"slot": "green"})
    assert (status, problem["code"]) == (500, "internal")
    await connection.close()
    document = (await call("GET", "/v1/routing"))[1]
    assert (document["version"], document["pins"]) == (before, {})


async def test_events_tell_what_happens(call, start, follow):
    other = await start()
    await published(other)
    async with events_of(other, "change,worker,worker-lost,converged") as events:
        worker = await follow("w1", lease_ms=600)
        kind, told = await anext(events)
        assert (kind, told["worker"], told["version"]) == ("worker", "w1", 0)
        kind, told = await anext(events)
        assert (kind, told["worker"], told["version"]) == ("worker", "w1", 1)
        await call("PUT", "/v1/canary", {"percent": 5})
        seen = dict([await anext(events) for _ in range(2)])
        # Another admin's change: its worker acks before this admin hears of it, or after.
        assert seen["change"] == {"version": 2, "action": "canary", "actor": "tester"}
        assert seen["worker"]["version"] == 2
        await other("PUT", "/v1/canary", {"percent": 6})
        seen = dict([await anext(events) for _ in range(3)])
        assert seen["change"] == {"version": 3, "action": "canary", "actor": "tester"}
        assert seen["converged"]["workers"] == 1
        assert seen["worker"]["version"] == 3
        await worker.freeze()
        assert await anext(events) == ("worker-lost", {"worker": "w1"})


async def test_silence_is_broken_by_a_comment(start):
    call = await start(events_heartbeat_s=0.05)
    await published(call)
    headers = {"Authorization": f"Bearer {call.token}"}
    url = f"http://{call.address}/v1/events?types=worker"
    async with call.session.get(url, headers=headers) as answer:
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert await answer.content.readuntil(b"\n\n") == b": listening\n\n"
        assert await answer.content.readuntil(b"\n\n") == b": heartbeat\n\n"


async def test_places_for_listeners_are_limited(start):
    call = await start(events_clients=1)
    async with events_of(call, "worker"):
        is_problem(await call("GET", "/v1/events"), 503, "too-many-listeners")
    while (await call("HEAD", "/v1/events"))[0] != 405:
        pass


@pytest.mark.parametrize(
    "spoil",
    [
        lambda redis, keys: redis.hset(keys.table, "version", 2**53 - 2),
        lambda redis, keys: redis.hset(keys.table, "version", "abc"),
        lambda redis, keys: redis.xadd(keys.log, {"body": b"x"}, id=f"{2**53 - 2}-0"),
    ],
    ids=["a huge version", "no version", "a huge entry"],
)
async def test_a_spoilt_store_is_written_anew_and_uses_up_no_versions(spoil, call, follow, shared):
    worker = await follow()
    before = (await converged(call))["version"]
    async with Redis.from_url(shared.redis_url) as redis:
        await spoil(redis, Keys(shared.redis_prefix))
    async with asyncio.timeout(10):
        await published(call, before + 1)
        await worker.until(before + 1)
        told = await converged(call)
    assert before < told["version"] < before + 10
    assert worker.version == told["version"]
    assert (await call("PUT", "/v1/tenants/acme/pin", {"slot": "green"}))[0] == 200
