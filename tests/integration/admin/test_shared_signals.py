"""A reading that one admin was told is known to all, by Redis' clock."""

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from admin.monitor.settings import Settings
from admin.monitor.shared import SharedSignals
from admin.monitor.signals import Signals, UnknownSignalError
from admin.routing.publish import StoreUnavailableError
from config import Shared
from proxy.routing.keys import Keys
from tests.integration.admin.conftest import Client, Start, is_problem

CPU = "database-cpu"


async def reading(call: Client, value: float) -> dict[str, Any]:
    """The signal at this admin, once it has that value."""
    while True:
        found = (await call("GET", "/v1/signals"))[1]["signals"]
        cpu: dict[str, Any] = next(each for each in found if each["name"] == CPU)
        if cpu["value"] == value:
            return cpu
        await asyncio.sleep(0.05)


async def test_all_admins_know_it_and_agree_when_it_was(call: Client, start: Start, shared: Shared):
    other = await start()
    async with Redis.from_url(shared.redis_url) as redis:
        before = (await redis.time())[0]
    status, found, _ = await call("PUT", f"/v1/signals/{CPU}", {"value": 91.5})
    assert status == 200
    told = next(each for each in found["signals"] if each["name"] == CPU)
    assert told["at"] >= before
    assert await reading(other, 91.5) == told
    # The later one counts, whoever was told it; also at one that starts only now.
    await other("PUT", f"/v1/signals/{CPU}", {"value": 40})
    assert (await reading(call, 40))["at"] > told["at"]
    assert (await reading(await start(), 40))["at"] > told["at"]


async def test_one_that_can_not_be_shared_is_refused(start: Start, call: Client, shared: Shared):
    lonely = await start(Shared("redis://127.0.0.1:1", "t", shared.database_url, "a routing key"))
    is_problem(await lonely("PUT", f"/v1/signals/{CPU}", {"value": 91}), 503, "store-unavailable")
    found = (await lonely("GET", "/v1/signals"))[1]["signals"]
    assert {each["value"] for each in found} == {None}
    is_problem(await call("PUT", "/v1/signals/nothing", {"value": 1}), 404, "not-found")


async def test_what_is_no_reading_is_passed_over(redis_url: str):
    keys, own = Keys("signals-odd"), Signals(Settings())
    async with Redis.from_url(redis_url) as redis:
        shared = SharedSignals(redis, keys, own)
        for odd in (b"", b"[1]", b"[1,2,3]", b'["a",1]', b"[NaN,1]", b"[1e999,1]", b"[" * 99, b"1"):
            await redis.hset(keys.signals, CPU, odd)
            await redis.hset(keys.signals, "of another program", b"[1,2]")
            await shared.look()
            assert own.latest() == {}, odd
        await redis.hset(keys.signals, CPU, b"[70,12.5]")
        await shared.look()
        assert {name: (each.value, each.at) for name, each in own.latest().items()} == {
            CPU: (70.0, 12.5)
        }
        with pytest.raises(UnknownSignalError):
            await shared.put("nothing", 1.0)
        with pytest.raises(ValueError):
            await shared.put(CPU, float("inf"))
    async with Redis.from_url("redis://127.0.0.1:1") as away:
        with pytest.raises(StoreUnavailableError):
            await SharedSignals(away, keys, own).look()
