"""What the API does, over HTTP, with real stores and real followers."""

import pytest

from tests.integration.admin.conftest import published


async def test_a_fresh_installation_publishes_its_table_at_once(call):
    status, table, headers = await call("GET", "/v1/routing")
    assert (status, table["version"], table["published_version"]) == (200, 1, 1)
    # A new admin waits a moment before it takes an empty registry for an empty fleet.
    status, result, _ = await call("GET", "/v1/routing/changes/1?timeout_ms=5000")
    assert (status, result["converged"], result["acked"]) == (200, True, [])
    assert table["active"] == table["fallback"] == "blue"
    assert len(headers["X-Request-ID"]) == 32


async def test_a_change_is_answered_when_every_worker_serves_it(call, follow):
    workers = [await follow(f"w{number}") for number in range(4)]
    status, result, _ = await call("PUT", "/v1/tenants/acme/pin", {"slot": "green"})
    assert (status, result["converged"], result["pending"]) == (200, True, [])
    assert result["acked"] == ["w0", "w1", "w2", "w3"]
    assert 0 < result["ack_ms"] < 5000
    assert [worker.table.pins for worker in workers] == [{"acme": "green"}] * 4


async def test_without_workers_a_change_is_converged(call):
    status, result, _ = await call("PUT", "/v1/canary", {"percent": 5})
    assert (status, result["converged"], result["acked"]) == (200, True, [])


async def test_a_deaf_worker_is_named_until_it_acks(call, follow):
    await follow("w1")
    deaf = await follow("w2", deaf=True)
    status, result, _ = await call("PUT", "/v1/canary", {"percent": 5, "timeout_ms": 50})
    assert (status, result["converged"], result["ack_ms"]) == (202, False, None)
    path = f"/v1/routing/changes/{result['version']}"
    while result["acked"] != ["w1"]:  # who hears needs its time, too
        status, result, _ = await call("GET", path)
        assert (status, result["pending"][-1]) == (202, "w2")
    assert result["pending"] == ["w2"]
    deaf.listen()
    status, again, _ = await call("GET", f"{path}?timeout_ms=5000")
    assert (status, again["converged"], again["acked"]) == (200, True, ["w1", "w2"])


async def test_a_dead_worker_is_waited_for_until_its_lease_ends(start, follow):
    # It looks when the lease ends, not when the reconciler happens to.
    call = await start(reconcile_interval_s=3600.0)
    await published(call)
    dead = await follow("w1", lease_ms=400)
    await dead.freeze()
    status, result, _ = await call("PUT", "/v1/canary", {"percent": 5})
    assert (status, result["converged"], result["acked"]) == (200, True, [])
    assert result["ack_ms"] > 100
    workers = (await call("GET", "/v1/workers"))[1]["workers"]
    assert [(item["worker"], item["current"]) for item in workers] == [("w1", False)]
    assert workers[0]["lease_ms"] <= 0


async def test_a_worker_that_leaves_is_not_waited_for(call, follow):
    worker = await follow("w1", deaf=True)
    await worker.leave()
    status, result, _ = await call("PUT", "/v1/canary", {"percent": 5})
    assert (status, result["acked"], result["pending"]) == (200, [], [])


async def test_a_release_from_pilot_to_rollback(call, follow):
    worker = await follow()
    await call("PUT", "/v1/tenants/acme/pin", {"slot": "green"})
    assert (await call("PUT", "/v1/canary", {"percent": 25}))[0] == 200
    canary = (await call("GET", "/v1/canary"))[1]
    assert (canary["percent"], canary["standby"], canary["unit"]) == (25, "green", "tenant")
    status, result, _ = await call("POST", "/v1/cutover", {"to": "green"})
    assert (status, result["held_back"]) == (200, 0)
    assert (worker.table.active, worker.table.canary.basis_points) == ("green", 0)
    status, result, _ = await call("POST", "/v1/rollback")
    assert (status, result["held_back"], worker.table.active) == (200, 1, "blue")
    assert (await call("DELETE", "/v1/tenants/acme/pin"))[0] == 200
    assert worker.table.pins == {}


async def test_cutover_and_rollback_of_some_tenants_are_pins(call, follow):
    worker = await follow()
    body = {"to": "green", "tenants": ["a", "b"]}
    status, result, _ = await call("POST", "/v1/cutover", body)
    assert status == 200
    assert "held_back" not in result
    assert worker.table.pins == {"a": "green", "b": "green"}
    assert (await call("POST", "/v1/rollback", {"tenants": ["b"]}))[0] == 200
    assert worker.table.pins == {"a": "green", "b": "blue"}
    assert worker.table.active == "blue"


async def test_tenants_are_listed_page_by_page(call):
    operations = [{"op": "pin", "tenant": f"t{n:02}", "slot": "green"} for n in range(5)]
    operations += [{"op": "register", "tenant": "u1"}]
    assert (await call("POST", "/v1/routing/changes", {"operations": operations}))[0] == 200
    page = (await call("GET", "/v1/tenants?limit=4"))[1]
    assert [item["tenant"] for item in page["items"]] == ["t00", "t01", "t02", "t03"]
    rest = (await call("GET", f"/v1/tenants?limit=4&cursor={page['next']}"))[1]
    assert [item["tenant"] for item in rest["items"]] == ["t04", "u1"]
    assert rest["next"] is None
    assert rest["items"][1] == {
        "tenant": "u1",
        "pinned": None,
        "registered": True,
        "slot": "blue",
        "reason": "active",
    }
    blue = (await call("GET", "/v1/tenants?slot=blue"))[1]["items"]
    assert [item["tenant"] for item in blue] == ["u1"]
    prefixed = (await call("GET", "/v1/tenants?prefix=t0&limit=2"))[1]
    assert [item["tenant"] for item in prefixed["items"]] == ["t00", "t01"]
    # The page is full and it was the last that fits: no cursor leads to an empty page.
    assert (await call("GET", "/v1/tenants?prefix=u&limit=1"))[1]["next"] is None


async def test_registering_and_forgetting(call):
    assert (await call("PUT", "/v1/tenants/acme"))[0] == 200
    assert (await call("GET", "/v1/tenants"))[1]["items"][0]["registered"] is True
    assert (await call("DELETE", "/v1/tenants/acme"))[0] == 200
    assert (await call("GET", "/v1/tenants"))[1]["items"] == []


async def test_explain_says_why_and_what_a_change_would_do(call):
    status, told, _ = await call("GET", "/v1/tenants/acme/route?weight=100")
    assert (status, told["slot"], told["reason"], told["percent"]) == (200, "blue", "active", 0)
    assert told["proposed"] == {
        "slot": "green",
        "reason": "canary",
        "weight": 100,
        "active": "blue",
        "moves": True,
    }
    told = (await call("GET", "/v1/tenants/acme/route?active=green&pin=blue"))[1]
    assert told["proposed"]["reason"] == "pin"
    assert told["proposed"]["moves"] is False
    assert told["bucket"] in range(10_000)
    assert "acme" in told["explanation"]
    assert "proposed" not in (await call("GET", "/v1/tenants/acme/route"))[1]


async def test_endpoints_of_a_slot(call, follow):
    worker = await follow()
    body = {"endpoints": ["127.0.0.1:8000", "[::1]:8000"]}
    assert (await call("PUT", "/v1/slots/blue/endpoints", body))[0] == 200
    assert (await call("GET", "/v1/slots/blue/endpoints"))[1]["endpoints"] == body["endpoints"]
    assert [str(endpoint) for endpoint in worker.table.endpoints["blue"]] == body["endpoints"]
    status, problem, _ = await call("PUT", "/v1/slots/blue/endpoints", {"endpoints": []})
    assert (status, problem["code"]) == (409, "slot-in-use")
    forced = {"endpoints": [], "force": True}
    assert (await call("PUT", "/v1/slots/blue/endpoints", forced))[0] == 200
    assert (await call("PUT", "/v1/slots/green/endpoints", {"endpoints": []}))[0] == 200


async def test_ten_thousand_pins_are_one_version(call, follow):
    worker = await follow()
    before = await call.version()
    pins = [{"op": "pin", "tenant": f"tenant-{n}", "slot": "green"} for n in range(10_000)]
    status, result, _ = await call("POST", "/v1/routing/changes", {"operations": pins})
    assert (status, result["version"]) == (200, before + 1)
    assert len(worker.table.pins) == 10_000
    document = (await call("GET", "/v1/routing"))[1]
    assert len(document["pins"]) == 10_000
    item = (await call("GET", "/v1/audit?limit=1"))[1]["items"][0]
    assert (item["tenants_total"], len(item["tenants"]), len(item["to"]["pins"])) == (
        10_000,
        100,
        100,
    )


async def test_the_same_key_with_the_same_request_is_answered_again(call):
    headers = {"Idempotency-Key": "once"}
    first = await call("PUT", "/v1/tenants/acme/pin", {"slot": "green"}, headers=headers)
    again = await call("PUT", "/v1/tenants/acme/pin", {"slot": "green"}, headers=headers)
    assert first[:2] == again[:2]
    assert "Idempotency-Replayed" not in first[2]
    assert again[2]["Idempotency-Replayed"] == "true"
    status, problem, _ = await call(
        "PUT", "/v1/tenants/acme/pin", {"slot": "blue"}, headers=headers
    )
    assert (status, problem["code"]) == (422, "idempotency-key-reused")
    assert await call.version() == first[1]["version"]
    # The key is the caller's own: another may use the same.
    other = call.with_token("operator")
    status, result, _ = await other("PUT", "/v1/canary", {"percent": 1}, headers=headers)
    assert (status, result["version"]) == (200, first[1]["version"] + 1)


async def test_the_audit_trail_tells_all(call):
    await call("PUT", "/v1/tenants/acme/pin", {"slot": "green"})
    await call("PUT", "/v1/canary", {"percent": 1, "expected_version": 999})
    scoped = call.with_token("operator", ["other"])
    await scoped("PUT", "/v1/tenants/acme/pin", {"slot": "green"})
    viewer = call.with_token("viewer")
    status, _, headers = await viewer("PUT", "/v1/canary", {"percent": 1})
    assert status == 403
    page = (await call("GET", "/v1/audit?limit=3"))[1]
    rows = [(row["actor"], row["action"], row["outcome"], row["code"]) for row in page["items"]]
    assert rows == [
        ("a-viewer", "canary", "refused", "forbidden-role"),
        ("a-operator", "pin", "refused", "forbidden-scope"),
        ("tester", "canary", "refused", "version-conflict"),
    ]
    assert page["items"][0]["request_id"] == headers["X-Request-ID"]
    assert page["items"][1]["tenants"] == ["acme"]
    row = (await call("GET", f"/v1/audit?cursor={page['next']}&limit=1"))[1]["items"][0]
    assert (row["from"], row["to"]) == (
        {"version": 1, "pins": {"acme": None}},
        {"version": 2, "pins": {"acme": "green"}},
    )
    assert (row["action"], row["version"], row["tenants"]) == ("pin", 2, ["acme"])
    for query, count in (("actor=a-viewer", 1), ("action=pin", 2), ("tenant=acme", 2)):
        assert len((await call("GET", f"/v1/audit?{query}"))[1]["items"]) == count


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"])
async def test_what_is_open_needs_no_token(call, path):
    url = f"http://{call.address}{path}"
    async with call.session.get(url) as response:
        assert response.status == 200
        assert response.headers["X-Request-ID"]


async def test_metrics_count(call, follow):
    await follow()
    await call("PUT", "/v1/canary", {"percent": 1})
    await published(call)
    text = (await call("GET", "/metrics"))[1]
    for line in (
        'turnout_admin_requests_total{method="PUT",route="/v1/canary",status="200"} 1.0',
        'turnout_admin_changes_total{action="canary",converged="true"} 1.0',
        "turnout_admin_ack_ms_count 1.0",
        "turnout_admin_workers_live 1.0",
        "turnout_admin_published_version 2.0",
        "turnout_admin_desired_version 2.0",
        "turnout_admin_redis_reachable 1.0",
    ):
        assert line in text, line
