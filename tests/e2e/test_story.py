"""The release manager's day: pilot, canary, cutover, rollback, under continuous traffic."""

import pytest

from proxy.routing.model import Slot
from tests.e2e.conftest import System
from tests.support.traffic import Traffic, expected_slot, misrouted

TENANTS = [f"tenant-{number:02}" for number in range(40)]
PILOT = TENANTS[7]


@pytest.mark.timeout(240)
async def test_pin_canary_cutover_rollback_unpin_without_a_failed_or_misrouted_request(
    system: System,
):
    assert (await system.table()).active is Slot.BLUE
    async with Traffic(system.about["proxy"], TENANTS) as traffic:
        await traffic.more(20)

        await system.change("PUT", f"/v1/tenants/{PILOT}/pin", {"slot": "green"})
        await traffic.more(20)
        explained = await system.get(f"/v1/tenants/{PILOT}/route")
        assert (explained["slot"], explained["reason"]) == ("green", "pin")

        await system.change("PUT", "/v1/canary", {"percent": 25, "unit": "tenant"})
        await traffic.more(20)
        in_canary = [t for t in TENANTS if expected_slot(system.changes[-1].table, t) == "green"]
        assert 4 <= len(in_canary) <= 20, in_canary

        await system.change("POST", "/v1/cutover", {"to": "green", "mode": "instant"})
        await traffic.more(20)
        await system.change("POST", "/v1/rollback", {})
        await traffic.more(20)
        await system.change("DELETE", f"/v1/tenants/{PILOT}/pin")
        await traffic.more(20)

    assert traffic.failures() == []
    assert misrouted(traffic.seen, system.changes) == []
    met = {seen.slots for seen in traffic.seen}
    assert met == {frozenset({"blue"}), frozenset({"green"})}
    assert {expected_slot(system.changes[-1].table, tenant) for tenant in TENANTS} == {"blue"}
    actions = [row["action"] for row in (await system.get("/v1/audit?limit=20"))["items"]]
    assert len(actions) >= 5


@pytest.mark.timeout(240)
async def test_a_hundred_switches_under_load(system: System):
    """Fast switches make the window between ack and use visible, if there is one."""
    async with Traffic(
        system.about["proxy"], TENANTS, http_clients=24, socket_clients=2, stream_clients=2
    ) as traffic:
        await traffic.more(5)
        for number in range(100):
            await system.change("POST", "/v1/cutover", {"to": ("green", "blue")[number % 2]})
            await traffic.more(10, kinds=["http"])
    assert traffic.failures() == []
    assert misrouted(traffic.seen, system.changes) == []
    print(f"{len(traffic.seen)} requests, 100 switches")
