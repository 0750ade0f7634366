"""A cutover with 2 000 WebSockets and 200 streams of events open: all are told to come back, at the
pace that was asked for, and the census says when they are.

Real processes throughout: an admin, a proxy of three workers, an endpoint for each slot. What the
WebSockets get is read by the `websockets` package, and the streams by aiohttp.
"""

import asyncio
import sys
from bisect import bisect_right
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from admin.tokens import create_token
from proxy.draining import STEP_S
from proxy.pace import BURST_S
from tests.support.endpoint import Endpoints, start_endpoint
from tests.support.fleet import KEY, Fleet, settings, start_fleet
from tests.support.processes import Children

WEBSOCKETS, STREAMS, TENANTS = 2_000, 200, 23
PACE = 100.0
WORKERS = 3
AT_ONCE = 50
"""Clients that connect at a time: this test's own pace."""
SECONDS = 150.0
LAST_MESSAGE = '{"status":"reconnecting"}'
SECRET = "a secret of the tests, 32 bytes or more"
CENSUS = [{"name": "query", "query": "device"}, {"name": "header", "header": "X-Device"}]


@dataclass
class System:
    """What runs, and the calls that the test makes of it."""

    fleet: Fleet
    admin: str
    session: aiohttp.ClientSession

    async def __call__(self, method: str, path: str, body: object = None) -> Any:
        async with self.session.request(method, f"http://{self.admin}{path}", json=body) as answer:
            document = await answer.json()
            assert answer.status in {200, 202}, document
            return document

    async def until(self, path: str, condition: Any) -> Any:
        """What lies there, once it is so."""
        async with asyncio.timeout(SECONDS):
            while True:
                document = await self("GET", path)
                if condition(document):
                    return document
                await asyncio.sleep(0.1)


@asynccontextmanager
async def running(
    spawn: Children, folder: Path, redis_url: str, database_url: str
) -> AsyncIterator[System]:
    """All of it, with an endpoint in each slot."""
    path = folder / "admin.toml"
    path.write_text(
        f"redis_url = '{redis_url}'\ndatabase_url = '{database_url}'\nrouting_key = '{KEY}'\n"
        f"[admin]\nlisten = '127.0.0.1:0'\ntoken_secret = '{SECRET}'\n"
    )
    admin = spawn(sys.executable, "-m", "admin", "--config", path, name="admin")
    address = (await admin.line(r'"address": "([^"]+)"'))[1]
    endpoints = Endpoints(*[await start_endpoint(spawn, slot) for slot in ("blue", "green")])
    of_fleet = settings(
        folder,
        redis_url,
        workers=WORKERS,
        census=CENSUS,
        tunnels={"last_message": LAST_MESSAGE},
    )
    token = create_token(SECRET, "tester", "admin", 3600)
    async with AsyncExitStack() as stack:
        headers = {"Authorization": f"Bearer {token}"}
        session = await stack.enter_async_context(aiohttp.ClientSession(headers=headers))
        fleet = await start_fleet(spawn, of_fleet)
        system = System(fleet, address, session)
        for endpoint in endpoints:
            path_of = f"/v1/slots/{endpoint.name}/endpoints"
            await system("PUT", path_of, {"endpoints": [endpoint.address]})
        await fleet.serving()
        yield system


@dataclass
class Watch:
    """What the clients saw. Times: monotonic seconds, of this process. lag_s: its longest stall."""

    ends: list[float] = field(default_factory=list)
    returns: list[float] = field(default_factory=list)
    words: Counter[object] = field(default_factory=Counter)
    slots: Counter[str] = field(default_factory=Counter)
    opened: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))
    lag_s: float = 0.0

    async def measure(self) -> None:
        """How late this process's own loop is, for as long as it runs."""
        while True:
            before = monotonic()
            await asyncio.sleep(0.01)
            self.lag_s = max(self.lag_s, monotonic() - before - 0.01)


async def websocket(port: int, number: int, watch: Watch, here: asyncio.Barrier) -> None:
    """A client that comes back once, as soon as it is told to."""
    url = f"ws://127.0.0.1:{port}/ws/{number}?device=screen-{number}"
    headers = {"X-Tenant-ID": f"tenant-{number % TENANTS}"}

    def open_one() -> connect:
        return connect(
            url,
            additional_headers=headers,
            compression=None,
            ping_interval=None,
            open_timeout=SECONDS,
            proxy=None,
        )

    async with watch.opened:
        first = await open_one()
    watch.slots[slot_of(first)] += 1
    await here.wait()
    said = [await first.recv()]
    with pytest.raises(ConnectionClosed) as caught:
        said.append(await first.recv())
    watch.ends.append(monotonic())
    closed = caught.value.rcvd
    watch.words[*said, closed and closed.code, closed and closed.reason] += 1
    second = await open_one()
    watch.returns.append(monotonic())
    watch.slots[slot_of(second)] += 1
    await here.wait()
    await second.close()


def slot_of(client: Any) -> str:
    return str(client.response.headers["X-Turnout-Slot"])


async def stream(session: aiohttp.ClientSession, number: int, watch: Watch, here: asyncio.Barrier):
    """A listener that comes back once, as soon as its stream has ended."""
    path = f"/events/{number}"
    headers = {"X-Tenant-ID": f"tenant-{number % TENANTS}", "X-Device": f"board-{number}"}
    async with watch.opened:
        first = await session.get(path, headers=headers)
    watch.slots[first.headers["X-Turnout-Slot"]] += 1
    await here.wait()
    # aiohttp raises where a chunked body has no end.
    said = await first.read()
    watch.ends.append(monotonic())
    watch.words[said] += 1
    second = await session.get(path, headers=headers)
    watch.returns.append(monotonic())
    watch.slots[second.headers["X-Turnout-Slot"]] += 1
    await here.wait()
    second.close()


def most_within(times: list[float], seconds: float) -> int:
    """The largest number of these in any window so long."""
    return max(bisect_right(times, at + seconds) - index for index, at in enumerate(times))


def allowed(seconds: float) -> float:
    """What the pace promises of any time so long."""
    return PACE * (seconds + BURST_S + STEP_S) + 1


def check_pace(times: list[float], began: float, lag_s: float) -> None:
    """They came no faster than the pace, however slow this machine is.

    Since the beginning, a delay can only make them fewer. In any window there may be some of before
    beside its own: what each worker had been granted and was late with, which is no more than a
    burst, and what this process was late to see.
    """
    for count, at in enumerate(times, 1):
        assert count <= allowed(at - began), f"{count} in {at - began:.3f} s"
    late = WORKERS * (PACE * BURST_S + 1) + PACE * lag_s
    for seconds in (0.5, 1.0, 5.0):
        assert most_within(times, seconds) <= allowed(seconds) + late


@pytest.mark.timeout(240)
async def test_a_cutover_with_many_connections(
    spawn: Children, tmp_path: Path, redis_url: str, database_url: str
) -> None:
    count = WEBSOCKETS + STREAMS
    watch, here = Watch(), asyncio.Barrier(count + 1)
    async with AsyncExitStack() as stack:
        system = await stack.enter_async_context(running(spawn, tmp_path, redis_url, database_url))
        port = system.fleet.port
        session = await stack.enter_async_context(
            aiohttp.ClientSession(
                f"http://127.0.0.1:{port}",
                connector=aiohttp.TCPConnector(limit=0, force_close=True),
                timeout=aiohttp.ClientTimeout(total=None),
            )
        )
        group = await stack.enter_async_context(asyncio.TaskGroup())
        connecting = monotonic()
        for number in range(WEBSOCKETS):
            group.create_task(websocket(port, number, watch, here))
        for number in range(STREAMS):
            group.create_task(stream(session, number, watch, here))
        async with asyncio.timeout(SECONDS):
            await here.wait()
        assert watch.slots == {"blue": count}
        census = await system.until(
            "/v1/census", lambda census: census["slots"]["blue"]["devices"] == count
        )
        assert census["slots"]["blue"]["connections"] == count
        connected_s = monotonic() - connecting

        measuring = group.create_task(watch.measure())
        assert (await system("POST", "/v1/cutover", {"to": "green"}))["converged"]
        began = monotonic()
        await system("POST", "/v1/slots/blue/drain", {"per_second": PACE, "limit_s": SECONDS})
        half = await system.until(
            "/v1/slots/blue/drain",
            lambda drain: drain["left"] is not None and 0 < drain["left"] < count / 2,
        )
        drain = await system.until("/v1/slots/blue/drain", lambda drain: drain["state"] == "done")
        drained_s = monotonic() - began
        drain = await system.until(
            "/v1/slots/blue/drain", lambda drain: drain["census"]["outcome"] != ""
        )
        complete_s = monotonic() - began
        measuring.cancel()
        roll = await system("GET", "/v1/slots/blue/drain/census?standing=back&limit=1")
        async with asyncio.timeout(SECONDS):
            await here.wait()

    assert watch.words == {
        (LAST_MESSAGE, 1012, "service restart"): WEBSOCKETS,
        b"retry: 1000\n\n": STREAMS,
    }
    assert watch.slots == {"blue": count, "green": count}
    ends, returns = sorted(watch.ends), sorted(watch.returns)
    check_pace(ends, began, watch.lag_s)
    check_pace(returns, began, watch.lag_s)
    assert (
        sum(half["kinds"].values())
        == half["left"]
        == sum(half["by_tenant"].values()) + half["others"]
    )
    assert set(half["kinds"]) <= {"websocket", "events"}
    assert drain["outcome"] == "empty"
    told = {name: drain["census"][name] for name in ("before", "back", "still", "missing", "new")}
    assert told == {"before": count, "back": count, "still": 0, "missing": 0, "new": 0}
    assert (drain["census"]["outcome"], drain["census"]["beyond"]) == ("complete", 0)
    assert roll["roll"]["back"] == count
    print(
        f"{WEBSOCKETS} WebSockets and {STREAMS} streams connected in {connected_s:.1f} s, closed at "
        f"{PACE:g} per second within {ends[-1] - began:.1f} s ({count / PACE:.1f} s at best), at most "
        f"{most_within(ends, 1.0)} in a second; returns at most {most_within(returns, 1.0)} in a "
        f"second; each after at most {max(b - a for a, b in zip(ends, returns, strict=True)):.2f} s; "
        f"drain told done after {drained_s:.1f} s, census {told['back']} of {told['before']} back "
        f"after {complete_s:.1f} s; this process's longest stall {watch.lag_s * 1000:.0f} ms"
    )
