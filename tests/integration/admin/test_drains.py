"""Drains through the real stores: how they end, what they tell, who goes on with them."""

import asyncio
import json
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
    assert (drain["kinds"], drain["by_tenant"], drain["others"]) == (
        {"websocket": 5},
        {"acme": 5},
        0,
    )
    assert (drain["tenant_per_second"], drain["census"]) == (None, None)
    (carried,) = (await table(call))["drains"]
    assert (carried["drain"], carried["slot"], carried["per_second"]) == (begin["drain"], "blue", 7)
    worker.draining = 0
    drain = await until(call, done)
    assert (drain["outcome"], drain["left"], drain["hurried_at"]) == ("empty", None, None)
    assert not (await table(call))["drains"]
    assert (await call("GET", "/v1/audit"))[1]["items"][0]["action"] == "drain-end"


async def test_a_tenant_may_have_a_pace_of_its_own(call: Client, worker: Follower) -> None:
    drain = await begun(call, per_second=7, tenant_per_second=2.5)
    assert drain["tenant_per_second"] == 2.5
    await until(call, counted)
    (carried,) = (await table(call))["drains"]
    assert carried["tenant_per_second"] == 2.5
    assert worker.table is not None
    assert worker.table.drains[drain["drain"]].tenant_per_second == 2.5


async def test_what_is_left_is_told_as_it_goes(call: Client, worker: Follower) -> None:
    async with call.session.get(
        f"http://{call.address}/v1/events?types=drain",
        headers={"Authorization": f"Bearer {call.token}"},
    ) as feed:
        assert await feed.content.readuntil(b"\n\n") == b": listening\n\n"
        name = (await begun(call))["drain"]
        seen: list[dict[str, Any]] = []
        while not seen or seen[-1]["event"] != "ended":
            lines = (await feed.content.readuntil(b"\n\n")).split(b"\n")
            seen.append(json.loads(lines[1].removeprefix(b"data: ")))
            assert (seen[-1]["drain"], seen[-1]["slot"]) == (name, "blue")
            if seen[-1]["event"] == "left":
                assert seen[-1]["kinds"] == (
                    {"websocket": seen[-1]["left"]} if worker.draining else {}
                )
                metrics = (await call("GET", "/metrics"))[1]
                told = f'drain_left{{kind="websocket",slot="blue"}} {float(seen[-1]["left"])}'
                assert told in metrics
                worker.draining = max((worker.draining or 0) - 2, 0)
        assert "drain_left{" not in (await call("GET", "/metrics"))[1]
    assert [each["event"] for each in seen if each["event"] != "left"] == ["empty", "ended"]
    assert {each["left"] for each in seen if each["event"] == "left"} >= {5, 3, 1}


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
        ({"tenant_per_second": 0}, 400, "invalid-change"),
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


async def test_a_webhook_that_does_not_answer_is_not_waited_for(
    start: Callable[..., Any], worker: Follower
) -> None:
    never = asyncio.Event()

    async def hear(_: web.Request) -> web.Response:
        await never.wait()
        return web.Response()

    worker.draining = 0
    async with hook(hear) as url:
        call = await start(step_urls=(url,), drain_webhook_s=0.2)
        await begun(call, webhook=url)
        drain = await until(call, done)
        assert drain["note"] == "the webhook did not answer within 0.2 s"
        never.set()


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
