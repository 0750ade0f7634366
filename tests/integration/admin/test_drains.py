"""Drains through the real stores: how they end, what they tell, who goes on with them."""

import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.integration.admin.conftest import Client, is_problem, published
from tests.integration.admin.follower import Follower
from tests.integration.admin.test_process import LISTENING
from tests.integration.admin.test_switches import hook
from tests.support.processes import Children

DRAIN = "/v1/slots/blue/drain"


@pytest.fixture(autouse=True)
async def worker(call: Client, follow: Callable[..., Any]) -> Follower:
    """One worker, by which five connections are left of every drain."""
    started: Follower = await follow()
    started.draining = 5
    return started


async def until(call: Client, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The slot's drain, once it is so."""
    while True:
        status, drain, _ = await call("GET", DRAIN)
        assert status == 200, drain
        if condition(drain):
            return dict(drain)
        await asyncio.sleep(0.02)


def done(drain: dict[str, Any]) -> bool:
    return bool(drain["state"] == "done")


def counted(drain: dict[str, Any]) -> bool:
    return bool(drain["left"] == 5)


async def begun(call: Client, **body: Any) -> dict[str, Any]:
    status, drain, headers = await call("POST", DRAIN, body)
    assert (status, headers["Location"]) == (202, DRAIN), drain
    return dict(drain)


async def table(call: Client) -> dict[str, Any]:
    return dict((await call("GET", "/v1/routing"))[1])


async def test_it_ends_when_nothing_is_left(call: Client, worker: Follower) -> None:
    begin = await begun(call, per_second=7)
    drain = await until(call, counted)
    assert (drain["state"], drain["workers"], drain["unknown"]) == ("draining", {"w1": 5}, [])
    (carried,) = (await table(call))["drains"]
    assert (carried["drain"], carried["slot"], carried["per_second"]) == (begin["drain"], "blue", 7)
    worker.draining = 0
    drain = await until(call, done)
    assert (drain["outcome"], drain["left"], drain["hurried_at"]) == ("empty", None, None)
    assert not (await table(call))["drains"]
    assert (await call("GET", "/v1/audit"))[1]["items"][0]["action"] == "drain-end"


async def test_a_worker_that_has_not_looked_is_waited_for(call: Client, worker: Follower) -> None:
    worker.draining = None
    await begun(call)
    drain = await until(call, lambda drain: drain["unknown"] == ["w1"] and drain["version"])
    assert drain["left"] == 0
    going = asyncio.get_running_loop().create_task(until(call, done))
    await asyncio.wait({going}, timeout=0.6)
    assert not going.done()
    worker.draining = 0
    await going


async def test_at_the_limit_all_is_ended_at_once(call: Client) -> None:
    await begun(call, limit_s=0.3)
    drain = await until(call, done)
    assert (drain["outcome"], drain["hurried_at"] is None) == ("empty", False)


async def test_what_survives_the_hurry_does_not_keep_the_drain(
    start: Callable[..., Any], worker: Follower
) -> None:
    call = await start(drain_hurry_s=0.3)
    worker._draining = dict  # type: ignore[method-assign]
    await begun(call, limit_s=0.2)
    assert (await until(call, done))["outcome"] == "limit"
    assert not (await table(call))["drains"]


async def test_it_can_be_stopped(call: Client) -> None:
    is_problem(await call("DELETE", DRAIN), 404, "not-found")
    await begun(call)
    await until(call, counted)
    assert (await call("DELETE", DRAIN))[0] == 202
    drain = await until(call, done)
    assert (drain["outcome"], drain["stopped_by"]) == ("stopped", "tester")
    is_problem(await call("DELETE", DRAIN), 409, "drain-ended")


async def test_a_slot_has_one_drain_at_a_time(call: Client, worker: Follower) -> None:
    await begun(call)
    is_problem(await call("POST", DRAIN, {}), 409, "drain-running")
    assert (await call("POST", "/v1/slots/green/drain", {}))[0] == 202
    worker.draining = 0
    await until(call, done)
    await begun(call)


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"tenants": ["acme"]}, 409, "still-routed"),
        ({"tenants": []}, 400, "invalid-change"),
        ({"per_second": 0}, 400, "invalid-change"),
        ({"limit_s": 0}, 400, "invalid-change"),
        ({"webhook": "http://elsewhere.example/"}, 400, "invalid-change"),
    ],
)
async def test_what_is_refused(call: Client, body: Any, status: int, code: str) -> None:
    is_problem(await call("POST", DRAIN, body), status, code)


async def test_only_who_may(call: Client) -> None:
    is_problem(await call.with_token("viewer")("POST", DRAIN, {}), 403, "forbidden-role")
    scoped = call.with_token("operator", ["acme"])
    is_problem(await scoped("POST", DRAIN, {}), 403, "forbidden-scope")
    await begun(call)
    is_problem(await scoped("DELETE", DRAIN), 403, "forbidden-scope")


async def test_its_end_is_told(start: Callable[..., Any], worker: Follower) -> None:
    told: asyncio.Queue[tuple[Any, str]] = asyncio.Queue()

    async def hear(request: web.Request) -> web.Response:
        await told.put((await request.json(), request.headers["Idempotency-Key"]))
        return web.Response()

    worker.draining = 0
    async with hook(hear) as url:
        call = await start(step_urls=(url,))
        name = (await begun(call, webhook=url))["drain"]
        assert await told.get() == ({"drain": name, "slot": "blue", "outcome": "empty"}, name)
        assert (await until(call, done))["note"] == ""
    await begun(call, webhook=url)
    drain = await until(call, done)
    assert drain["note"].startswith("the webhook can't be asked")


async def test_affinities_end_with_a_drain_of_all(call: Client, worker: Follower) -> None:
    worker.draining = 0
    await begun(call)
    await until(call, done)
    await worker.until(await call.version())
    assert worker.table is not None
    since = dict(worker.table.affinities_since)
    assert since["blue"] == worker.table.version  # type: ignore[index]
    await call("PUT", "/v1/tenants/acme/pin", {"slot": "green"})
    await begun(call, tenants=["acme"])
    await until(call, done)
    await worker.until(await call.version())
    assert dict(worker.table.affinities_since) == since


@pytest.mark.timeout(60)
async def test_another_admin_goes_on(
    call: Client, spawn: Children, config_file: Path, worker: Follower
) -> None:
    """The one that begins it is killed; both look at one database."""
    child = spawn(sys.executable, "-m", "admin", "--config", config_file, name="admin")
    address = (await child.line(LISTENING))[1]
    other = Client(call.session, address)
    await published(other)
    await begun(other)
    await until(call, counted)
    child.send(signal.SIGKILL)
    worker.draining = 0
    assert (await until(call, done))["outcome"] == "empty"
