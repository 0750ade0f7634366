"""The census of real fleets of two nodes: by devices that reconnect, connect twice, or lose their worker."""

import asyncio
import os
import secrets
import signal
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest

from admin.census.model import Census, Device, census_of
from proxy.routing.census import read_census
from proxy.routing.change import Pin, Unpin
from proxy.routing.model import Slot
from tests.support.endpoint import Endpoints
from tests.support.fleet import Fleet, FleetOf, Routing
from tests.support.processes import SECONDS

BLUE, GREEN = Slot
LOOK_S = 0.1
WORKERS = 2
RULES = [{"name": "header", "header": "X-Device"}, {"name": "query", "query": "device"}]
TUNNEL = aiohttp.ClientWebSocketResponse


@pytest.fixture
async def nodes(fleet_of: FleetOf, routing: Routing) -> list[Fleet]:
    """Two proxies on one Redis."""
    report = {"look_s": LOOK_S}
    fleets = [
        await fleet_of(node=name, workers=WORKERS, census=RULES, census_report=report)
        for name in ("a", "b")
    ]
    await routing.until(
        lambda fleet: len(fleet) == 2 * WORKERS and all(lease.status.census for lease in fleet),
        "all workers take a census",
    )
    return fleets


async def census(routing: Routing) -> Census:
    """As the admin reads it."""
    told = {}
    for lease in await routing.fleet():
        fields = await routing.redis.hgetall(routing.keys.census(lease.worker))
        told[lease.worker] = read_census(fields)  # type: ignore[arg-type] # bytes
    return census_of(told)


async def until(routing: Routing, condition: Callable[[Census], bool]) -> Census:
    """The census once it is so, and whole."""
    async with asyncio.timeout(SECONDS):
        while True:
            found = await census(routing)
            if not found.unknown and condition(found):
                return found
            await asyncio.sleep(LOOK_S / 4)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as client:
        yield client


def connections(found: Census) -> int:
    """Of all devices, in all slots."""
    return sum(there.connections for slots in found.devices.values() for there in slots.values())


async def joined(
    session: aiohttp.ClientSession, fleet: Fleet, device: str, tenant: str = "acme"
) -> TUNNEL:
    url = f"http://127.0.0.1:{fleet.port}/ws/{secrets.token_hex(6)}"
    return await session.ws_connect(url, headers={"X-Tenant-ID": tenant, "X-Device": device})


async def test_who_is_connected_is_known_through_all_nodes(
    nodes: list[Fleet], routing: Routing, session: aiohttp.ClientSession, endpoints: Endpoints
) -> None:
    assert not (await until(routing, lambda found: True)).devices
    tunnels = [await joined(session, fleet, f"press-{n}") for fleet in nodes for n in range(6)]
    tunnels.append(await joined(session, nodes[0], ""))
    key = secrets.token_hex(6)
    url = f"http://127.0.0.1:{nodes[1].port}/events/{key}?device=board"
    async with session.get(url, headers={"X-Tenant-ID": "acme"}):
        # Each worker tells of its own when it comes to it.
        found = await until(routing, lambda found: connections(found) == 13 and found.unnamed != {})
    twice = [found.devices["acme", f"press-{n}"][BLUE].connections for n in range(6)]  # type: ignore[index]
    assert twice == [2] * 6, "each through both nodes"
    assert found.devices["acme", "board"][BLUE].kinds == ("events",)  # type: ignore[index]
    assert found.unnamed == {(BLUE, "websocket"): 1}

    # It comes back before its old connection is gone.
    version = await routing.change(Pin("acme", GREEN))
    await routing.acked(version, 2 * WORKERS)
    tunnels.append(await joined(session, nodes[1], "press-0"))
    both = Device("acme", "press-0")
    await until(routing, lambda found: found.devices[both].keys() == {BLUE, GREEN})
    for tunnel in tunnels:
        await tunnel.close()
    await until(routing, lambda found: not found.devices and not found.unnamed)
    await routing.change(Unpin("acme"))


async def test_a_killed_workers_devices_fall_out_until_they_come_back(
    nodes: list[Fleet], routing: Routing, session: aiohttp.ClientSession, endpoints: Endpoints
) -> None:
    tunnels = [await joined(session, nodes[0], f"press-{n}") for n in range(16)]
    await until(routing, lambda found: len(found.devices) == 16)
    victim = next(lease for lease in await routing.fleet() if lease.status.node == "a")
    told = read_census(await routing.redis.hgetall(routing.keys.census(victim.worker)))  # type: ignore[arg-type]
    lost = {seat.device for seat in told.seats}
    assert 0 < len(lost) < 16, "both of its workers have some"
    os.kill(victim.status.pid, signal.SIGKILL)
    found = await until(routing, lambda found: len(found.devices) < 16)
    assert {device.name for device in found.devices} == {
        f"press-{n}" for n in range(16) if f"press-{n}" not in lost
    }
    back = [await joined(session, nodes[1], device) for device in lost]
    await until(routing, lambda found: len(found.devices) == 16)
    for tunnel in (*tunnels, *back):
        await tunnel.close()


async def test_a_worker_that_ends_takes_its_census_along(
    nodes: list[Fleet], routing: Routing, session: aiohttp.ClientSession
) -> None:
    await until(routing, lambda found: True)
    workers = [lease.worker for lease in await routing.fleet() if lease.status.node == "a"]
    keys = [routing.keys.census(worker) for worker in workers]
    assert await routing.redis.exists(*keys) == WORKERS
    nodes[0].child.send(signal.SIGTERM)
    await nodes[0].child.ended()
    assert await routing.redis.exists(*keys) == 0
