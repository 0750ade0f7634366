"""A ramp by traffic through the whole system, under load: nobody fails, nobody goes back and forth."""

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from proxy.routing.canary import bucket
from tests.e2e.conftest import System

TENANTS = 60
CLIENTS = 6
STEPS = [10, 40, 100]
RAMP = "/v1/canary/ramp"


async def ask(system: System, tenant: str) -> str:
    """One request of a tenant; the slot that answered."""
    headers = {"X-Tenant-ID": tenant}
    async with system.session.get(f"{system.about['proxy']}/", headers=headers) as answer:
        assert answer.status < 500, answer.status
        return answer.headers["X-Turnout-Slot"]


async def told(system: System, requests: int) -> dict[str, int]:
    """The last hour's traffic, once so many requests are in it."""
    while True:
        page = await system.get("/v1/traffic?limit=1000")
        assert page["others"] == 0
        if page["requests"] >= requests:
            return {item["tenant"]: item["requests"] for item in page["items"]}
        await asyncio.sleep(0.1)


async def until(system: System, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The ramp, once it is so."""
    while True:
        ramp: dict[str, Any] = await system.get(RAMP)
        if condition(ramp):
            return ramp
        await asyncio.sleep(0.02)


async def test_a_ramp_by_traffic_under_load(system: System, seeded_random: random.Random) -> None:
    wanted = {f"tenant-{n}": seeded_random.randint(1, 20) for n in range(TENANTS)}
    for tenant, requests in wanted.items():
        await asyncio.gather(*(ask(system, tenant) for _ in range(requests)))
    figures = await told(system, sum(wanted.values()))
    assert {tenant: figures[tenant] for tenant in wanted} == wanted
    seen: defaultdict[str, list[str]] = defaultdict(list)
    over = asyncio.Event()

    async def client(own: list[str]) -> None:
        while not over.is_set():
            for tenant in own:
                seen[tenant].append(await ask(system, tenant))

    body = {"steps": STEPS, "dwell_s": [1.0], "by": "traffic"}
    async with system.session.post(system.about["admin"] + RAMP, json=body) as answer:
        assert answer.status == 202, await answer.text()
    await until(system, lambda ramp: ramp["weight"] is not None)
    async with asyncio.TaskGroup() as clients:
        for number in range(CLIENTS):
            clients.create_task(client(list(wanted)[number::CLIENTS]))
        ramp = await until(system, lambda ramp: bool(ramp["state"] == "done"))
        over.set()
    assert ramp["outcome"] == "arrived"
    for tenant, slots in seen.items():
        first = slots.index("green") if "green" in slots else len(slots)
        assert set(slots[first:]) <= {"green"}, (tenant, slots)
    assert {await ask(system, tenant) for tenant in wanted} == {"green"}
    rows = (await system.get("/v1/audit?action=ramp-step"))["items"]
    weights = [row["to"]["canary"]["percent"] for row in reversed(rows)]
    assert weights == sorted(weights)
    assert weights[-1] == 100
    # Of the other steps the figures have grown by the load meanwhile.
    drawn = Counter({t: n for t, n in figures.items() if bucket("turnout", t) < weights[0] * 100})
    assert drawn.total() <= 0.1 * sum(figures.values())
