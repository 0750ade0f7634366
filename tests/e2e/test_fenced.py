"""A fenced switch under load, by the logs of the endpoints themselves."""

import asyncio
import itertools
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial

import aiohttp
import pytest
from aiohttp import web

from tests.e2e.conftest import System

STEP_S = 2.0
TENANTS = [f"tenant-{number}" for number in range(8)]
PILOT = TENANTS[3]


@dataclass(frozen=True, slots=True)
class Worked:
    """One request as an endpoint saw it. Clock: this process's, as everywhere here."""

    slot: str
    tenant: str
    number: str
    began: float
    ended: float


@dataclass
class Endpoints:
    """An endpoint in each slot, the hook that the switch calls, and what they all saw."""

    log: list[Worked] = field(default_factory=list)
    news: asyncio.Condition = field(default_factory=asyncio.Condition)
    steps: list[tuple[float, float]] = field(default_factory=list)
    addresses: dict[str, str] = field(default_factory=dict)
    open: Counter[str] = field(default_factory=Counter)
    open_at_step: dict[str, int] = field(default_factory=dict)

    async def start(self, stack: AsyncExitStack, slot: str) -> None:
        app = web.Application()
        app.router.add_post("/work", partial(self._work, slot))
        app.router.add_post("/step", self._step)
        app.router.add_get("/ws", partial(self._websocket, slot))
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        self.addresses[slot] = f"{host}:{port}"

    async def _work(self, slot: str, request: web.Request) -> web.Response:
        began = time.monotonic()
        number = await request.text()
        await asyncio.sleep(random.uniform(0.0, 0.05))
        tenant = request.headers["X-Tenant-ID"]
        self.log.append(Worked(slot, tenant, number, began, time.monotonic()))
        async with self.news:
            self.news.notify_all()
        return web.Response(text=slot)

    async def _websocket(self, slot: str, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        self.open[slot] += 1
        await socket.send_str(slot)
        async for _ in socket:
            pass
        self.open[slot] -= 1
        return socket

    async def _step(self, _: web.Request) -> web.Response:
        began = time.monotonic()
        self.open_at_step = dict(self.open)
        await asyncio.sleep(STEP_S)
        self.steps.append((began, time.monotonic()))
        return web.Response()


@pytest.fixture
async def endpoints(system: System) -> AsyncIterator[Endpoints]:
    async with AsyncExitStack() as stack:
        made = Endpoints()
        for slot in ("blue", "green"):
            await made.start(stack, slot)
            body = {"endpoints": [made.addresses[slot]]}
            await system.change("PUT", f"/v1/slots/{slot}/endpoints", body)
        yield made


@pytest.mark.timeout(120)
async def test_no_request_is_on_both_sides_and_none_fails(
    endpoints: Endpoints, system: System
) -> None:
    numbers = itertools.count()
    waits: list[float] = []
    sent: set[str] = set()
    stopping = asyncio.Event()

    async def client(turn: int) -> None:
        # Who asks for the pilot waits for the switch: some ask for the others alone, and go on.
        asked = TENANTS if turn % 4 else [each for each in TENANTS if each != PILOT]
        connector = aiohttp.TCPConnector(limit=1)
        async with aiohttp.ClientSession(connector=connector) as session:
            while not stopping.is_set():
                turn += 1
                tenant, number = asked[turn % len(asked)], str(next(numbers))
                began = time.monotonic()
                async with session.post(
                    f"{system.about['proxy']}/work", data=number, headers={"X-Tenant-ID": tenant}
                ) as answer:
                    assert answer.status == 200, await answer.text()
                sent.add(number)
                if tenant == PILOT:
                    waits.append(time.monotonic() - began)

    async def seen(count: int) -> None:
        wanted = len(endpoints.log) + count
        async with endpoints.news:
            await endpoints.news.wait_for(lambda: len(endpoints.log) >= wanted)

    step = {"webhook": f"http://{endpoints.addresses['blue']}/step"}
    body = {"to": "green", "tenants": [PILOT], "mode": "fenced", "step": step}
    async with asyncio.TaskGroup() as group:
        for turn in range(32):
            group.create_task(client(turn))
        await seen(300)
        url = system.about["admin"] + "/v1/cutover"
        async with system.session.post(url, json=body) as answer:
            result = await answer.json()
            assert answer.status == 200, result
        await seen(300)
        stopping.set()

    assert sorted(worked.number for worked in endpoints.log) == sorted(sent)
    pilot = [worked for worked in endpoints.log if worked.tenant == PILOT]
    old = [worked for worked in pilot if worked.slot == "blue"]
    new = [worked for worked in pilot if worked.slot == "green"]
    assert old
    assert new
    ((step_began, step_ended),) = endpoints.steps
    assert max(worked.ended for worked in old) <= step_began
    assert min(worked.began for worked in new) >= step_ended
    others = [worked for worked in endpoints.log if worked.tenant != PILOT]
    assert any(step_began < worked.began < step_ended for worked in others)
    assert {worked.slot for worked in others} == {"blue"}
    switch = result["switch"]
    print(
        f"{len(sent)} requests, none failed; held for {switch['held_ms']:.0f} ms, of which the step "
        f"{switch['step_ms']:.0f} ms; the longest wait {max(waits) * 1000:.0f} ms"
    )


@pytest.mark.timeout(120)
async def test_a_worker_that_died_is_not_waited_for(endpoints: Endpoints, system: System) -> None:
    victim = (await system.get("/v1/workers"))["workers"][0]
    os.kill(victim["pid"], signal.SIGKILL)
    body = {"to": "green", "tenants": [PILOT], "mode": "fenced"}
    began = time.monotonic()
    async with system.session.post(system.about["admin"] + "/v1/cutover", json=body) as answer:
        result = await answer.json()
    took = time.monotonic() - began
    assert (answer.status, result.get("detail")) == (200, None), result
    print(f"a switch {took:.2f} s after a worker was killed; its lease had {victim['lease_ms']} ms")


@pytest.mark.timeout(120)
async def test_open_websockets_are_told_to_come_back_and_come_back_to_the_new_slot(
    endpoints: Endpoints, system: System
) -> None:
    async def life(tenant: str, ready: asyncio.Queue[str]) -> tuple[int | None, list[str]]:
        """Come back as often as it is told to, until the new slot; the first close code."""
        slots, code = [], None
        async with aiohttp.ClientSession(headers={"X-Tenant-ID": tenant}) as session:
            while "green" not in slots:
                async with session.ws_connect(f"{system.about['proxy']}/ws") as socket:
                    slots.append(await socket.receive_str())
                    await ready.put(tenant)
                    if slots[-1] == "blue":
                        await socket.receive()
                        code = code or socket.close_code
        return code, slots

    ready: asyncio.Queue[str] = asyncio.Queue()
    step = {"webhook": f"http://{endpoints.addresses['blue']}/step"}
    body = {"to": "green", "tenants": [PILOT], "mode": "fenced", "step": step}
    async with asyncio.TaskGroup() as group, aiohttp.ClientSession() as session:
        lives = [group.create_task(life(PILOT, ready)) for _ in range(40)]
        for _ in lives:
            await ready.get()
        other = await session.ws_connect(
            f"{system.about['proxy']}/ws", headers={"X-Tenant-ID": TENANTS[0]}
        )
        assert await other.receive_str() == "blue"
        url = system.about["admin"] + "/v1/cutover"
        async with system.session.post(url, json=body) as answer:
            assert answer.status == 200, await answer.text()
    assert [life.result() for life in lives] == [(1012, ["blue", "green"])] * len(lives)
    assert endpoints.open_at_step["blue"] == 1, "only the other tenant's"
    await other.close()
