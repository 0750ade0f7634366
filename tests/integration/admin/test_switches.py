"""Fenced switches through the real stores: what they do, how they fail, who goes on with them."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from tests.integration.admin.conftest import Client, is_problem, published
from tests.integration.admin.follower import Follower
from tests.integration.admin.test_process import LISTENING

FENCED = {"to": "green", "tenants": ["acme"], "mode": "fenced"}
Answer = tuple[int, Any, Any]


@pytest.fixture(autouse=True)
async def worker(call: Client, follow: Callable[..., Any]) -> Follower:
    """One worker, and endpoints to go to."""
    for slot in ("blue", "green"):
        await call("PUT", f"/v1/slots/{slot}/endpoints", {"endpoints": ["127.0.0.1:1"]})
    started: Follower = await follow()
    await started.until(await call.version())
    return started


def cutover(call: Client, **more: Any) -> "asyncio.Task[Answer]":
    return asyncio.get_running_loop().create_task(call("POST", "/v1/cutover", FENCED | more))


async def held(call: Client) -> str:
    """The switch that holds acme, once one does."""
    while True:
        holds = (await call("GET", "/v1/routing"))[1]["holds"]
        if "acme" in holds:
            return str(holds["acme"])
        await asyncio.sleep(0.02)


async def lost_sight_of(call: Client, worker: str) -> None:
    """Wait until the worker's lease is over."""
    while True:
        workers = (await call("GET", "/v1/workers"))[1]["workers"]
        if all(each["lease_ms"] <= 0 for each in workers if each["worker"] == worker):
            return
        await asyncio.sleep(0.05)


async def free(call: Client) -> dict[str, Any]:
    """The table, once it holds nobody and drains nothing."""
    while True:
        table: dict[str, Any] = (await call("GET", "/v1/routing"))[1]
        if not (table["holds"] or table["hold_all"] or table["drains"]):
            return table
        await asyncio.sleep(0.02)


async def undone(call: Client, answer: Answer, reason: str) -> None:
    """It was undone because of this: nothing is held, and acme goes where it went."""
    is_problem(answer, 409, "switch-undone")
    assert answer[1]["detail"].startswith(reason), answer[1]
    table = await free(call)
    assert "acme" not in table["pins"]
    state = (await call("GET", f"/v1/switches/{answer[1]['switch']}"))[1]
    assert (state["state"], state["committed_version"]) == ("undone", None)


@asynccontextmanager
async def hook(
    answer: Callable[[web.Request], Awaitable[web.Response]],
) -> AsyncIterator[str]:
    """A web server that a step may call; its URL."""
    app = web.Application()
    app.router.add_post("/step", answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        yield f"http://{host}:{port}/step"
    finally:
        await runner.cleanup()


async def test_a_tenant_is_held_moved_and_let_go(call: Client, worker: Follower) -> None:
    status, result, _ = await cutover(call)
    assert (status, result["switch"]["state"]) == (200, "done"), result
    assert result["change"]["acked"] == ["w1"]
    table = await free(call)
    assert table["pins"] == {"acme": "green"}
    switch = result["switch"]
    assert switch["held_version"] + 1 == switch["committed_version"] == table["version"]
    assert switch["held_ms"] >= switch["drain_ms"] >= 0
    listed = (await call("GET", "/v1/switches"))[1]
    assert [each["switch"] for each in listed["switches"]] == [switch["switch"]]
    actions = [row["action"] for row in (await call("GET", "/v1/audit"))[1]["items"]]
    assert actions[:2] == ["switch-commit", "switch-hold"]


async def test_all_go_over_with_the_pointer(call: Client) -> None:
    status, _, _ = await cutover(call, tenants="all")
    assert status == 200
    table = await free(call)
    assert (table["active"], table["fallback"]) == ("green", "blue")
    status, _, _ = await call("POST", "/v1/rollback", {"mode": "fenced"})
    assert status == 200
    assert (await free(call))["active"] == "blue"


async def test_operations_of_any_kind_can_be_fenced(call: Client) -> None:
    operations = [{"op": "pin", "tenant": t, "slot": "green"} for t in ("acme", "bravo")]
    body = {"operations": operations, "mode": "fenced"}
    status, result, _ = await call("POST", "/v1/routing/changes", body)
    assert (status, result["switch"]["tenants"]) == (200, ["acme", "bravo"])
    assert (await free(call))["pins"] == {"acme": "green", "bravo": "green"}


async def test_it_waits_until_nothing_is_under_way(call: Client, worker: Follower) -> None:
    worker.busy = 2
    going = cutover(call)
    await held(call)
    await asyncio.wait({going}, timeout=0.3)
    assert not going.done()
    worker.busy = 0
    assert (await going)[0] == 200


async def test_it_waits_for_a_worker_that_has_not_heard(
    call: Client, follow: Callable[..., Any]
) -> None:
    deaf = await follow("w2", deaf=True)
    going = cutover(call)
    await held(call)
    await asyncio.wait({going}, timeout=0.3)
    assert not going.done()
    deaf.listen()
    assert (await going)[0] == 200


async def test_past_its_limit_it_is_undone(call: Client, worker: Follower) -> None:
    worker.busy = 1
    answer = await cutover(call, timeout_ms=500)
    await undone(call, answer, "limit: 0.5 s are over; still under way: w1 (1)")


async def test_a_worker_that_falls_silent_undoes_it(
    call: Client, follow: Callable[..., Any]
) -> None:
    lost = await follow("w2", lease_ms=600)
    lost.busy = 1
    going = cutover(call)
    await held(call)
    await lost.freeze()
    await undone(call, await going, "worker-lost: fell silent: w2")


async def test_one_that_was_done_before_it_fell_silent_is_believed(
    call: Client, worker: Follower, follow: Callable[..., Any]
) -> None:
    silent = await follow("w2", lease_ms=600)
    worker.busy = 1
    going = cutover(call)
    await held(call)
    await silent.until(await call.version())
    await silent.freeze()
    await asyncio.sleep(0.8)
    worker.busy = 0
    assert (await going)[0] == 200


async def test_it_is_not_begun_while_a_worker_is_silent(
    call: Client, follow: Callable[..., Any]
) -> None:
    lost = await follow("w2", lease_ms=300)
    await lost.freeze()
    await lost_sight_of(call, "w2")
    answer = await cutover(call)
    is_problem(answer, 409, "worker-lost")
    assert "w2" in answer[1]["detail"]
    assert (await cutover(call, accept_lost=True))[0] == 200


async def test_a_worker_that_said_goodbye_is_not_missed(
    call: Client, follow: Callable[..., Any]
) -> None:
    leaving = await follow("w2")
    leaving.busy = 1
    going = cutover(call)
    await held(call)
    await leaving.leave()
    assert (await going)[0] == 200


async def test_nobody_is_in_two_switches(call: Client, worker: Follower) -> None:
    worker.busy = 1
    going = cutover(call)
    await held(call)
    for tenants in (["acme", "bravo"], "all"):
        is_problem(await cutover(call, tenants=tenants), 409, "switch-running")
    worker.busy = 0
    assert (await going)[0] == 200


async def test_an_instant_change_passes_a_switch_by(call: Client, worker: Follower) -> None:
    worker.busy = 1
    going = cutover(call)
    await held(call)
    assert (await call("PUT", "/v1/tenants/bravo/pin", {"slot": "green"}))[0] == 200
    worker.busy = 0
    assert (await going)[0] == 200
    assert (await free(call))["pins"] == {"acme": "green", "bravo": "green"}


async def test_it_can_be_cancelled(call: Client, worker: Follower) -> None:
    worker.busy = 1
    going = cutover(call)
    name = await held(call)
    assert (await call("POST", f"/v1/switches/{name}/cancel", {}))[0] == 202
    await undone(call, await going, "cancelled: by tester")
    answer = await call("POST", f"/v1/switches/{name}/cancel", {})
    is_problem(answer, 409, "switch-ended")


async def test_it_may_not_lead_to_an_empty_slot(call: Client, worker: Follower) -> None:
    await call("PUT", "/v1/slots/green/endpoints", {"endpoints": []})
    is_problem(await cutover(call), 409, "slot-empty")
    await call("PUT", "/v1/slots/green/endpoints", {"endpoints": ["127.0.0.1:1"]})
    worker.busy = 1
    going = cutover(call)
    await held(call)
    await call("PUT", "/v1/slots/green/endpoints", {"endpoints": []})
    worker.busy = 0
    await undone(call, await going, "commit-refused")


# ── the step ──────────────────────────────────────────────────────────────────────────────────────


async def test_the_webhook_is_called_while_nothing_is_under_way(
    start: Callable[..., Any], worker: Follower
) -> None:
    seen: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        seen.append((worker.busy, request.headers["Idempotency-Key"], await request.json()))
        return web.Response(status=204)

    async with hook(answer) as url:
        call = await start(step_urls=(url,))
        worker.busy = 1
        going = cutover(call, step={"webhook": url})
        name = await held(call)
        worker.busy = 0
        status, result, _ = await going
    assert status == 200, result
    version = result["switch"]["held_version"]
    told = {"switch": name, "tenants": ["acme"], "held_version": version}
    assert seen == [(0, name, told)]


async def test_a_webhook_that_refuses_undoes_it(start: Callable[..., Any]) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=500, text="s3cret")

    async with hook(answer) as url:
        call = await start(step_urls=(url,))
        got = await cutover(call, step={"webhook": url})
    await undone(call, got, "step-failed: the webhook answered 500")
    assert "s3cret" not in str(got)


async def test_a_webhook_that_does_not_answer_undoes_it(start: Callable[..., Any]) -> None:
    async def answer(_: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    async with hook(answer) as url:
        call = await start(step_urls=(url,))
        got = await cutover(call, timeout_ms=700, step={"webhook": url})
    await undone(call, got, "step-failed: the webhook did not answer within 0.")


async def test_only_what_the_settings_allow_is_called(call: Client) -> None:
    for step in ({"webhook": "http://127.0.0.1:1/"}, {"command": "rm"}, {}):
        is_problem(await cutover(call, step=step), 400, "invalid-change")


async def test_a_command_is_told_and_its_status_counts(
    start: Callable[..., Any], tmp_path: Any
) -> None:
    told = tmp_path / "told"
    steps = {
        "tell": ("/bin/sh", "-c", f'cat >{told}; echo "$TURNOUT_SWITCH" >>{told}'),
        "fail": ("/bin/sh", "-c", "exit 3"),
    }
    call = await start(steps=steps)
    status, result, _ = await cutover(call, step={"command": "tell"})
    assert status == 200
    assert result["switch"]["switch"] in told.read_text()
    assert '"tenants":["acme"]' in told.read_text()
    await call("DELETE", "/v1/tenants/acme/pin")
    got = await cutover(call, step={"command": "fail"})
    await undone(call, got, "step-failed: the command ended with 3")


async def test_a_command_out_of_time_is_ended_with_its_children(
    start: Callable[..., Any], tmp_path: Any
) -> None:
    ended = tmp_path / "ended"
    script = f"trap 'touch {ended}; exit' TERM; sleep 60 & wait"
    call = await start(steps={"slow": ("/bin/sh", "-c", script)})
    got = await cutover(call, timeout_ms=700, step={"command": "slow"})
    await undone(call, got, "step-failed: the command did not end within 0.")
    assert ended.exists()


# ── whoever goes on ───────────────────────────────────────────────────────────────────────────────


async def test_another_admin_goes_on_after_a_kill(
    call: Client, worker: Follower, spawn: Any, config_file: Any
) -> None:
    child = spawn(sys.executable, "-m", "admin", "--config", config_file)
    address = (await child.line(LISTENING))[1]
    worker.busy = 1
    async with aiohttp.ClientSession() as session:
        other = Client(session, address)
        await published(other)
        going = cutover(other)
        name = await held(call)
        child.send(signal.SIGKILL)
        with pytest.raises(aiohttp.ClientError):
            await going
    worker.busy = 0
    table = await free(call)
    assert table["pins"] == {"acme": "green"}
    while (await call("GET", f"/v1/switches/{name}"))[1]["state"] == "committing":
        await asyncio.sleep(0.02)  # the tenants go on before that is noted
    assert (await call("GET", f"/v1/switches/{name}"))[1]["state"] == "done"


async def test_a_webhook_is_asked_again_by_who_goes_on(
    start: Callable[..., Any], spawn: Any, config_file: Any
) -> None:
    asked: list[str] = []
    first = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.headers["Idempotency-Key"])
        first.set()
        if len(asked) == 1:
            await asyncio.sleep(30)
        return web.Response()

    async with hook(answer) as url:
        config_file.write_text(config_file.read_text() + f"step_urls = ['{url}']\n")
        child = spawn(sys.executable, "-m", "admin", "--config", config_file)
        address = (await child.line(LISTENING))[1]
        async with aiohttp.ClientSession() as session:
            other = Client(session, address)
            await published(other)
            going = cutover(other, step={"webhook": url})
            await first.wait()
            child.send(signal.SIGKILL)
            with pytest.raises(aiohttp.ClientError):
                await going
        call = await start(step_urls=(url,))
        assert (await free(call))["pins"] == {"acme": "green"}
    assert len(asked) == 2
    assert len(set(asked)) == 1


async def test_a_command_is_not_run_twice(
    start: Callable[..., Any], spawn: Any, config_file: Any, tmp_path: Any
) -> None:
    ran = tmp_path / "ran"
    script = f"echo once >>{ran}; sleep 3"
    command = f"steps = {{slow = ['/bin/sh', '-c', '{script}']}}\n"
    config_file.write_text(config_file.read_text() + command)
    child = spawn(sys.executable, "-m", "admin", "--config", config_file)
    address = (await child.line(LISTENING))[1]
    async with aiohttp.ClientSession() as session:
        other = Client(session, address)
        await published(other)
        going = cutover(other, step={"command": "slow"})
        while not ran.exists():
            await asyncio.sleep(0.02)
        child.send(signal.SIGKILL)
        with pytest.raises(aiohttp.ClientError):
            await going
    call = await start(steps={"slow": ("/bin/sh", "-c", script)})
    assert "acme" not in (await free(call))["pins"]
    state = (await call("GET", "/v1/switches"))[1]["switches"][0]
    assert state["reason"].startswith("step-outcome-unknown")
    assert ran.read_text() == "once\n"
