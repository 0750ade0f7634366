"""An admin that carries a ramp dies (kill -9), wherever it stands; the next goes on."""

import random
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from config import Shared
from tests.integration.admin.conftest import Client, published
from tests.integration.admin.test_process import LISTENING
from tests.integration.admin.test_ramps import at, begun, done, steps_made, until
from tests.support.processes import Child, Children

Admin = tuple[Child, Client]


@pytest.fixture
async def another(spawn: Children, config_file: Path) -> AsyncIterator[Callable[[], Any]]:
    """Starts an admin in a process of its own; there is no other than those."""
    async with aiohttp.ClientSession() as session:

        async def start() -> Admin:
            child = spawn(sys.executable, "-m", "admin", "--config", config_file, name="admin")
            client = Client(session, (await child.line(LISTENING))[1])
            await published(client)
            return child, client

        yield start


async def with_endpoints(admin: Admin) -> Client:
    for slot in ("blue", "green"):
        await admin[1]("PUT", f"/v1/slots/{slot}/endpoints", {"endpoints": ["127.0.0.1:1"]})
    return admin[1]


async def killed(admin: Admin) -> None:
    admin[0].send(signal.SIGKILL)
    await admin[0].ended()


async def test_in_a_step_s_time_the_rest_of_it_is_waited_for(
    another: Callable[[], Any], follow: Callable[..., Any]
) -> None:
    first = await another()
    call = await with_endpoints(first)
    await follow()
    await begun(call, [1, 5, 100], [2.0, 0.05])
    before = await until(call, lambda ramp: ramp["dwelt_s"] > 0.4)
    await killed(first)
    _, call = await another()
    ramp = await until(call, at(1))
    assert before["dwelt_s"] <= ramp["dwelt_s"] < 2
    ramp = await until(call, done)
    assert (ramp["outcome"], await steps_made(call)) == ("arrived", [1, 5, 100])


async def test_while_workers_are_waited_for(
    another: Callable[[], Any], follow: Callable[..., Any]
) -> None:
    first = await another()
    call = await with_endpoints(first)
    deaf = await follow(deaf=True)
    await begun(call, [1, 100], [0.05])
    await until(call, lambda ramp: bool(ramp["version"]))
    await killed(first)
    _, call = await another()
    assert (await until(call, at(1, "stepping")))["version"]
    deaf.listen()
    assert (await until(call, done))["outcome"] == "arrived"
    assert await steps_made(call) == [1, 100]


async def test_while_it_is_paused(another: Callable[[], Any], follow: Callable[..., Any]) -> None:
    first = await another()
    call = await with_endpoints(first)
    await follow()
    await begun(call, [1, 100], [3600.0])
    await until(call, at(1))
    await call("PUT", "/v1/canary", {"percent": 30})
    reason = (await until(call, at(1, "paused")))["reason"]
    await killed(first)
    _, call = await another()
    assert (await until(call, at(1, "paused")))["reason"] == reason
    await call("POST", "/v1/cutover", {"to": "green"})
    assert (await until(call, done))["outcome"] == "switched"


@pytest.mark.timeout(300)
async def test_wherever_it_dies_each_step_is_made_once_and_in_order(
    another: Callable[[], Any],
    follow: Callable[..., Any],
    shared: Shared,
    seeded_random: random.Random,
) -> None:
    """As soon as the row has been written so often: while it weighs, makes, waits, dwells."""
    steps = [float(step) for step in range(1, 21)]
    admin = await another()
    call = await with_endpoints(admin)
    worker = await follow()
    database: Any = await asyncpg.connect(shared.database_url)
    try:
        await begun(call, steps, [0.02] * 20)
        kills = 0
        while True:
            target = await revision(database) + seeded_random.randint(1, 12)
            while await revision(database) < target and not await is_over(database):
                pass
            if await is_over(database):
                break
            await killed(admin)
            kills += 1
            admin = await another()
    finally:
        await database.close()
    _, call = admin
    assert (await until(call, done))["outcome"] == "arrived"
    assert await steps_made(call) == steps
    assert kills >= 3
    assert worker.versions == sorted(worker.versions)


async def revision(database: Any) -> int:
    return int(await database.fetchval("SELECT revision FROM turnout.ramps"))


async def is_over(database: Any) -> bool:
    return bool(await database.fetchval("SELECT state = 'done' FROM turnout.ramps"))
