"""The end of a fleet: what is in flight finishes, new connections are refused, within a limit."""

import asyncio
import secrets
import signal

import aiohttp
import pytest

from tests.support.clients import Load, connect
from tests.support.endpoint import Endpoints
from tests.support.fleet import Fleet, FleetOf, Routing
from tests.support.frames import BINARY, MASK, frame

NUMBERS = (signal.SIGTERM, signal.SIGINT)


async def refused(fleet: Fleet) -> None:
    """Wait until new connections are refused."""

    async def is_refused() -> bool:
        try:
            async with connect(fleet.port):
                return False
        except ConnectionError:
            return True

    await fleet.child.until(is_refused, "refused connections")


@pytest.mark.parametrize("number", NUMBERS)
async def test_slow_requests_finish_and_new_connections_are_refused(
    fleet_of: FleetOf, routing: Routing, endpoints: Endpoints, number: signal.Signals
) -> None:
    fleet = await fleet_of()
    key = secrets.token_hex(4)
    connections = await fleet.connections(each=2)
    for connection in connections:
        connection.send("GET", f"/hold/{key}")
    await fleet.metrics_until(
        lambda metrics: metrics.value("turnout_in_flight") == len(connections), "all wait"
    )
    fleet.child.send(number)
    await refused(fleet)
    assert (await fleet.readiness()).status == 503
    await endpoints.blue.release(key)
    for connection in connections:
        answer = await connection.answer()
        assert (answer.status, answer.slot, answer.last) == (200, "blue", True)
        assert await connection.ended()
        await connection.close()
    assert await fleet.child.ended() == 0
    assert not await routing.fleet()


async def test_the_end_comes_without_a_failed_request_under_load(fleet_of: FleetOf) -> None:
    fleet = await fleet_of()
    connections = await fleet.connections(each=3)
    async with Load(fleet.port, connections=connections) as load:
        fleet.child.send(signal.SIGTERM)
        assert await fleet.child.ended() == 0
    # A client that comes back finds the port closed, or is reset while it waits in the queue.
    kept = [failure for failure in load.failures if failure.kept]
    assert not kept
    last = {asked.client: asked.answer.last for asked in load.asked}
    assert all(last.values()), "every client was told that its connection ends"


async def test_what_outlasts_the_drain_limit_is_cut(
    fleet_of: FleetOf, endpoints: Endpoints
) -> None:
    fleet = await fleet_of(timeouts={"drain_s": 0.5})
    key = secrets.token_hex(4)
    async with connect(fleet.port) as client:
        client.send("GET", f"/hold/{key}")
        await endpoints.blue.arrived(key)
        fleet.child.send(signal.SIGTERM)
        assert await client.ended(), "cut without an answer"
    assert await fleet.child.ended() == 0
    assert fleet.child.find("the drain limit is reached: closing 1 connections")
    await endpoints.blue.left(key)


async def test_websockets_are_told_goodbye_at_the_drain_limit(
    fleet_of: FleetOf, endpoints: Endpoints
) -> None:
    fleet = await fleet_of(timeouts={"drain_s": 0.5})
    key = secrets.token_hex(4)
    async with aiohttp.ClientSession(f"http://127.0.0.1:{fleet.port}") as session:
        async with session.ws_connect(f"/ws/{key}") as tunnel:
            await tunnel.send_str("name")
            assert await tunnel.receive_str() == "blue"
            fleet.child.send(signal.SIGTERM)
            message = await tunnel.receive()
            assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1001)
            assert message.extra == "going away"
        assert await fleet.child.ended() == 0
    await endpoints.blue.left(key)
    assert await endpoints.blue.close_code(key) == 1001, "the endpoint was told too"


async def test_a_message_that_never_ends_holds_the_end_up_no_longer_than_the_limit(
    fleet_of: FleetOf, endpoints: Endpoints
) -> None:
    fleet = await fleet_of(timeouts={"drain_s": 0.2, "linger_s": 0.3})
    key = secrets.token_hex(4)
    async with connect(fleet.port) as client:
        fields = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        nonce = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        client.writer.write(f"GET /ws/{key} HTTP/1.1\r\nHost: a\r\n{fields}{nonce}\r\n".encode())
        assert (await client.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        client.writer.write(frame(BINARY, b"x" * 1000, mask=MASK)[:500])
        await endpoints.blue.arrived(key)
        fleet.child.send(signal.SIGTERM)
        assert await client.reader.read() == b"\x88\x0c\x03\xe9going away"
    assert await fleet.child.ended() == 0
    await endpoints.blue.left(key)
    assert await endpoints.blue.close_code(key) != 1001, "nothing was put into its frame"


async def test_a_second_sigint_ends_at_once(fleet_of: FleetOf, endpoints: Endpoints) -> None:
    fleet = await fleet_of(timeouts={"drain_s": 600.0})
    processes = fleet.processes()
    key = secrets.token_hex(4)
    async with connect(fleet.port) as client:
        client.send("GET", f"/hold/{key}")
        await endpoints.blue.arrived(key)
        fleet.child.send(signal.SIGINT)
        await refused(fleet)
        fleet.child.send(signal.SIGINT)
        assert await client.ended()
    assert await fleet.child.ended() == 0
    assert not fleet.processes_left(processes)


async def test_idle_connections_do_not_hold_up_the_end(fleet_of: FleetOf) -> None:
    fleet = await fleet_of(timeouts={"drain_s": 600.0})
    connections = await fleet.connections(each=2)
    fleet.child.send(signal.SIGTERM)
    assert await asyncio.gather(*(connection.ended() for connection in connections))
    assert await fleet.child.ended() == 0
    for connection in connections:
        await connection.close()
