"""The users of docs/operations.md: each plane works with exactly these rights, and has no more."""

import asyncio
import os
import re
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError

from admin.embedded import EmbeddedRedis
from admin.embedded.ports import LOOPBACK
from admin.routing import publish
from config import Shared
from tests.support.endpoint import Endpoints
from tests.support.fleet import KEY
from tests.support.planes import Planes, both_planes
from tests.support.processes import Children

PAGE = (Path(__file__).parents[3] / "docs" / "operations.md").read_text("utf-8")
PASSWORD = "of-the-documented-user"
PLACED = {"+role"}
"""Asked of a master that sentinels named, and of no other server."""


def rules(user: str) -> list[str]:
    """What the page gives this user."""
    (line,) = re.findall(rf"^ +user {user} on >PASSWORD (.*)$", PAGE, re.MULTILINE)
    return str(line).split()


def url_of(user: str, server: EmbeddedRedis) -> str:
    return f"redis://{user}:{PASSWORD}@{LOOPBACK}:{server.port}/0"


@pytest.fixture
async def server(fresh_redis: EmbeddedRedis) -> EmbeddedRedis:
    async with Redis.from_url(fresh_redis.url) as all_rights:
        for user in ("turnout-proxy", "turnout-admin"):
            given = ("on", f">{PASSWORD}", *rules(user))
            await all_rights.execute_command("ACL", "SETUSER", user, *given)
    return fresh_redis


@pytest.fixture
async def planes(
    spawn: Children,
    tmp_path: Path,
    server: EmbeddedRedis,
    database_url: str,
    endpoints: Endpoints,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Planes]:
    monkeypatch.setattr(publish, "SMALL_TABLE_BYTES", 1)  # so that the log leads on from a snapshot
    shared = Shared(url_of("turnout-admin", server), database_url=database_url, routing_key=KEY)
    more: dict[str, Any] = {
        "affinity": [{"name": "session", "cookie": "sid"}],
        "census": [{"name": "station", "path": "/ws/{key}"}],
        "follow": {"state_dir": str(tmp_path / "state"), "state_write_s": 0.1},
        "metrics": {"traffic_s": 0.1},
    }
    own = {"redis_url": url_of("turnout-proxy", server)}
    async with both_planes(spawn, tmp_path, shared, endpoints, own, **more) as started:
        yield started


async def fenced(planes: Planes, tenant: str) -> None:
    """A switch that has a WebSocket to close."""
    url = f"http://{LOOPBACK}:{planes.fleet.port}/ws/acl"
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(url, headers={"X-Tenant-ID": tenant}) as tunnel,
    ):
        told = {"to": "green", "tenants": [tenant], "mode": "fenced", "timeout_ms": 20_000}
        cutover = planes.call("POST", "/v1/cutover", told)
        (status, answer, _), message = await asyncio.gather(cutover, tunnel.receive())
        assert status == 200, answer
        assert message.type is aiohttp.WSMsgType.CLOSE


async def test_both_planes_do_all_that_they_do(planes: Planes, server: EmbeddedRedis) -> None:
    await planes.change("green")
    for connection in await planes.fleet.connections(1):  # the second worker finds it bound
        assert (await connection.get(tenant="b", cookie="sid=anna")).slot == "blue"
        await connection.close()
    await fenced(planes, "c")
    status, census, _ = await planes.call("GET", "/v1/census")
    assert (status, census["taken"]) == (200, True)
    while not (await planes.call("GET", "/v1/traffic"))[1]["items"]:
        await planes.fleet.get(tenant="b")
    while not (await planes.call("GET", "/v1/traffic/windows"))[1]["items"]:
        await planes.fleet.get(tenant="b")
    (victim, *_) = await planes.fleet.serving()
    os.kill(victim, signal.SIGKILL)
    await planes.fleet.child.line("said goodbye for worker")
    await planes.fleet.serving(unlike={victim})
    async with Redis.from_url(server.url) as all_rights:
        await all_rights.zadd("{turnout}:leases", {"long/gone": 1.0})  # the admin takes it off
        while True:
            if await all_rights.zscore("{turnout}:leases", "long/gone") is None:
                break
            await asyncio.sleep(0.02)
        await all_rights.flushdb()
        await all_rights.script_flush()
        assert (await planes.changes("blue"))["version"]
        denied = await all_rights.execute_command("ACL", "LOG")
        assert denied == []
        used = {f"+{name}" for name in await all_rights.info("commandstats")}
    granted = {each for user in ("turnout-proxy", "turnout-admin") for each in rules(user)}
    commands = {each for each in granted if each.startswith("+")} - PLACED
    assert {each.replace("+", "+cmdstat_") for each in commands} <= used


@pytest.mark.parametrize(
    ("user", "command"),
    [
        ("turnout-proxy", ("HSET", "{turnout}:table", "version", "9")),
        ("turnout-proxy", ("DEL", "{turnout}:table")),
        ("turnout-proxy", ("XADD", "{turnout}:log", "*", "a", "b")),
        ("turnout-proxy", ("GET", "{other}:affinity:x")),
        ("turnout-proxy", ("SET", "{turnout}:table", "x")),
        ("turnout-proxy", ("EVAL", "return redis.call('DEL', KEYS[1])", "1", "{turnout}:log")),
        ("turnout-proxy", ("PUBLISH", "elsewhere", "x")),
        ("turnout-proxy", ("SUBSCRIBE", "{turnout}:news")),
        ("turnout-admin", ("HGET", "{other}:table", "version")),
        ("turnout-admin", ("SUBSCRIBE", "elsewhere")),
        *((user, ("KEYS", "*")) for user in ("turnout-proxy", "turnout-admin")),
        *((user, ("FLUSHALL",)) for user in ("turnout-proxy", "turnout-admin")),
        *((user, ("CONFIG", "GET", "*")) for user in ("turnout-proxy", "turnout-admin")),
        *((user, ("ACL", "LIST")) for user in ("turnout-proxy", "turnout-admin")),
    ],
)
async def test_nothing_else_is_allowed(
    server: EmbeddedRedis, user: str, command: tuple[str, ...]
) -> None:
    async with Redis.from_url(url_of(user, server), protocol=2) as client:
        with pytest.raises(Exception, match=r"(?i)no permission|can't access|ACL fail") as refusal:
            await client.execute_command(*command)
        assert isinstance(refusal.value, NoPermissionError) or command[0] == "EVAL"
