"""PostgreSQL goes in the middle of a fenced switch: killed, or stopped so that nobody hears of it.

In each state: other tenants don't notice; those of the switch wait as long as the worker's own limit says, and
reach neither slot; when it is back the switch ends, and they are served again.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest
from aiohttp import web

from admin.embedded import EmbeddedPostgres
from config import Shared
from tests.integration.admin.conftest import Client
from tests.integration.admin.test_switches import hook
from tests.support.clients import Load
from tests.support.endpoint import Endpoints, start_endpoint
from tests.support.fleet import KEY
from tests.support.planes import ADMIN, Planes, both_planes
from tests.support.processes import Children

WAIT_S = 1.0
"""The workers' own limit for who is held."""
LIMIT_MS = 60_000
SECONDS = 60.0
LOCKED = "LOCK TABLE turnout.routing_head IN EXCLUSIVE MODE"
"""Nobody can make a change: a switch stays before its commit, or before its release."""


@dataclass
class Outage:
    """PostgreSQL of one test. kind: "killed", or "stopped" by SIGSTOP."""

    server: EmbeddedPostgres
    kind: str
    stopped: list[int] = field(default_factory=list)

    def begin(self) -> None:
        if self.kind == "killed":
            self.server.kill()
            return
        parent = self.server.pid
        children = Path(f"/proc/{parent}/task/{parent}/children").read_text("utf-8")
        for pid in (parent, *map(int, children.split())):
            os.kill(pid, signal.SIGSTOP)
            self.stopped.append(pid)

    def end(self) -> None:
        if self.kind == "killed":
            self.server.start()
        self.resume()

    def resume(self) -> None:
        """Those that were stopped go on."""
        while self.stopped:
            os.kill(self.stopped.pop(), signal.SIGCONT)


@pytest.fixture(params=["killed", "stopped"])
async def outage(
    fresh_postgres: EmbeddedPostgres, request: pytest.FixtureRequest
) -> AsyncIterator[Outage]:
    made = Outage(fresh_postgres, request.param)
    yield made
    made.resume()


@dataclass
class Step:
    """The webhook of a switch, which answers when it is told to."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    may_end: asyncio.Event = field(default_factory=asyncio.Event)
    keys: set[str] = field(default_factory=set)

    async def answer(self, request: web.Request) -> web.Response:
        self.keys.add(request.headers["Idempotency-Key"])
        self.begun.set()
        await self.may_end.wait()
        return web.Response()


@dataclass
class Scene:
    """Both planes, with a switch of acme to green to be begun. url: of its step."""

    planes: Planes
    endpoints: Endpoints
    outage: Outage
    step: Step
    url: str
    database_url: str

    @property
    def call(self) -> Client:
        return self.planes.call

    def begin(self) -> "asyncio.Task[Any]":
        """The switch; its answer."""
        told = {
            "to": "green",
            "tenants": ["acme"],
            "mode": "fenced",
            "timeout_ms": LIMIT_MS,
            "step": {"webhook": self.url},
        }
        return asyncio.get_running_loop().create_task(self.call("POST", "/v1/cutover", told))

    async def state(self, wanted: str) -> None:
        """Wait until the switch is in this state, by PostgreSQL."""
        connection = await asyncpg.connect(self.database_url)
        try:
            async with asyncio.timeout(SECONDS):
                while True:
                    found = await connection.fetchval("SELECT state FROM turnout.switches")
                    if found == wanted:
                        return
                    await asyncio.sleep(0.02)
        finally:
            await connection.close()

    async def held_by_all(self) -> None:
        """Wait until every worker has the table that holds acme, or a later one."""
        async with asyncio.timeout(SECONDS):
            while True:
                table = (await self.call("GET", "/v1/routing"))[1]
                if table["holds"]:
                    break
                await asyncio.sleep(0.02)
        await self.planes.fleet.until(
            lambda w: all(x["version"] >= table["version"] for x in w), "all hold"
        )

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Meanwhile nobody can make a change."""
        connection = await asyncpg.connect(self.database_url)
        try:
            await connection.execute(f"BEGIN; {LOCKED}")
            yield
        finally:
            connection.terminate()  # no farewell, for the server may be silent

    async def held_meanwhile(self) -> None:
        """PostgreSQL goes; what is held is refused in time by every worker, and nobody else."""
        async with Load(self.planes.fleet.port, tenant="other") as load:
            self.outage.begin()
            connections = await self.planes.fleet.connections(1)
            for connection in connections:
                connection.send("GET", "/", x_tenant_id="acme", x_id="held")
            for connection in connections:
                answer = await connection.answer()
                assert (answer.status, answer.fields["retry-after"]) == (503, "1")
                await connection.close()
            await load.everyone()
        assert not load.failures
        for endpoint in self.endpoints:
            assert not await endpoint.seen("held")

    async def ended(self, going: "asyncio.Task[Any]", state: str) -> None:
        """PostgreSQL is back: the switch ends so, and acme is served again."""
        table = await free_again(self.call)
        going.cancel()
        await asyncio.gather(going, return_exceptions=True)
        slot = "green" if state == "done" else "blue"
        assert table["pins"] == ({"acme": "green"} if state == "done" else {})
        async with asyncio.timeout(SECONDS):
            while True:
                status, found, _ = await self.call("GET", "/v1/switches")
                if status == 200 and found["switches"][0]["state"] in {"done", "undone"}:
                    break
        assert found["switches"][0]["state"] == state, found["switches"][0]
        await self._served(slot)

    async def _served(self, slot: str) -> None:
        connections = await self.planes.fleet.connections(1)
        for connection in connections:
            answer = await connection.get(tenant="acme")
            assert (answer.status, answer.slot) == (200, slot)
            await connection.close()


async def free_again(call: Client) -> dict[str, Any]:
    """The table, once PostgreSQL tells it and it holds nobody."""
    async with asyncio.timeout(SECONDS):
        while True:
            status, table, _ = await call("GET", "/v1/routing")
            if status == 200 and not (table["holds"] or table["drains"]):
                found: dict[str, Any] = table
                return found
            await asyncio.sleep(0.02)


@pytest.fixture
async def scene(
    spawn: Children, tmp_path: Path, redis_url: str, outage: Outage
) -> AsyncIterator[Scene]:
    endpoints = Endpoints(await start_endpoint(spawn, "blue"), await start_endpoint(spawn, "green"))
    step = Step()
    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(hook(step.answer))
        database_url = outage.server.create_database("planes")
        shared = Shared(redis_url, database_url=database_url, routing_key=KEY)
        own = msgspec.structs.replace(
            ADMIN,
            step_urls=(url,),
            database_connect_timeout_s=1.0,
            database_statement_timeout_s=2.0,
            database_lock_timeout_s=2.0,
        )
        planes = await stack.enter_async_context(
            both_planes(spawn, tmp_path, shared, endpoints, None, own, parking={"wait_s": WAIT_S})
        )
        yield Scene(planes, endpoints, outage, step, url, database_url)


async def test_while_it_waits_for_what_is_under_way(scene: Scene) -> None:
    under_way = await scene.planes.fleet.connections(1)
    under_way[0].send("GET", "/hold/k", x_tenant_id="acme")
    await scene.endpoints.blue.arrived("k")
    going = scene.begin()
    await scene.state("holding")
    await scene.held_by_all()
    await scene.held_meanwhile()
    scene.outage.end()
    scene.step.may_end.set()
    await scene.endpoints.blue.release("k")
    assert (await under_way[0].answer()).status == 200  # what was under way ended whole
    for each in under_way:
        await each.close()
    await scene.ended(going, "done")


async def test_while_its_step_runs(scene: Scene) -> None:
    """A webhook is asked again, under the same key: who asked can't know whether it was done."""
    going = scene.begin()
    await scene.step.begun.wait()
    await scene.held_meanwhile()
    scene.step.may_end.set()
    scene.outage.end()
    await scene.ended(going, "done")
    assert len(scene.step.keys) == 1


async def test_before_its_commit(scene: Scene) -> None:
    going = scene.begin()
    await scene.step.begun.wait()
    async with scene.locked():
        scene.step.may_end.set()
        await scene.state("committing")
        await scene.held_meanwhile()
    scene.outage.end()
    await scene.ended(going, "done")


async def test_before_it_is_undone(scene: Scene) -> None:
    going = scene.begin()
    await scene.step.begun.wait()
    async with scene.locked():
        name = (await scene.call("GET", "/v1/switches"))[1]["switches"][0]["switch"]
        assert (await scene.call("POST", f"/v1/switches/{name}/cancel", {}))[0] < 300
        await scene.state("undoing")
        await scene.held_meanwhile()
    scene.outage.end()
    await scene.ended(going, "undone")
