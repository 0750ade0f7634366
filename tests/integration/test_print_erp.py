"""The example ERP as the proxy will see it: real processes, a real database, both versions on it."""

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import asyncpg
import pytest

from admin.embedded import EmbeddedPostgres, EmbeddedRedis
from examples.print_erp.migrate import SchemaError, migrate, steps
from tests.support.print_erp import Erp, Starter, starter
from tests.support.processes import Children


@pytest.fixture
async def start(spawn: Children, database_url: str, tmp_path: Path) -> AsyncIterator[Starter]:
    async with starter(spawn, database_url, tmp_path) as started:
        yield started


@pytest.fixture
async def pair(start: Starter) -> tuple[Erp, Erp]:
    """Blue 1.2.0 and green 1.3.0, started at once on one empty database."""
    blue, green = await asyncio.gather(start("blue", "1.2.0"), start("green", "1.3.0"))
    return blue, green


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def test_both_versions_serve_one_database(pair: tuple[Erp, Erp]) -> None:
    blue, green = pair
    job = await green.made("/api/jobs", title="Flyers", quantity=500, priority=2)
    assert job["priority"] == 2
    status, seen, headers = await blue.ask(
        "PATCH", f"/api/jobs/{job['id']}", json={"quantity": 700}
    )
    assert (status, seen["quantity"], "priority" in seen) == (200, 700, False)
    assert (headers["X-ERP-Slot"], headers["X-ERP-Version"]) == ("blue", "1.2.0")
    assert seen["served_by"] == {key: blue.ready[key] for key in ("slot", "version", "instance")}
    _, again, _ = await green.ask("GET", f"/api/jobs/{job['id']}")
    assert (again["quantity"], again["priority"]) == (700, 2)
    old = await blue.made("/api/jobs", title="Posters", priority=1)
    assert (await green.ask("GET", f"/api/jobs/{old['id']}"))[1]["priority"] == 5
    one = await blue.made("/api/customers", name="Ada", email="ada@example.org")
    two = await green.made("/api/customers", name="Bob", preferences={"paper": "matt"})
    _, listed, _ = await green.ask("GET", "/api/customers")
    assert [(c["id"], c["preferences"]) for c in listed["items"]] == [
        (two["id"], {"paper": "matt"}),
        (one["id"], {}),
    ]
    assert "preferences" not in (await blue.ask("GET", f"/api/customers/{two['id']}"))[1]


async def test_a_running_1_2_0_does_not_notice_that_1_3_0_expands_the_schema(
    start: Starter, database_url: str
) -> None:
    blue = await start("blue", "1.2.0", "--database-connections", "1")
    job = await blue.made("/api/jobs", title="Before")
    path = f"/api/jobs/{job['id']}"
    _, seen, _ = await blue.ask("GET", path)  # its statement is prepared now
    async with connected(database_url) as connection:
        before = "SELECT count(*) FROM erp_schema WHERE version = '1.3.0'"
        assert await connection.fetchval(before) == 0
    assert await migrate(database_url, (1, 3, 0), "test") == len(steps((1, 3, 0))) - len(
        steps((1, 2, 0))
    )
    assert (await blue.ask("GET", path))[:2] == (200, seen)
    assert (await blue.made("/api/jobs", title="After"))["title"] == "After"


async def test_many_starts_at_once_apply_each_schema_file_once(database_url: str) -> None:
    applied = await asyncio.gather(*(migrate(database_url, (1, 3, 0), f"i{n}") for n in range(8)))
    assert sum(applied) == len(steps((1, 3, 0)))
    async with connected(database_url) as connection:
        await connection.execute("UPDATE erp_schema SET checksum = 'other' WHERE number = 2")
    with pytest.raises(SchemaError, match="002 changed"):
        await migrate(database_url, (1, 3, 0), "late")


async def test_jobs_and_orders_are_created_listed_changed_and_deleted(
    pair: tuple[Erp, Erp],
) -> None:
    blue, green = pair
    ids = [(await blue.made("/api/jobs", title=f"Job {n}"))["id"] for n in range(5)]
    await blue.ask("PATCH", f"/api/jobs/{ids[1]}", json={"status": "done"})
    _, done, _ = await green.ask("GET", "/api/jobs?status=done")
    assert [job["id"] for job in done["items"]] == [ids[1]]
    seen, path = [], "/api/jobs?limit=2"
    while path:
        _, page, _ = await green.ask("GET", path)
        seen += [job["id"] for job in page["items"]]
        path = f"/api/jobs?limit=2&cursor={page['next']}" if page["next"] else ""
    assert sorted(seen) == sorted(ids)
    order = await blue.made("/api/orders", total_cents=4200, job_id=ids[0])
    assert (await blue.ask("DELETE", f"/api/jobs/{ids[0]}"))[0] == 409
    assert (await blue.ask("DELETE", f"/api/jobs/{ids[2]}"))[0] == 204
    assert (await green.ask("GET", f"/api/jobs/{ids[2]}"))[0] == 404
    _, orders, _ = await green.ask("GET", "/api/orders")
    assert [(o["id"], o["total_cents"], o["paid_cents"]) for o in orders["items"]] == [
        (order["id"], 4200, 0)
    ]


async def test_twenty_payments_at_once_with_one_key_are_one_payment(
    pair: tuple[Erp, Erp], database_url: str
) -> None:
    blue, green = pair
    order = await blue.made("/api/orders", total_cents=1000)
    path, body = f"/api/orders/{order['id']}/payments", {"amount_cents": 1000, "currency": "EUR"}
    key = {"Idempotency-Key": "pay-1"}
    both = [erp.ask("POST", path, json=body, headers=key) for erp in (blue, green) * 10]
    answers = await asyncio.gather(*both)
    assert [status for status, _, _ in answers] == [201] * 20
    assert len({json.dumps(document) for _, document, _ in answers}) == 1
    assert sum("Idempotency-Replayed" not in headers for *_, headers in answers) == 1
    async with connected(database_url) as connection:
        assert await connection.fetchval("SELECT count(*) FROM payments") == 1
    other = {**body, "amount_cents": 999}
    assert (await green.ask("POST", path, json=other, headers=key))[0] == 422
    assert (await green.ask("POST", path, json=body))[0] == 400
    _, paid, _ = await green.ask("GET", path)
    assert [payment["amount_cents"] for payment in paid["items"]] == [1000]
    assert (await green.ask("GET", f"/api/orders/{order['id']}"))[1]["paid_cents"] == 1000
    status, _, _ = await blue.ask("POST", path, json=body, headers=key, tenant="globex")
    assert status == 404


async def test_tenants_do_not_see_each_other(pair: tuple[Erp, Erp]) -> None:
    blue, green = pair
    job = await blue.made("/api/jobs", title="Secret")
    order = await blue.made("/api/orders", total_cents=1)
    customer = await blue.made("/api/customers", name="Ada")
    started = await blue.made(f"/api/jobs/{job['id']}/print", pages=1, seconds=0.05)
    await blue.ask("PUT", "/api/files/plan.pdf", data=b"secret")
    for path in (
        f"/api/jobs/{job['id']}",
        f"/api/orders/{order['id']}",
        f"/api/orders/{order['id']}/payments",
        f"/api/customers/{customer['id']}",
        f"/api/prints/{started['id']}",
        "/api/files/plan.pdf",
    ):
        assert (await green.ask("GET", path))[0] == 200
        assert (await green.ask("GET", path, tenant="globex"))[0] == 404
    for path in ("/api/jobs", "/api/orders", "/api/customers", "/api/equipment"):
        assert (await green.ask("GET", path, tenant="globex"))[1]["items"] == []
    status, _, _ = await blue.ask("DELETE", f"/api/jobs/{job['id']}", tenant="globex")
    assert status == 404
    theirs = {"total_cents": 1, "job_id": job["id"]}
    assert (await blue.ask("POST", "/api/orders", json=theirs, tenant="globex"))[0] == 409


async def test_a_tenant_is_required_and_bad_input_is_a_problem(start: Starter) -> None:
    erp = await start("blue", "1.3.0")
    for tenant in (None, "Not Valid", "a" * 64):
        status, problem, headers = await erp.ask("GET", "/api/jobs", tenant=tenant)
        assert (status, problem["code"]) == (400, "no-tenant")
        assert headers["Content-Type"].startswith("application/problem+json")
    bad = (
        ("POST", "/api/jobs", b"{", 400),
        ("POST", "/api/jobs", b'{"title": ""}', 400),
        ("POST", "/api/jobs", b'{"title": "a\\u0000"}', 400),
        ("POST", "/api/jobs", b'{"title": "' + b"a" * (1 << 20) + b'"}', 413),
        ("POST", "/api/orders", b'{"total_cents": -1}', 400),
        ("GET", "/api/jobs?limit=0", None, 400),
        ("GET", "/api/jobs?limit=501", None, 400),
        ("GET", "/api/jobs?cursor=x", None, 400),
        ("GET", "/api/jobs?status=lost", None, 400),
        ("GET", "/api/jobs/x", None, 404),
        ("GET", "/api/slow?ms=60001", None, 400),
        ("GET", "/api/bytes?n=268435457", None, 400),
        ("GET", "/api/status/99", None, 400),
        ("PUT", "/api/files/..%2Fplan", b"x", 400),
        ("PUT", "/api/files/.hidden", b"x", 400),
        ("GET", "/events?interval_ms=9", None, 400),
        ("GET", "/ws/dashboard", None, 400),
        ("PUT", "/api/jobs", b"", 405),
        ("GET", "/nowhere", None, 404),
        ("POST", "/_faults", b"{}", 404),
    )
    for method, path, data, expected in bad:
        status, problem, headers = await erp.ask(method, path, data=data)
        assert (method, path, status) == (method, path, expected)
        assert (problem["status"], headers["X-ERP-Slot"]) == (expected, "blue"), path


async def test_health_checks_database_and_cache(
    start: Starter, fresh_redis: EmbeddedRedis, fresh_postgres: EmbeddedPostgres
) -> None:
    urls = {"ERP_REDIS_URL": fresh_redis.url, "ERP_DATABASE_URL": fresh_postgres.url}
    erp = await start("green", "1.3.0", **urls)
    status, health, _ = await erp.ask("GET", "/health", tenant=None)
    told = {key: health[key] for key in ("status", "environment", "version", "database", "cache")}
    assert (status, told) == (
        200,
        {
            "status": "healthy",
            "environment": "green",
            "version": "1.3.0",
            "database": "ok",
            "cache": "ok",
        },
    )
    assert health["timestamp"].endswith("Z")
    fresh_redis.stop()
    status, health, _ = await erp.ask("GET", "/health", tenant=None)
    assert (status, health["status"], health["cache"]) == (200, "degraded", "unreachable")
    fresh_postgres.stop()
    status, health, _ = await erp.ask("GET", "/health", tenant=None)
    assert (status, health["status"], health["database"]) == (503, "unhealthy", "unreachable")
    assert (await erp.ask("GET", "/api/jobs"))[0] == 503
    fresh_redis.start()
    fresh_postgres.start()
    status, health, _ = await erp.ask("GET", "/health", tenant=None)
    assert (status, health["status"]) == (200, "healthy")


async def test_a_print_runs_in_its_instance_and_is_seen_from_the_other(
    pair: tuple[Erp, Erp],
) -> None:
    blue, green = pair
    job = await blue.made("/api/jobs", title="Books")
    path, body = f"/api/jobs/{job['id']}/print", {"pages": 20, "seconds": 1}
    status, begun, headers = await blue.ask("POST", path, json=body)
    location = f"/api/prints/{begun['id']}"
    assert (status, headers["Location"], headers["X-Job-Id"]) == (202, location, begun["id"])
    _, running, _ = await green.ask("GET", location)
    assert (running["state"], running["slot"], running["version"]) == ("running", "blue", "1.2.0")
    assert (await green.ask("GET", f"/api/jobs/{job['id']}"))[1]["status"] == "printing"
    ends = await asyncio.gather(
        green.ask("GET", f"{location}/wait"), blue.ask("GET", f"{location}/wait")
    )
    for _, ended, _ in ends:
        assert (ended["state"], ended["pages_done"], ended["progress"]) == ("done", 20, 100.0)
    assert (await green.ask("GET", f"/api/jobs/{job['id']}"))[1]["status"] == "done"
    _, late, _ = await blue.ask("POST", path, json={"pages": 1, "seconds": 30})
    _, early, _ = await blue.ask("GET", f"/api/prints/{late['id']}/wait?timeout_ms=10")
    assert early["state"] == "running"
    assert (await blue.ask("POST", path, json={"pages": 1, "seconds": 601}))[0] == 400


async def test_the_dashboard_sends_a_snapshot_updates_and_pongs(pair: tuple[Erp, Erp]) -> None:
    for erp, slot in zip(pair, ("blue", "green"), strict=True):
        async with erp.socket("/ws/dashboard") as socket:
            first = await socket.receive_json()
            assert (first["type"], first["slot"]) == ("snapshot", slot)
            assert ("waiting_by_priority" in first) == (slot == "green")
            await erp.made("/api/jobs", title="Seen")
            await socket.send_str("ping")
            assert await socket.receive_str() == "pong"
            update = await socket.receive_json()
            assert (update["type"], update["seq"]) == ("update", 1)
            assert update["jobs"]["queued"] == first["jobs"].get("queued", 0) + 1


async def test_a_printer_is_acknowledged_counted_and_listed(pair: tuple[Erp, Erp]) -> None:
    blue, green = pair
    async with blue.socket("/ws/equipment/heidelberg-1") as old:
        await old.send_json({"counter": 41, "state": "printing"})
        assert (await old.receive_json())["ack"] == 41
        await old.send_str("nonsense")
        assert "error" in await old.receive_json()
        _, health, _ = await blue.ask("GET", "/health", tenant=None)
        assert health["equipment"] == {"connected": 1}
        async with green.socket("/ws/equipment/heidelberg-1") as new:
            await new.send_json({"counter": 42, "state": "idle"})
            assert (await new.receive_json())["ack"] == 42
            await old.send_json({"counter": 40})  # a late one lowers nothing
            assert (await old.receive_json())["ack"] == 40
            await old.close()
            _, seen, _ = await blue.ask("GET", "/api/equipment")
            assert [(p["printer_id"], p["counter"], p["slot"]) for p in seen["items"]] == [
                ("heidelberg-1", 42, "green")
            ]

    async def nobody() -> bool:
        return not (await blue.ask("GET", "/api/equipment"))[1]["items"]

    await green.child.until(nobody, "forgot the printer that left")


async def _events(erp: Erp, query: str, **headers: str) -> list[tuple[int, str]]:
    url = f"{erp.url}/events?{query}"
    async with erp.client.get(url, headers={"X-Tenant-ID": "acme", **headers}) as stream:
        assert stream.content_type == "text/event-stream"
        text = await stream.text()
    blocks = [block.split("\n") for block in text.strip().split("\n\n")[1:]]
    data = [json.loads(block[2].removeprefix("data: ")) for block in blocks]
    assert [block[0] for block in blocks] == [f"id: {event['id']}" for event in data]
    return [(event["id"], event["slot"]) for event in data]


async def test_events_go_on_where_the_other_slot_left_off(pair: tuple[Erp, Erp]) -> None:
    blue, green = pair
    assert await _events(blue, "interval_ms=10&count=3") == [(n, "blue") for n in (1, 2, 3)]
    again = await _events(green, "interval_ms=10&count=2", **{"Last-Event-ID": "3"})
    assert again == [(4, "green"), (5, "green")]


async def test_a_file_put_in_one_slot_is_read_in_the_other(pair: tuple[Erp, Erp]) -> None:
    blue, green = pair
    data, url = os.urandom(3_000_001), f"{green.url}/api/files/plate.bin"
    status, put, _ = await blue.ask("PUT", "/api/files/plate.bin", data=data)
    assert (status, put["size"]) == (201, len(data))
    assert put["sha256"] == hashlib.sha256(data).hexdigest()
    mine = {"X-Tenant-ID": "acme"}
    async with green.client.get(url, headers=mine) as got:
        assert (got.content_length, await got.read()) == (len(data), data)
    async with green.client.get(url, headers={**mine, "Range": "bytes=10-19"}) as got:
        assert (got.status, await got.read()) == (206, data[10:20])
        assert got.headers["X-ERP-Slot"] == "green"
    assert (await blue.ask("PUT", "/api/files/plate.bin", data=b"new"))[0] == 200
    assert (await green.ask("DELETE", "/api/files/plate.bin"))[0] == 204
    assert (await blue.ask("GET", "/api/files/plate.bin"))[0] == 404


async def _pieces(total: int) -> AsyncIterator[bytes]:
    for _ in range(total >> 20):
        yield bytes(1 << 20)
    yield b"x"


async def test_a_file_over_the_bound_leaves_nothing_behind(start: Starter, tmp_path: Path) -> None:
    erp = await start("blue", "1.2.0")
    try:
        status, _, _ = await erp.ask("PUT", "/api/files/big", data=_pieces(64 << 20))
    except aiohttp.ClientConnectionError:
        status = 413  # it was refused while the rest was still being sent
    assert status == 413
    assert list((tmp_path / "files" / "acme").iterdir()) == []


async def test_probes_tell_what_arrived(pair: tuple[Erp, Erp]) -> None:
    blue, _ = pair
    _, echoed, _ = await blue.ask("POST", "/api/echo?a=%20b", data=b"body", headers={"X-A": "1"})
    assert (echoed["method"], echoed["path"]) == ("POST", "/api/echo?a=%20b")
    assert ["X-A", "1"] in echoed["headers"]
    assert echoed["body"] == {"length": 4, "sha256": hashlib.sha256(b"body").hexdigest()}
    for query in ("n=200001", "n=200001&chunked=1"):
        url = f"{blue.url}/api/bytes?{query}"
        async with blue.client.get(url, headers={"X-Tenant-ID": "acme"}) as got:
            assert await got.read() == (bytes(range(256)) * 800)[:200_001]
            assert (got.headers.get("Transfer-Encoding") == "chunked") == ("chunked" in query)
    assert (await blue.ask("GET", "/api/slow?ms=20"))[1]["slept_ms"] == 20
    for code in (200, 204, 418, 503, 599):
        assert (await blue.ask("GET", f"/api/status/{code}"))[0] == code
    async with blue.client.get(f"{blue.url}/", headers={"X-Tenant-ID": "acme"}) as got:
        assert 'data-slot="blue"' in await got.text()


async def test_every_request_is_counted_and_logged(start: Starter) -> None:
    erp = await start("blue", "1.2.0")
    for number in range(3):
        await erp.ask("GET", "/api/jobs", headers={"X-Request-ID": f"r{number}"})
    await erp.ask("GET", "/nowhere", tenant="globex")
    await erp.ask("GET", "/api/jobs", tenant=None)
    await erp.ask("GET", "/health", tenant=None)
    _, totals, _ = await erp.ask("GET", "/_requests", tenant=None)
    assert totals["by_tenant"] == {"acme": 3, "globex": 1, "(none)": 1}
    assert (totals["total"], totals["probes"]) == (5, 2)
    _, log, _ = await erp.ask("GET", "/_requests/log?since=1&limit=2", tenant=None)
    assert [(entry["request_id"], entry["tenant"]) for entry in log["items"]] == [
        ("r1", "acme"),
        ("r2", "acme"),
    ]
    later = f"/_requests/log?since_ns={log['items'][1]['t_monotonic_ns'] + 1}"
    assert [e["seq"] for e in (await erp.ask("GET", later))[1]["items"]] == [4, 5]
