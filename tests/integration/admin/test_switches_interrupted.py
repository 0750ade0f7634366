"""Fenced switches whose stores, or whose callers, are interrupted: sent twice, cut off, forgotten."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import msgspec
import pytest
from redis.asyncio import Redis

from config import Shared
from tests.integration.admin.conftest import Client, is_problem, published
from tests.integration.admin.follower import Follower
from tests.integration.admin.test_switches import FENCED, cutover, free, held, undone
from tests.support.relay import Relay


@pytest.fixture(autouse=True)
async def worker(call: Client, follow: Callable[..., Any]) -> Follower:
    """One worker, and endpoints to go to."""
    for slot in ("blue", "green"):
        await call("PUT", f"/v1/slots/{slot}/endpoints", {"endpoints": ["127.0.0.1:1"]})
    started: Follower = await follow()
    await started.until(await call.version())
    return started


async def test_one_that_the_registry_has_lost_is_not_forgotten(
    call: Client, shared: Shared, follow: Callable[..., Any]
) -> None:
    cut_off = await follow("w2", lease_ms=800)
    await cut_off.freeze()
    async with Redis.from_url(shared.redis_url) as redis:
        await redis.delete(cut_off.keys.leases, cut_off.keys.workers)
    await undone(call, await cutover(call), "worker-lost: fell silent: w2")
    is_problem(await cutover(call), 409, "worker-lost")


# ── sent twice ────────────────────────────────────────────────────────────────────────────────────


async def test_the_same_key_with_the_same_request_is_one_switch(
    call: Client, start: Callable[..., Any], worker: Follower
) -> None:
    other: Client = await start()
    worker.busy = 1
    key = {"headers": {"Idempotency-Key": "once"}}
    going = [
        asyncio.get_running_loop().create_task(each("POST", "/v1/cutover", FENCED, **key))
        for each in (call, other)
    ]
    name = await held(call)
    worker.busy = 0
    answers = [await each for each in going]
    assert [status for status, _, _ in answers] == [200, 200]
    assert {told["switch"]["switch"] for _, told, _ in answers} == {name}
    version = await call.version()
    status, told, headers = await other("POST", "/v1/cutover", FENCED, **key)
    assert (status, told["switch"]["switch"]) == (200, name)
    assert headers["Idempotency-Replayed"] == "true"
    assert await call.version() == version
    assert len((await call("GET", "/v1/switches"))[1]["switches"]) == 1


async def test_a_key_is_of_one_request_whichever_kind_it_is(call: Client) -> None:
    key = {"headers": {"Idempotency-Key": "mine"}}
    assert (await call("POST", "/v1/cutover", FENCED, **key))[0] == 200
    back = FENCED | {"to": "blue"}
    is_problem(await call("POST", "/v1/cutover", back, **key), 422, "idempotency-key-reused")
    pin = {"slot": "blue"}
    again = await call("PUT", "/v1/tenants/acme/pin", pin, **key)
    is_problem(again, 422, "idempotency-key-reused")


# ── while PostgreSQL is away ──────────────────────────────────────────────────────────────────────


@pytest.fixture
async def cuttable(
    shared: Shared, start: Callable[..., Any]
) -> AsyncIterator[tuple[Client, Relay]]:
    """Another admin, and its way to PostgreSQL."""
    parts = urlsplit(shared.database_url)
    relay = Relay(parts.port or 0)
    place = f"{parts.netloc.rpartition(':')[0]}:{relay.port}"
    url = urlunsplit(parts._replace(netloc=place))
    client: Client = await start(msgspec.structs.replace(shared, database_url=url))
    await published(client)
    yield client, relay
    relay.mend()
    relay.close()


async def test_who_asked_is_answered_when_it_is_back(
    call: Client, worker: Follower, cuttable: tuple[Client, Relay]
) -> None:
    client, relay = cuttable
    worker.busy = 1
    going = cutover(client)
    await held(call)
    relay.cut()
    worker.busy = 0
    assert (await free(call))["pins"] == {"acme": "green"}, "the other admin has gone on"
    assert not going.done()
    relay.mend()
    status, told, _ = await going
    assert (status, told["switch"]["state"]) == (200, "done")


async def test_while_it_stays_away_the_outcome_is_unknown(
    call: Client, worker: Follower, cuttable: tuple[Client, Relay]
) -> None:
    client, relay = cuttable
    worker.busy = 1
    going = cutover(client, timeout_ms=1000)
    name = await held(call)
    relay.cut()
    answer = await going
    is_problem(answer, 503, "outcome-unknown")
    assert answer[1]["switch"] == name
    await free(call)
