"""A slot is drained under a real fleet: real WebSockets, told by an independent client."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from time import monotonic

import aiohttp
import pytest

from proxy.draining import STEP_S
from proxy.pace import BURST_S
from proxy.routing.change import EndDrain, Pin, SetDrain, Unpin
from proxy.routing.model import Slot
from tests.support.clients import connect
from tests.support.endpoint import Endpoints
from tests.support.fleet import Fleet, FleetOf, Routing

GOODBYE = (aiohttp.WSMsgType.CLOSE, 3001, "moved")
WORKERS = 3


@pytest.fixture(scope="module")
async def fleet(module_fleet_of: FleetOf) -> Fleet:
    """What all tests of this module go through."""
    tunnels = {"drain_close_code": 3001, "drain_close_reason": "moved", "last_message": "come back"}
    return await module_fleet_of(workers=WORKERS, tunnels=tunnels)


@pytest.fixture
async def session(fleet: Fleet) -> AsyncIterator[aiohttp.ClientSession]:
    """A client whose paths lead to the fleet, each on a connection of its own."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(
        f"http://127.0.0.1:{fleet.port}", connector=connector
    ) as client:
        yield client


@pytest.fixture
async def tenant(fleet: Fleet, module_routing: Routing) -> AsyncIterator[str]:
    """A tenant of the test's own; at its end neither pinned nor drained."""
    name = f"t-{secrets.token_hex(4)}"
    yield name
    version = await module_routing.change(Unpin(name), EndDrain("d-1"))
    await module_routing.acked(version, WORKERS)


async def opened(
    session: aiohttp.ClientSession, tenant: str, count: int
) -> list[aiohttp.ClientWebSocketResponse]:
    async def one() -> aiohttp.ClientWebSocketResponse:
        fields = {"X-Tenant-ID": tenant}
        tunnel = await session.ws_connect(f"/ws/{secrets.token_hex(6)}", headers=fields)
        await tunnel.send_str("name")
        assert await tunnel.receive_str() == "blue"
        return tunnel

    return await asyncio.gather(*(one() for _ in range(count)))


async def farewell(tunnel: aiohttp.ClientWebSocketResponse) -> float:
    """It gets the last message and the goodbye; when."""
    assert await tunnel.receive_str() == "come back"
    message = await tunnel.receive()
    assert (message.type, message.data, message.extra) == GOODBYE
    assert tunnel.close_code == 3001
    return monotonic()


async def left(routing: Routing, version: int, drain: str = "d-1") -> None:
    """Wait until every worker says by this version that nothing of the drain is left."""
    await routing.until(
        lambda fleet: (
            len(fleet) == WORKERS
            and all(
                lease.status.version >= version and lease.status.draining.get(drain) == 0
                for lease in fleet
            )
        ),
        f"nothing is left of {drain}",
    )


async def test_all_are_told_goodbye_at_one_pace_and_come_back_to_the_other_slot(
    session: aiohttp.ClientSession, module_routing: Routing, endpoints: Endpoints, tenant: str
) -> None:
    pace, count = 40.0, 60
    tunnels = await opened(session, tenant, count)
    (stays,) = await opened(session, f"{tenant}-stays", 1)
    began = monotonic()
    version = await module_routing.change(
        Pin(tenant, Slot.GREEN), SetDrain("d-1", Slot.BLUE, per_second=pace)
    )
    ends = sorted(await asyncio.gather(*(farewell(tunnel) for tunnel in tunnels)))
    await left(module_routing, version)
    seconds = ends[-1] - began
    assert count <= pace * (seconds + BURST_S + STEP_S) + 1, "all workers together keep to the pace"
    assert seconds < count / pace * 1.5
    async with session.ws_connect("/ws/again", headers={"X-Tenant-ID": tenant}) as again:
        await again.send_str("name")
        assert await again.receive_str() == "green"
    await stays.send_str("name")
    assert await stays.receive_str() == "blue"
    await stays.close()


async def test_no_tenant_is_ended_faster_than_its_own_pace(
    session: aiohttp.ClientSession, module_routing: Routing, endpoints: Endpoints, tenant: str
) -> None:
    pace, of_one = 100.0, 10.0
    others = [f"{tenant}-{number}" for number in range(3)]
    tunnels = {name: await opened(session, name, 12) for name in (tenant, *others)}
    pins = [Pin(name, Slot.GREEN) for name in tunnels]
    began = monotonic()
    version = await module_routing.change(
        *pins, SetDrain("d-1", Slot.BLUE, per_second=pace, tenant_per_second=of_one)
    )
    for name, own in tunnels.items():
        ends = sorted(await asyncio.gather(*(farewell(tunnel) for tunnel in own)))
        for count, at in enumerate(ends, 1):
            assert count <= of_one * (at - began + BURST_S + STEP_S) + 1, name
    await left(module_routing, version)
    await module_routing.change(*(Unpin(name) for name in others))


async def test_an_endpoint_hears_the_goodbye_too(
    session: aiohttp.ClientSession, module_routing: Routing, endpoints: Endpoints, tenant: str
) -> None:
    key = secrets.token_hex(6)
    tunnel = await session.ws_connect(f"/ws/{key}", headers={"X-Tenant-ID": tenant})
    await module_routing.change(Pin(tenant, Slot.GREEN), SetDrain("d-1", Slot.BLUE))
    await farewell(tunnel)
    await endpoints.blue.left(key)
    assert await endpoints.blue.close_code(key) == 3001


async def test_a_request_ends_whole_and_only_a_hurry_cuts_it(
    fleet: Fleet, module_routing: Routing, endpoints: Endpoints, tenant: str
) -> None:
    keys = [secrets.token_hex(6), secrets.token_hex(6)]
    async with connect(fleet.port) as whole, connect(fleet.port) as cut:
        for client, key in zip((whole, cut), keys, strict=True):
            client.send("GET", f"/hold/{key}", tenant=tenant)
            await endpoints.blue.arrived(key)
        version = await module_routing.change(Pin(tenant, Slot.GREEN), SetDrain("d-1", Slot.BLUE))
        await module_routing.until(
            lambda fleet: sum(lease.status.draining.get("d-1", 0) for lease in fleet) == 2,
            "both requests count",
        )
        await endpoints.blue.release(keys[0])
        assert (await whole.answer()).status == 200
        version = await module_routing.change(SetDrain("d-1", Slot.BLUE, hurry=True))
        with pytest.raises((ConnectionError, EOFError, asyncio.IncompleteReadError)):
            await cut.answer()
    await left(module_routing, version)
    await endpoints.blue.release(keys[1])


async def test_events_end_whole_and_go_on_at_the_other_slot(
    session: aiohttp.ClientSession, module_routing: Routing, endpoints: Endpoints, tenant: str
) -> None:
    key, fields = secrets.token_hex(6), {"X-Tenant-ID": tenant}
    async with session.get(f"/events/{key}", headers=fields) as stream:
        await endpoints.blue.emit(key, "first")
        assert await stream.content.readuntil(b"\n\n") == b"data: first\n\n"
        version = await module_routing.change(Pin(tenant, Slot.GREEN), SetDrain("d-1", Slot.BLUE))
        # aiohttp raises where a chunked body has no end.
        assert await stream.read() == b"retry: 1000\n\n"
    await left(module_routing, version)
    async with session.get(f"/events/{key}", headers=fields) as stream:
        assert stream.headers["X-Turnout-Slot"] == "green"
        await endpoints.green.emit(key, "end")
        assert await stream.read() == b""
