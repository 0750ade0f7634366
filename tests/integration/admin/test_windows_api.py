"""What was served second by second, over HTTP: as the nodes have told it."""

from typing import Any

import msgspec
import pytest
from redis.asyncio import Redis

from config import Shared
from proxy.routing.keys import Keys
from proxy.routing.model import Slot
from proxy.routing.windows import FIELD, Figures, Window, encode
from tests.integration.admin.conftest import Client, Start, is_problem

WINDOWS = "/v1/traffic/windows"
BUCKETS = (0, 90, 5, 0, 4, *(0 for _ in range(12)), 1)


async def told(shared: Shared, *windows: tuple[int, str, dict[Any, Figures]]) -> int:
    """As nodes tell Redis: seconds ago, node, groups. The second that is now."""
    key = Keys(shared.redis_prefix).windows
    async with Redis.from_url(shared.redis_url) as redis:
        now: int = (await redis.time())[0]
        for ago, node, groups in windows:
            await redis.xadd(key, {FIELD: encode(Window(now - ago, node, groups))})
        return now


async def test_seconds_slots_and_cohorts(call: Client, shared: Shared) -> None:
    served = Figures(
        *(100, (0, 97, 0, 1, 2), 3, 2, 1, 250_000),
        buckets=BUCKETS,
        in_flight=7,
        eligible=1,
        endpoints=2,
        broken=1,
    )
    rest, pilot = (Slot.BLUE, "rest"), (Slot.GREEN, "pilot")
    now = await told(
        shared,
        (5, "a", {rest: served, pilot: Figures(1, (0, 1, 0, 0, 0))}),
        (5, "b", {rest: served}),
        (4, "a", {}),
        (2, "b", {}),
        (1_000, "long ago", {}),
    )
    status, page, _ = await call.with_token("viewer")("GET", f"{WINDOWS}?seconds=30")
    assert status == 200
    first, second, third = page["items"]
    assert (first["second"], first["nodes"], first["told_ms"]) == (now - 5, ["a", "b"], 2_000)
    assert second == {"second": now - 4, "nodes": ["a"], "told_ms": 1_000, "groups": []}
    assert (third["second"], third["nodes"]) == (now - 2, ["b"])
    blue, green = first["groups"]
    assert blue == {
        "slot": "blue",
        "cohort": "rest",
        "requests": 200,
        "statuses": [0, 194, 0, 2, 4],
        "connect_failures": 6,
        "aborted": 4,
        "broken": 2,
        "retries": 2,
        "mean_ms": 2.5,
        "p50_ms": 1.0,
        "p95_ms": 2.0,
        "p99_ms": 5.0,
        "in_flight": 14,
        "endpoint_connections": 0,
        "tunnels": 0,
        "eligible": 2,
        "endpoints": 4,
    }
    assert (green["slot"], green["cohort"], green["requests"]) == ("green", "pilot", 1)
    assert green["p50_ms"] is green["p99_ms"] is None  # its time isn't known
    metrics = (await call("GET", "/metrics"))[1]
    assert "turnout_admin_windows_skipped_total 1.0" in metrics  # of a thousand seconds ago


async def test_nothing_told_is_nothing(call: Client) -> None:
    assert (await call("GET", WINDOWS))[1] == {"items": []}


@pytest.mark.parametrize("query", ["seconds=0", "seconds=901", "seconds=x", "minutes=1"])
async def test_what_is_not_taken(call: Client, query: str) -> None:
    is_problem(await call("GET", f"{WINDOWS}?{query}"), 400, "invalid-query")
    assert (await call("GET", f"{WINDOWS}?seconds=900"))[0] == 200


async def test_who_has_no_token_reads_nothing(call: Client) -> None:
    call.token = "none"
    assert (await call("GET", WINDOWS))[0] == 401


async def test_without_redis_it_says_so(start: Start, shared: Shared) -> None:
    client = await start(msgspec.structs.replace(shared, redis_url="redis://127.0.0.1:1/0"))
    is_problem(await client("GET", WINDOWS), 503, "store-unavailable")
