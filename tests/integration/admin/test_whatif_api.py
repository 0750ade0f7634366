"""What-if and the last hour's traffic over HTTP: what is said comes true when the change is made."""

import random
from typing import Any

import pytest
from redis.asyncio import Redis

from config import Shared
from proxy.routing.canary import bucket
from proxy.routing.keys import Keys
from proxy.routing.traffic import OTHERS
from tests.integration.admin.conftest import Client, is_problem

WHATIF = "/v1/routing/whatif"
TENANTS = [f"t-{number}" for number in range(60)]


async def told(shared: Shared, figures: dict[str, int], minutes_ago: int = 0) -> None:
    """As the nodes tell Redis."""
    async with Redis.from_url(shared.redis_url) as redis:
        seconds, _ = await redis.time()
        key = Keys(shared.redis_prefix).traffic(seconds // 60 - minutes_ago)
        for tenant, requests in figures.items():
            await redis.hincrby(key, tenant, requests)


@pytest.fixture
async def figures(call: Client, shared: Shared, seeded_random: random.Random) -> dict[str, int]:
    """Sixty tenants with traffic, two of them pinned, one registered without any; endpoints."""
    for slot in ("blue", "green"):
        await call("PUT", f"/v1/slots/{slot}/endpoints", {"endpoints": ["127.0.0.1:1"]})
    made = {tenant: seeded_random.randint(1, 50) for tenant in TENANTS}
    await told(shared, made)
    await call("PUT", "/v1/tenants/t-0/pin", {"slot": "green"})
    await call("PUT", "/v1/tenants/t-1/pin", {"slot": "blue"})
    await call("PUT", "/v1/tenants/silent", {})
    return made


async def routes(call: Client) -> dict[str, str]:
    found = {}
    for tenant in [*TENANTS, "silent", "late"]:
        found[tenant] = (await call("GET", f"/v1/tenants/{tenant}/route"))[1]["slot"]
    return found


CHANGES: list[tuple[dict[str, Any], str, str, dict[str, Any]]] = [
    ({"canary": {"percent": 30}}, "PUT", "/v1/canary", {"percent": 30}),
    (
        {"canary": {"percent": 20, "by": "traffic", "deny": ["t-5"]}},
        "PUT",
        "/v1/canary",
        {"percent": 20, "by": "traffic", "deny": ["t-5"]},
    ),
    ({"cutover": {"to": "green"}}, "POST", "/v1/cutover", {"to": "green"}),
    (
        {"cutover": {"to": "green", "tenants": ["t-1", "late"]}},
        "POST",
        "/v1/cutover",
        {"to": "green", "tenants": ["t-1", "late"]},
    ),
    (
        {"operations": [{"op": "unpin", "tenant": "t-0"}, {"op": "cutover", "to": "green"}]},
        "POST",
        "/v1/routing/changes",
        {"operations": [{"op": "unpin", "tenant": "t-0"}, {"op": "cutover", "to": "green"}]},
    ),
]


@pytest.mark.parametrize(("tried", "method", "path", "body"), CHANGES)
async def test_it_comes_true(
    call: Client,
    figures: dict[str, int],
    tried: dict[str, Any],
    method: str,
    path: str,
    body: dict[str, Any],
) -> None:
    await call("PUT", "/v1/canary", {"percent": 10})
    before, version = await routes(call), await call.version()
    viewer = call.with_token("viewer")
    status, said, _ = await viewer("POST", WHATIF, {**tried, "limit": 1000})
    assert (status, said["refusal"], said["version"]) == (200, None, version)
    assert await call.version() == version
    assert (await call(method, path, body))[0] == 200
    after = await routes(call)
    moved = {
        tenant: (before[tenant], after[tenant])
        for tenant in before
        # A tenant that nobody has named, and that made no requests, is not known.
        if before[tenant] != after[tenant] and (tenant != "late" or "late" in str(tried))
    }
    found = {m["tenant"]: (m["from_slot"], m["to_slot"]) for m in said["moves"]}
    assert found == moved
    assert (said["moving"], said["next"]) == (len(moved), None)
    requests = sum(figures.get(tenant, 0) for tenant in moved)
    assert said["moving_percent"] == pytest.approx(100 * requests / sum(figures.values()), abs=1e-3)
    table = (await call("GET", "/v1/routing"))[1]
    assert (said["active"], said["percent"]) == (table["active"], table["canary"]["percent"])


async def test_moves_are_paged_the_busiest_first(call: Client, figures: dict[str, int]) -> None:
    body: dict[str, Any] = {"cutover": {"to": "green"}, "limit": 25}
    found: list[dict[str, Any]] = []
    while True:
        page = (await call("POST", WHATIF, body))[1]
        found += page["moves"]
        if page["next"] is None:
            break
        body["cursor"] = page["next"]
    assert len({move["tenant"] for move in found}) == len(found) == page["moving"] == 59
    requests = [move["requests"] for move in found]
    assert requests == sorted(requests, reverse=True)


async def test_a_weight_by_traffic_is_set_and_explained(
    call: Client, figures: dict[str, int]
) -> None:
    status, said, _ = await call("PUT", "/v1/canary", {"percent": 30, "by": "traffic"})
    assert status == 200
    chosen, total = said["chosen"], sum(figures.values())
    canary = (await call("GET", "/v1/canary"))[1]
    assert canary["percent"] == chosen["percent"]
    drawn = {
        tenant: count
        for tenant, count in figures.items()
        if tenant not in {"t-0", "t-1"} and bucket(canary["salt"], tenant) < canary["percent"] * 100
    }
    share = 100 * sum(drawn.values()) / total
    assert chosen["share"] == pytest.approx(share, abs=1e-3)
    assert (chosen["tenants"], chosen["asked"]) == (len(drawn), 30)
    assert 30 - 100 * 50 / total < share <= 30
    assert chosen["explanation"].startswith("asked for 30 % of the last hour's traffic")
    rows = (await call("GET", "/v1/audit?action=canary"))[1]["items"]
    assert rows[0]["to"]["canary"]["percent"] == chosen["percent"]


async def test_an_answer_by_traffic_is_repeated_as_it_was(
    call: Client, figures: dict[str, int], shared: Shared
) -> None:
    key = {"Idempotency-Key": "raise"}
    body = {"percent": 30, "by": "traffic"}
    first = await call("PUT", "/v1/canary", body, headers=key)
    await told(shared, {"t-9": 10_000})
    again = await call("PUT", "/v1/canary", body, headers=key)
    assert first[1] == again[1]


async def test_what_is_not_known_is_said(
    call: Client, figures: dict[str, int], shared: Shared
) -> None:
    total = sum(figures.values())
    await told(shared, {OTHERS: total})
    said = (await call("POST", WHATIF, {"canary": {"percent": 50}}))[1]
    assert (said["others_percent"], said["moving_others_percent"]) == (50, 25)
    assert "it is not known whose it is" in said["explanation"]
    chosen = (await call("PUT", "/v1/canary", {"percent": 20, "by": "traffic"}))[1]["chosen"]
    assert chosen["others_percent"] == 50
    assert 0 < chosen["share"] <= 20


async def test_traffic_is_paged_the_busiest_first(call: Client, figures: dict[str, int]) -> None:
    first = (await call("GET", "/v1/traffic?limit=40"))[1]
    rest = (await call("GET", f"/v1/traffic?limit=40&cursor={first['next']}"))[1]
    assert rest["next"] is None
    items = first["items"] + rest["items"]
    assert {item["tenant"]: item["requests"] for item in items} == figures
    assert [i["requests"] for i in items] == sorted(figures.values(), reverse=True)
    assert sum(item["percent"] for item in items) == pytest.approx(100, abs=0.1)
    assert {i["slot"] for i in items if i["tenant"] == "t-0"} == {"green"}
    assert (first["tenants"], first["minutes"], first["others"]) == (60, 1, 0)


async def test_an_hour_is_an_hour(call: Client, shared: Shared) -> None:
    await told(shared, {"old": 5}, minutes_ago=61)
    await told(shared, {"acme": 1}, minutes_ago=57)
    await told(shared, {"acme": 2}, minutes_ago=1)
    found = (await call("GET", "/v1/traffic"))[1]
    assert [(item["tenant"], item["requests"]) for item in found["items"]] == [("acme", 3)]
    assert found["minutes"] == 2
    # The minute under way is read anew, those that are over are remembered.
    await told(shared, {"acme": 5, "bravo": 1})
    await told(shared, {"acme": 100}, minutes_ago=30)
    again = (await call("GET", "/v1/traffic"))[1]
    assert [(i["tenant"], i["requests"]) for i in again["items"]] == [("acme", 8), ("bravo", 1)]


async def test_what_would_be_refused_is_said_before(call: Client) -> None:
    await call("PUT", "/v1/slots/blue/endpoints", {"endpoints": ["127.0.0.1:1"]})
    said = (await call("POST", WHATIF, {"cutover": {"to": "green"}}))[1]
    assert said["refusal"].startswith("slot-empty: green has no endpoint")
    assert (said["requests"], said["explanation"]) == (
        0,
        "0 of 0 known tenants would move; there are no figures of traffic.",
    )


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"canary": {"percent": 5}, "cutover": {"to": "green"}},
        {"canary": {"percent": 101}},
        {"canary": {"percent": 5, "by": "luck"}},
        {"canary": {}},
        {"cutover": {"to": "red"}},
        {"cutover": {"to": "green", "tenants": []}},
        {"operations": []},
        {"operations": [{"op": "nonsense"}]},
        {"canary": {"percent": 5}, "limit": 0},
    ],
)
async def test_what_can_t_be_tried(call: Client, body: dict[str, Any]) -> None:
    is_problem(await call("POST", WHATIF, body), 400, "invalid-change")


async def test_without_traffic_there_is_no_weight_by_it(call: Client) -> None:
    body = {"canary": {"percent": 5, "by": "traffic"}}
    is_problem(await call("POST", WHATIF, body), 409, "no-traffic")
