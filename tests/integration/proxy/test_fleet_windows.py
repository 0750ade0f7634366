"""Windows of real fleets: what was asked of each slot and cohort, no more and no less."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from redis.asyncio import Redis

from admin.embedded import EmbeddedRedis
from admin.monitor.reading import Windows
from admin.routing.publish import open_redis
from config import Shared
from proxy.routing.change import Pin, SetCanary
from proxy.routing.keys import Keys
from proxy.routing.model import Slot
from proxy.routing.windows import Group, Total, add_up
from redis_access import Access
from tests.integration.proxy.conftest import serving_fleet
from tests.support.clients import connect, reset
from tests.support.endpoint import Endpoints
from tests.support.fleet import Fleet, FleetOf, Routing, routing_at, settings
from tests.support.processes import Children

WHERE: dict[str, Group] = {
    "": (Slot.BLUE, "rest"),
    "other": (Slot.BLUE, "rest"),
    "kept": (Slot.BLUE, "pilot"),
    "pilot": (Slot.GREEN, "pilot"),
    "drawn": (Slot.GREEN, "canary"),
}
"""Who is served where, by the table below."""
STATUSES = (200, 204, 302, 404, 500, 503)
Outcomes = Counter[tuple[Group, int]]


async def divide(routing: Routing, workers: int) -> None:
    """Active blue; two pins; a canary that draws one tenant."""
    version = await routing.change(
        Pin("kept", Slot.BLUE),
        Pin("pilot", Slot.GREEN),
        SetCanary(10_000, allow=frozenset({"drawn"})),
    )
    await routing.acked(version, workers)


async def ask(fleet: Fleet, exact: Outcomes, rounds: int = 1) -> None:
    """Each tenant gets each status from its slot, so often."""
    for _ in range(rounds):
        for tenant, group in WHERE.items():
            for status in STATUSES:
                fields = {"tenant": tenant} if tenant else {}
                answer = await fleet.get(f"/status/{status}", **fields)
                assert (answer.status, answer.slot) == (status, group[0])
                exact[group, status // 100] += 1
    await fleet.metrics()  # once each worker has published


def outcomes(total: Total) -> Outcomes:
    found = Outcomes()
    for group, figures in total.groups.items():
        for place, count in enumerate(figures.statuses):
            found[group, place + 1] += count
        assert sum(figures.buckets) == sum(figures.statuses) == figures.requests
    return +found


@asynccontextmanager
async def reader(url: str) -> AsyncIterator[Windows]:
    keys = Keys()
    redis = open_redis(Access(Shared(url), keys.table), 5.0)
    try:
        yield Windows(redis, keys)
    finally:
        await redis.aclose()


async def told(fleet: Fleet, windows: Windows, exact: Outcomes) -> Total:
    """All that was told, once it is just this; never more."""
    total = add_up([])

    async def equal() -> bool:
        nonlocal total
        total = add_up(await windows.since(0))
        found = outcomes(total)
        assert found <= exact, "told twice"
        return found == exact

    await fleet.child.until(equal, f"{exact} is told")
    return total


async def lost(fleet: Fleet, more: int) -> None:
    """Wait until so many windows more could not be told."""
    before = (await fleet.metrics()).value("turnout_windows_lost_total")
    await fleet.metrics_until(
        lambda metrics: metrics.value("turnout_windows_lost_total") >= before + more, "lost"
    )


async def test_windows_add_up_to_what_was_asked(fleet_of: FleetOf, routing: Routing) -> None:
    """By slot, cohort and status; through a worker's death, a reload, the teller's death, the end."""
    fleet = await fleet_of(workers=2)
    await divide(routing, 2)
    exact = Outcomes()
    async with reader(routing.url) as windows:
        await ask(fleet, exact)
        total = await told(fleet, windows, exact)
        slots = {slot: total.of_slot(slot) for slot in Slot}
        assert {slot: each.requests for slot, each in slots.items()} == {"blue": 18, "green": 12}
        # Each worker counts its endpoint of each slot.
        assert [(each.eligible, each.endpoints) for each in slots.values()] == [(2, 2), (2, 2)]
        tenants = {tenant: (each.requests, each.failures) for tenant, each in total.tenants.items()}
        assert tenants == dict.fromkeys(("other", "kept", "pilot", "drawn"), (6, 2))
        assert total.tenants["pilot"].green[:2] == (6, 2)
        assert total.tenants["kept"].green == (0, 0, 0)

        pids = await fleet.serving()
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        await fleet.serving(unlike=pids)
        await ask(fleet, exact)
        await told(fleet, windows, exact)

        pids = await fleet.serving()
        fleet.child.send(signal.SIGHUP)
        await ask(fleet, exact)
        await fleet.serving(unlike=pids)
        await ask(fleet, exact)
        await told(fleet, windows, exact)

        (teller,) = fleet.processes() - await fleet.pids()
        os.kill(teller, signal.SIGKILL)
        await fleet.child.until(lambda: other_than(fleet, teller), "another tells")
        await ask(fleet, exact)
        await told(fleet, windows, exact)

        await ask(fleet, exact)
        os.kill(fleet.child.pid, signal.SIGTERM)
        await fleet.child.line(r"supervisor INFO ended$")
        assert outcomes(add_up(await windows.since(0))) == exact


async def other_than(fleet: Fleet, teller: int) -> bool:
    rest = fleet.processes() - await fleet.pids()
    return len(rest) == 1 and teller not in rest


async def test_a_reload_that_changes_how_they_are_told(fleet_of: FleetOf, routing: Routing) -> None:
    """Another process tells then: it begins where it begins, and nothing is told twice."""
    fleet = await fleet_of(workers=1, metrics={"windows_tenants": 1})
    await divide(routing, 1)
    exact = Outcomes()
    async with reader(routing.url) as windows:
        await ask(fleet, exact)
        assert all(len(each.tenants) <= 1 for each in await windows.since(0))
        await told(fleet, windows, exact)
        (teller,) = fleet.processes() - await fleet.pids()
        own = fleet.settings.proxy
        assert isinstance(own, dict)
        own["metrics"] = {"windows_tenants": 4}
        fleet.settings.write()
        fleet.child.send(signal.SIGHUP)
        await fleet.child.until(lambda: other_than(fleet, teller), "another tells")
        await ask(fleet, exact)
        await told(fleet, windows, exact)
        assert max(len(each.tenants) for each in await windows.since(0)) > 1


async def test_a_second_without_traffic_is_told_and_one_without_a_node_is_not(
    fleet_of: FleetOf, routing: Routing
) -> None:
    fleet = await fleet_of(workers=1, node="quiet")

    def several(count: int) -> Callable[..., bool]:
        return lambda metrics: metrics.value("turnout_windows_told_total") >= count

    await fleet.metrics_until(several(3), "three windows are told")
    async with reader(routing.url) as windows:
        found = await windows.since(0)
        assert {window.node for window in found} == {"quiet"}
        assert not any(window.of_slot(slot).requests for window in found for slot in Slot)
        seconds = [window.second for window in found]
        assert seconds == list(range(seconds[0], seconds[0] + len(seconds)))
        (teller,) = fleet.processes() - await fleet.pids()
        os.kill(fleet.child.pid, signal.SIGSTOP)  # so that nobody takes its place
        try:
            os.kill(teller, signal.SIGKILL)
            last = (await windows.since(0))[-1].second
            async with Redis.from_url(routing.url) as redis:
                while (await redis.time())[0] < last + 3:
                    await asyncio.sleep(0.05)
            assert (await windows.since(0))[-1].second <= last + 1
            assert await windows.latest(1) == []
        finally:
            os.kill(fleet.child.pid, signal.SIGCONT)


async def test_what_breaks_off_is_no_request(
    fleet_of: FleetOf, routing: Routing, endpoints: Endpoints
) -> None:
    fleet = await fleet_of(workers=1)
    async with reader(routing.url) as windows:
        async with connect(fleet.port) as leaving:
            leaving.send("GET", "/hold/leaves")
            await endpoints.blue.arrived("leaves")
            reset(leaving.writer)
        await endpoints.blue.left("leaves")

        async def seen() -> bool:
            found = add_up(await windows.since(0)).of_slot(Slot.BLUE)
            return (found.requests, found.aborted, found.broken) == (0, 1, 0)

        await fleet.child.until(seen, "one has left")


async def test_redis_restarted_costs_windows_and_tells_none_twice(
    spawn: Children, tmp_path: Path, fresh_redis: EmbeddedRedis, endpoints: Endpoints
) -> None:
    async with routing_at(fresh_redis.url) as routing, reader(fresh_redis.url) as windows:
        own = settings(tmp_path, fresh_redis.url, workers=2)
        fleet = await serving_fleet(spawn, own, routing, endpoints)
        await divide(routing, 2)
        before, away, after = Outcomes(), Outcomes(), Outcomes()
        await ask(fleet, before)
        await told(fleet, windows, before)
        fresh_redis.stop()
        await lost(fleet, 1)
        await ask(fleet, away)
        await lost(fleet, 2)
        fresh_redis.start()
        await ask(fleet, after)
        # What was read before is known to the reader, whatever the server has kept.
        await told(fleet, windows, before + after)
        await fleet.child.line("windows of what was served are lost: ConnectionError")
        await fleet.child.line("windows of what was served are told again")
