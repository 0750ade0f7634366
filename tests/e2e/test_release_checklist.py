"""A major release with the whole checklist, unattended, on real parts: all that is measured, all that is
signed, the hooks around it; and what keeps it where it is.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from admin.bootstrap import running
from admin.embedded import EmbeddedPostgres
from admin.gates.config import Checks, Gates, Performance, WarmUp
from admin.hooks.model import Hook
from admin.releases.config import Settings as Releasing
from config import Shared
from tests.e2e.test_releases import CENSUS, Plant, loading
from tests.integration.admin.conftest import Client, published
from tests.integration.gates.test_gates_schema import COLUMN, TABLE, migrated
from tests.support.fleet import settings, start_fleet
from tests.support.migrations import ledger, of_tenants
from tests.support.planes import ADMIN
from tests.support.print_erp import starter
from tests.support.processes import Children
from tests.support.servers import empty_database

EXAMPLES = Path(__file__).parents[2] / "config" / "releases"
KNOWN = of_tenants(2)
"""Tenants that the routing and the ledger know."""
UPDATE = """
import json, sys, urllib.request
told = json.load(sys.stdin)
where = json.load(open({where!r}))
request = urllib.request.Request(
    "http://%s/v1/slots/%s/endpoints" % (where["admin"], told["active"]),
    json.dumps({{"endpoints": [where["updated"]]}}).encode(), method="PUT",
    headers={{"Authorization": "Bearer " + where["token"], "Content-Type": "application/json"}},
)
urllib.request.urlopen(request).read()
print("%s runs %s" % (told["active"], told["version"]))
"""


@dataclass
class Site:
    """The plant, and the file of smoke tests that is not there yet."""

    plant: Plant
    smoke: Path

    async def begin(self) -> str:
        return await self.plant.release(checklist=["*"], gates=["health", "schema"], window_s=5)


@pytest.fixture
def there(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    with empty_database(postgres_server) as url:
        yield url


def releasing(folder: Path) -> Releasing:
    def hook(name: str, script: str, before: str = "", after: str = "") -> Hook:
        command = (sys.executable, "-c", script)
        return Hook(name, before, after, command=command, timeout_s=30.0)

    gates = Gates(
        smoke=Checks(str(folder / "smoke.toml")),
        integration=Checks(str(EXAMPLES / "integration.toml")),
        warm_up=WarmUp(str(EXAMPLES / "warmup.toml"), requests=500, settle_within_percent=1000.0),
        # Two slots on one busy machine: that both are compared is the subject, not the ratio.
        performance=Performance(rounds=10, least_rounds=10, fail_above=100.0, warn_above=100.0),
    )
    hooks = (
        hook("deploy", "print('deployed')", before="deploying"),
        hook("update", UPDATE.format(where=str(folder / "where.json")), before="finalising"),
        hook("snapshot", "print('snapshot-of-1.3.0')", after="finalising"),
    )
    return Releasing(gates_s=1.0, gates=gates, hooks=hooks, signers={"qa": ("tester",)})


@pytest.fixture
async def site(
    spawn: Children, tmp_path: Path, redis_url: str, database_url: str, there: str
) -> AsyncIterator[Site]:
    shared = Shared(redis_url, "checklist", database_url, "a routing key of tests, long enough")
    async with AsyncExitStack() as stack:
        start = await stack.enter_async_context(starter(spawn, database_url, tmp_path))
        blue, green = await asyncio.gather(start("blue", "1.2.0"), start("green", "1.3.0"))
        updated = await start("blue", "1.3.0")
        address = await stack.enter_async_context(running(shared, ADMIN, None, releasing(tmp_path)))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        call = Client(session, address)
        await published(call)
        book = await stack.enter_async_context(ledger(database_url, there))
        await book.schemas(KNOWN)
        await migrated(book, (TABLE,), KNOWN)
        await migrated(book, (TABLE, COLUMN), KNOWN)
        where = {"admin": address, "token": call.token, "updated": updated.ready["address"]}
        (tmp_path / "where.json").write_text(json.dumps(where))
        mine = settings(tmp_path, redis_url, workers=2, node="test", census=CENSUS)
        fleet = await start_fleet(spawn, replace(mine, shared=msgspec.structs.asdict(shared)))
        await fleet.serving()
        for slot, erp, version in (("blue", blue, "1.2.0"), ("green", green, "1.3.0")):
            endpoints = {"endpoints": [erp.ready["address"]]}
            assert (await call("PUT", f"/v1/slots/{slot}/endpoints", endpoints))[0] == 200
            assert (await call("PUT", f"/v1/slots/{slot}/version", {"version": version}))[0] == 200
        for tenant in KNOWN:
            assert (await call("PUT", f"/v1/tenants/{tenant.name}", {}))[0] in {200, 201}
        clients = await stack.enter_async_context(aiohttp.ClientSession())
        plant = Plant(call, fleet, blue, green, clients, await loading(spawn, fleet))
        task = asyncio.create_task(plant.read())
        yield Site(plant, tmp_path / "smoke.toml")
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def sign(plant: Plant, name: str, item: str, *, note: str = "", approve: bool = True) -> None:
    body = {"item": item, "approve": approve, "note": note}
    status, answer, _ = await plant.call("POST", f"/v1/releases/{name}/sign", body)
    assert status == 200, answer


async def unattended(plant: Plant, name: str, *, but: str = "") -> dict[str, Any]:
    """Sign what is due, until it has ended, or lacks nothing but this; the release."""
    while True:
        release = (await plant.call("GET", f"/v1/releases/{name}"))[1]
        if release["ended_at"] or (but and release["missing"] == [but]):
            return dict(release)
        assert not release["paused"], release
        for gate in release["gates"]:
            is_due = gate["phase"] <= release["phase"] and gate["outcome"] == "awaited"
            if not gate["automatic"] and is_due and not but.startswith(gate["item"]):
                await sign(plant, name, gate["item"])
        await asyncio.sleep(0.1)


@pytest.mark.timeout(400)
async def test_the_whole_checklist_unattended(site: Site) -> None:
    plant = site.plant
    # What failed, what could not be measured and what nobody signed keep it in its first phase.
    kept = await site.begin()
    found = await plant.until(kept, "planned")
    while any("not measured yet" in each for each in found["missing"]):
        await asyncio.sleep(0.1)
        found = await plant.until(kept, "planned")
    lacks = found["missing"]
    assert "rollback-plan: drill: failed (no drill was ever done: `turnout release drill`)" in lacks
    assert any(each.startswith("smoke-ready: unmeasured") for each in lacks)
    assert "code-review: developer has not signed" in lacks
    assert (found["go"], found["phase"]) == (False, 1)
    assert {gate["item"] for gate in found["gates"]} >= {"qa", "switched", "same-version"}
    await plant.call("POST", f"/v1/releases/{kept}/abort", {})
    await plant.until(kept, "aborted")

    status, drill, _ = await plant.call("POST", "/v1/drills", {"window_s": 1})
    assert status == 202, drill
    await plant.until(drill["name"], "rolled-back")

    site.smoke.write_text((EXAMPLES / "smoke.toml").read_text())
    name = await site.begin()
    release = await unattended(plant, name, but="qa has not signed")
    assert release["state"] == "validating"
    await sign(plant, name, "qa", note="invoices are wrong", approve=False)
    release = await unattended(plant, name, but="qa refuses (invoices are wrong)")
    assert release["state"] == "validating"
    await sign(plant, name, "qa", note="they are right")
    release = await unattended(plant, name)
    assert (release["state"], release["reason"]) == ("done", ""), release
    outcomes = {gate["item"]: gate["outcome"] for gate in release["gates"]}
    assert {item for item, outcome in outcomes.items() if outcome == "not-applicable"} == {
        "database"
    }
    assert set(outcomes.values()) <= {"passed", "warned", "signed", "not-applicable"}, outcomes
    assert (outcomes["window"], outcomes["same-version"]) == ("warned", "passed")
    await is_settled(plant, name)
    assert {seen.status for seen in plant.seen} == {200}
    print(f"{len(outcomes)} items, {len(plant.seen)} requests, none failed")


async def is_settled(plant: Plant, name: str) -> None:
    """The report says what was run, what it went on by, and who has which version now."""
    report = (await plant.call("GET", f"/v1/releases/{name}/report"))[1]
    said = {each["effect"].split("-", 2)[-1]: each["said"].strip() for each in report["hooks"]}
    assert said["update"].endswith("blue runs 1.3.0")
    assert said["snapshot"].endswith("snapshot-of-1.3.0")
    assert report["roles"] == {
        "active": "green",
        "standby": "blue",
        "versions": {"blue": "1.3.0", "green": "1.3.0"},
    }
    went_on = [row for row in report["events"] if row["body"].get("go")]
    assert [row["kind"] for row in went_on] == [
        *("start", "deployed", "validated", "cut-over", "stable", "finalised"),
    ]
    items = [each["item"] for row in went_on for each in row["body"]["go"]]
    assert sorted(items) == sorted(gate["item"] for gate in report["release"]["gates"])
    page = (await plant.call("GET", f"/v1/releases/{name}/report.html"))[1]
    assert "snapshot-of-1.3.0" in page
    assert "Active: green (1.3.0); standby: blue (1.3.0)" in page
