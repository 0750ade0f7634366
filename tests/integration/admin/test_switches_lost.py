"""A fenced switch whose hold, or whose record, is lost in the middle."""

from collections.abc import Callable
from typing import Any

import asyncpg
import pytest
from aiohttp import web

from config import Shared
from tests.integration.admin.conftest import Client, is_problem
from tests.integration.admin.follower import Follower
from tests.integration.admin.test_switches import cutover, free, hook, undone

# What a failover of PostgreSQL does to a switch that was just begun, done where it matters.
LOSE_THE_SWITCH = """
CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN DELETE FROM turnout.switches; RETURN NEW; END';
CREATE TRIGGER lose BEFORE INSERT ON turnout.changes FOR EACH ROW EXECUTE FUNCTION lose();
"""


@pytest.fixture(autouse=True)
async def worker(call: Client, follow: Callable[..., Any]) -> Follower:
    for slot in ("blue", "green"):
        await call("PUT", f"/v1/slots/{slot}/endpoints", {"endpoints": ["127.0.0.1:1"]})
    started: Follower = await follow()
    await started.until(await call.version())
    return started


async def test_a_hold_that_is_taken_off_by_hand_undoes_it(start: Callable[..., Any]) -> None:
    async def answer(request: web.Request) -> web.Response:
        name = (await request.json())["switch"]
        release = {"operations": [{"op": "release", "switch": name}]}
        assert (await calls[0]("POST", "/v1/routing/changes", release))[0] == 200
        return web.Response()

    calls: list[Client] = []
    async with hook(answer) as url:
        calls.append(await start(step_urls=(url,)))
        got = await cutover(calls[0], step={"webhook": url})
    await undone(calls[0], got, "commit-refused: it holds nobody any more")


async def test_a_hold_of_a_switch_that_the_database_lost_is_let_go(
    call: Client, shared: Shared
) -> None:
    database = await asyncpg.connect(shared.database_url)
    await database.execute(LOSE_THE_SWITCH)
    is_problem(await cutover(call), 500, "internal")
    table = await free(call)
    assert table["pins"] == {}
    actions = [row["action"] for row in (await call("GET", "/v1/audit"))[1]["items"]]
    assert actions[:2] == ["switch-release", "switch-hold"]
    await database.close()
