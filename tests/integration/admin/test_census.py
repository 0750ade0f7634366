"""The census through the real stores: taken with a drain, watched to its end, whoever dies."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from proxy.routing.census import Seat
from proxy.routing.model import Slot
from tests.integration.admin.conftest import Client, is_problem, published
from tests.integration.admin.follower import Follower
from tests.integration.admin.test_process import LISTENING
from tests.support.processes import SECONDS, Children

DRAIN = "/v1/slots/blue/drain"
ROLL = f"{DRAIN}/census"
BLUE, GREEN = Slot


def seats(names: str, slot: Slot = BLUE, tenant: str = "acme") -> list[Seat]:
    """A WebSocket of each device, a letter each."""
    return [Seat(slot, "websocket", tenant, name) for name in names]


@pytest.fixture
def settings(settings: Any) -> Any:
    return type(settings)(
        **{name: getattr(settings, name) for name in settings.__struct_fields__}
        | {"census_look_s": 0.05}
    )


async def on_blue(call: Client, follow: Callable[..., Any], names: str) -> Follower:
    """A worker with these devices on blue, which acme has just left for green."""
    await published(call)
    started: Follower = await follow()
    started.draining, started.seats = len(names), seats(names)
    await call("PUT", "/v1/tenants/acme/pin", {"slot": "green"})
    await told(call, blue=len(names))
    return started


@pytest.fixture
async def worker(call: Client, follow: Callable[..., Any]) -> Follower:
    """A worker with three devices."""
    return await on_blue(call, follow, "abc")


async def read(
    call: Client, path: str, condition: Callable[[dict[str, Any]], bool]
) -> dict[str, Any]:
    """What lies there, once it is so."""
    async with asyncio.timeout(SECONDS):
        while True:
            status, document, _ = await call("GET", path)
            assert status == 200, document
            if condition(document):
                return dict(document)
            await asyncio.sleep(0.02)


async def told(call: Client, **devices: int) -> dict[str, Any]:
    """The census, once it has so many devices on these slots."""
    return await read(
        call,
        "/v1/census",
        lambda census: all(census["slots"][on]["devices"] == n for on, n in devices.items()),
    )


async def until(call: Client, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """What the drain says of its roll, once it is so."""
    drain = await read(
        call, DRAIN, lambda drain: drain["census"] is not None and condition(drain["census"])
    )
    return dict(drain["census"])


async def done(call: Client) -> dict[str, Any]:
    return await read(call, DRAIN, lambda drain: drain["state"] == "done")


async def begun(call: Client, **body: Any) -> str:
    status, drain, _ = await call("POST", DRAIN, body)
    assert status == 202, drain
    name: str = drain["drain"]
    return name


def numbers(census: dict[str, Any]) -> list[int]:
    return [census[name] for name in ("before", "back", "still", "missing", "new")]


@pytest.fixture
async def feed(call: Client) -> AsyncIterator[Callable[[str], Any]]:
    """Reads the feed up to a census event of this name."""
    async with call.session.get(
        f"http://{call.address}/v1/events?types=census",
        headers={"Authorization": f"Bearer {call.token}"},
    ) as answer:
        await answer.content.readuntil(b"\n\n")

        async def read(event: str) -> dict[str, Any]:
            while True:
                lines = (await answer.content.readuntil(b"\n\n")).split(b"\n")
                document = json.loads(lines[1].removeprefix(b"data: "))
                if document["event"] == event:
                    return dict(document)

        yield read


async def test_all_come_back(call: Client, worker: Follower, feed: Callable[[str], Any]) -> None:
    name = await begun(call)
    assert numbers(await until(call, lambda census: census["still"] == 3)) == [3, 0, 3, 0, 0]
    worker.seats, worker.draining = [*seats("ab"), *seats("an", GREEN)], 2
    assert numbers(await until(call, lambda census: census["missing"] == 1)) == [3, 0, 2, 1, 1]
    missing = (await call("GET", f"{ROLL}?standing=missing"))[1]["items"]
    assert [(item["tenant"], item["device"]) for item in missing] == [("acme", "c")]
    worker.seats, worker.draining = seats("abn", GREEN), 0
    await until(call, lambda census: census["back"] == 2)
    page = (await call("GET", ROLL))[1]
    assert {item["device"]: item["standing"] for item in page["items"]} == {
        "a": "back", "b": "back", "c": "missing", "n": "new",
    }  # fmt: skip
    assert (
        'census_devices{slot="blue",standing="missing"} 1.0' in (await call("GET", "/metrics"))[1]
    )
    worker.seats = seats("abcn", GREEN)
    census = await until(call, lambda census: census["outcome"] != "")
    assert (census["outcome"], numbers(census)) == ("complete", [3, 3, 0, 0, 1])
    assert await feed("complete") == {
        "drain": name, "slot": "blue", "event": "complete",
        "before": 3, "back": 3, "still": 0, "missing": 0, "new": 1,
    }  # fmt: skip
    worker.seats = []
    await told(call, green=0)
    assert numbers((await call("GET", DRAIN))[1]["census"]) == [3, 3, 0, 0, 1], "as of its end"
    assert "census_devices{" not in (await call("GET", "/metrics"))[1]


async def test_it_is_not_complete_before_the_drain_is_over(call: Client, worker: Follower) -> None:
    await begun(call)
    await until(call, lambda census: census["still"] == 3)
    worker.seats, worker.draining = seats("abc", GREEN), 1
    await until(call, lambda census: census["back"] == 3)
    # The watch has seen it so before it writes down that somebody is missing.
    worker.seats = seats("ab", GREEN)
    census = await until(call, lambda census: census["missing"] == 1)
    assert census["outcome"] == ""
    worker.seats, worker.draining = seats("abc", GREEN), 0
    assert (await until(call, lambda census: census["outcome"] != ""))["outcome"] == "complete"


async def test_what_a_worker_had_that_is_gone_is_missing_until_it_is_back(
    call: Client, worker: Follower, follow: Callable[..., Any]
) -> None:
    other: Follower = await follow("w2", lease_ms=1_000)
    other.seats = seats("xy")
    await told(call, blue=5)
    await begun(call)
    await until(call, lambda census: census["still"] == 5)
    await other.freeze()
    census = await until(call, lambda census: census["missing"] == 2)
    assert numbers(census) == [5, 0, 3, 2, 0]
    worker.seats = [*seats("abc"), *seats("xy", GREEN)]
    assert numbers(await until(call, lambda census: census["back"] == 2)) == [5, 2, 3, 0, 0]


async def test_since_when_who_is_missing(call: Client, worker: Follower) -> None:
    await begun(call)
    await until(call, lambda census: census["still"] == 3)
    worker.seats = seats("bc")

    async def since() -> str:
        page = await read(
            call,
            f"{ROLL}?standing=missing",
            lambda page: bool(page["items"]) and page["items"][0]["since"] is not None,
        )
        return str(page["items"][0]["since"])

    first = await since()
    worker.seats = seats("b")
    await until(call, lambda census: census["missing"] == 2)
    assert await since() == first
    worker.seats = seats("ab")
    await until(call, lambda census: census["missing"] == 1)
    worker.seats = seats("b")
    await until(call, lambda census: census["missing"] == 2)
    await read(
        call,
        f"{ROLL}?standing=missing",
        lambda page: bool(page["items"]) and page["items"][0]["since"] not in {None, first},
    )
    assert await since() > first


async def test_who_was_not_told_in_time_belongs_to_the_roll(call: Client, worker: Follower) -> None:
    await begun(call)
    await until(call, lambda census: census["still"] == 3)
    worker.seats = seats("abcd")
    census = await until(call, lambda census: census["still"] == 4)
    assert numbers(census) == [4, 0, 4, 0, 0]


async def test_only_those_whom_the_drain_means(call: Client, worker: Follower) -> None:
    worker.seats = [*seats("ab"), *seats("xy", tenant="bravo"), *seats("g", GREEN)]
    await told(call, blue=4)
    await begun(call, tenants=["acme"])
    assert numbers(await until(call, lambda census: census["still"] == 2)) == [2, 0, 2, 0, 0]
    worker.seats = [*seats("xy", tenant="bravo"), *seats("abg", GREEN)]
    worker.seats += seats("z", GREEN, "bravo")
    census = await until(call, lambda census: census["back"] == 2)
    assert numbers(census) == [2, 2, 0, 0, 0]


async def test_a_drain_that_is_stopped_waits_for_nobody(call: Client, worker: Follower) -> None:
    await begun(call)
    await until(call, lambda census: census["still"] == 3)
    await call("DELETE", DRAIN)
    census = await until(call, lambda census: census["outcome"] != "")
    assert (census["outcome"], numbers(census)) == ("stopped", [3, 0, 3, 0, 0])


async def test_who_stays_away_is_not_looked_for_for_ever(
    start: Callable[..., Any], follow: Callable[..., Any]
) -> None:
    call = await start(census_wait_s=0.3)
    worker = await on_blue(call, follow, "ab")
    await begun(call)
    await until(call, lambda census: census["still"] == 2)
    worker.seats, worker.draining = seats("a", GREEN), 0
    census = await until(call, lambda census: census["outcome"] != "")
    assert (census["outcome"], numbers(census)) == ("limit", [2, 1, 0, 1, 0])


async def test_nothing_is_complete_before_all_have_told_all(
    call: Client, worker: Follower, follow: Callable[..., Any]
) -> None:
    other: Follower = await follow("w2")
    other.seats, other.whole = [], False
    await read(call, "/v1/census", lambda census: census["unknown"] == ["w2"])
    await begun(call)
    await until(call, lambda census: census["still"] == 3)
    worker.seats, worker.draining = seats("abc", GREEN), 0
    census = await until(call, lambda census: census["back"] == 3)
    assert (census["unknown"], census["outcome"]) == (["w2"], "")
    other.whole = True
    assert (await until(call, lambda census: census["outcome"] != ""))["outcome"] == "complete"


async def test_a_second_drain_takes_the_place_of_the_firsts_roll(
    call: Client, worker: Follower
) -> None:
    first = await begun(call)
    worker.seats, worker.draining = seats("ab"), 0
    await done(call)
    second = await begun(call)
    assert first != second
    census = await until(call, lambda census: census["before"] == 2)
    assert (await call("GET", ROLL))[1]["drain"] == second
    assert census["outcome"] == ""


async def test_without_rules_no_roll_is_taken(call: Client, follow: Callable[..., Any]) -> None:
    worker: Follower = await follow()
    census = (await call("GET", "/v1/census"))[1]
    assert (census["taken"], census["items"], census["unknown"]) == (False, [], [])
    is_problem(await call("GET", ROLL), 404, "not-found")
    await begun(call)
    await done(call)
    assert worker.seats is None
    assert (await call("GET", DRAIN))[1]["census"] is None
    is_problem(await call("GET", ROLL), 404, "not-found")


async def test_more_than_may_be_written_down_are_not_looked_for(
    start: Callable[..., Any], follow: Callable[..., Any]
) -> None:
    call = await start(census_devices=5)
    await on_blue(call, follow, "abcdefgh")
    await begun(call)
    census = await until(call, lambda census: census["still"] > 0)
    assert (census["before"], census["beyond"]) == (5, 3)


async def test_the_whole_census_by_pages(call: Client, worker: Follower) -> None:
    worker.seats = [*seats("ca"), *seats("b", tenant="acme-2"), *seats("a", GREEN), *seats("a")]
    worker.seats += [Seat(BLUE, "tcp", "", ""), Seat(GREEN, "events", "acme", "e")]
    census = await told(call, blue=3, green=2)
    assert census["slots"]["blue"] == {"devices": 3, "connections": 4, "unnamed": {"tcp": 1}}
    assert census["by_tenant"] == {"acme": 3, "acme-2": 1}
    items: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (await call("GET", f"/v1/census?limit=2&cursor={cursor}"))[1]
        items += page["items"]
        cursor = page["next"]
    found = [(item["tenant"], item["device"], item["slot"], item["connections"]) for item in items]
    assert sorted(found) == [
        ("acme", "a", "blue", 2),
        ("acme", "a", "green", 1),
        ("acme", "c", "blue", 1),
        ("acme", "e", "green", 1),
        ("acme-2", "b", "blue", 1),
    ]
    assert items[0]["since"] == "2023-11-14T22:13:20+00:00"

    async def only(query: str) -> list[str]:
        page = (await call("GET", f"/v1/census?{query}"))[1]
        return [item["device"] for item in page["items"]]

    assert await only("slot=green") == ["a", "e"]
    assert await only("tenant=acme-2") == ["b"]
    assert await only("kind=events") == ["e"]
    is_problem(await call("GET", "/v1/census?slot=red"), 400, "invalid-query")
    is_problem(await call("GET", f"{ROLL}?standing=lost"), 400, "invalid-query")


@pytest.mark.timeout(60)
async def test_another_admin_goes_on(
    call: Client, spawn: Children, config_file: Path, worker: Follower
) -> None:
    """The one that begins it, and watches, is killed; both look at one database."""
    child = spawn(sys.executable, "-m", "admin", "--config", config_file, name="admin")
    address = (await child.line(LISTENING))[1]
    other = Client(call.session, address)
    await published(other)
    await begun(other)
    await until(call, lambda census: census["still"] == 3)
    worker.seats = seats("bc")
    await until(call, lambda census: census["missing"] == 1)
    child.send(signal.SIGKILL)
    worker.seats, worker.draining = seats("abc", GREEN), 0
    census = await until(call, lambda census: census["outcome"] != "")
    assert (census["outcome"], numbers(census)) == ("complete", [3, 3, 0, 0, 0])
