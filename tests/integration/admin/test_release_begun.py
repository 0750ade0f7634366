"""What a release may begin from: pilots, pins and endpoints."""

import asyncio

from admin.hooks.model import Hook
from admin.releases.config import Settings
from tests.integration.admin.conftest import Client, Start, is_problem, published
from tests.integration.admin.test_releases import (
    BARE,
    RELEASES,
    begun,
    paused,
    table,
    trail,
    until,
    worker,
)

__all__ = ["worker"]
PILOTS = {"pilots": ["t-1", "t-2"], "dwell_s": 3600}


async def test_a_hotfix_may_have_the_pilots_of_the_release_that_it_overtakes(call: Client):
    name = await begun(call, plan=PILOTS)
    while "t-2" not in (await table(call))["pins"]:
        await asyncio.sleep(0.02)
    hotfix = await begun(call, "1.2.1", {**PILOTS, "dwell_s": 0}, hotfix=True)
    assert (await until(call, name, "rolled-back"))["fault"] == f"overtaken by {hotfix}"
    assert (await until(call, hotfix, "done"))["active"] == "blue"
    assert not (await table(call))["pins"]
    assert any(row["kind"] == "its-turn" for row in await trail(call, hotfix))


async def test_a_hotfix_may_not_have_pilots_that_somebody_else_has_pinned(call: Client):
    await call("PUT", "/v1/tenants/t-2/pin", {"slot": "blue"})
    await begun(call, plan={"pilots": ["t-1"], "dwell_s": 3600})
    asked = {"version": "1.2.1", "plan": {**BARE, **PILOTS}, "hotfix": True}
    refused = await call("POST", RELEASES, asked)
    is_problem(refused, 409, "release-refused")
    assert "t-2 is pinned already" in refused[1]["detail"]


async def test_a_slot_without_endpoints_is_left_to_the_hook_that_deploys(
    start: Start, call: Client
):
    await call("PUT", "/v1/slots/green/endpoints", {"endpoints": []})
    asked = {"version": "1.3.0", "plan": BARE}
    refused = await call("POST", RELEASES, asked)
    is_problem(refused, 409, "release-refused")
    assert "green has no endpoint" in refused[1]["detail"]
    hook = Hook("deploy", before="deploying", command=("/bin/true",))
    deploying: Client = await start(releasing=Settings(hooks=(hook,)))
    await published(deploying)
    status, release, _ = await deploying("POST", RELEASES, asked)
    assert status == 202, release
    # This hook registers none, so nobody is moved.
    assert "green has no endpoint" in (await paused(call, release["name"]))["reason"]
    assert (await table(call))["active"] == "blue"


async def test_nothing_is_deployed_to_a_slot_that_tenants_are_pinned_to(call: Client):
    for tenant in ("t-8", "t-9"):
        await call("PUT", f"/v1/tenants/{tenant}/pin", {"slot": "green"})
    asked = {"version": "1.3.0", "plan": BARE}
    refused = await call("POST", RELEASES, asked)
    is_problem(refused, 409, "release-refused")
    assert "2 tenants are pinned to green" in refused[1]["detail"]
    for tenant in ("t-8", "t-9"):
        await call("PUT", f"/v1/tenants/{tenant}/pin", {"slot": "blue"})
    await until(call, await begun(call), "done")


async def test_a_hotfix_is_not_deployed_to_where_tenants_stayed(call: Client):
    await call("PUT", "/v1/tenants/t-9/pin", {"slot": "blue"})
    name = await begun(call, plan={"window_s": 3600})
    await until(call, name, "stabilising")
    asked = {"version": "1.3.1", "plan": BARE, "hotfix": True}
    refused = await call("POST", RELEASES, asked)
    is_problem(refused, 409, "release-refused")
    assert "1 tenant is pinned to blue" in refused[1]["detail"]
    await call("DELETE", "/v1/tenants/t-9/pin")
    hotfix = await begun(call, "1.3.1", hotfix=True)
    assert (await until(call, hotfix, "done"))["standby"] == "blue"
