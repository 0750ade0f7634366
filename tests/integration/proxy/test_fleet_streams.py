"""Streams through real peers: WebSocket, SSE, uploads, downloads, and clients that stall or leave."""

import secrets
import socket
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path

import aiohttp
import pytest

from proxy.routing.change import Pin, Unpin
from proxy.routing.model import Slot
from tests.support.clients import Connection, connect
from tests.support.endpoint import MAX_MESSAGE, Endpoints, content, digest_of
from tests.support.fleet import Fleet, FleetOf, Routing

MIB = 1024 * 1024


@pytest.fixture(scope="module")
async def fleet(module_fleet_of: FleetOf) -> Fleet:
    """What all tests of this module go through."""
    return await module_fleet_of()


@pytest.fixture
def key() -> str:
    """What the endpoints know this test's requests by."""
    return secrets.token_hex(4)


@pytest.fixture
async def session(fleet: Fleet) -> AsyncIterator[aiohttp.ClientSession]:
    """A client whose paths lead to the fleet."""
    async with aiohttp.ClientSession(f"http://127.0.0.1:{fleet.port}") as client:
        yield client


# ── WebSocket ─────────────────────────────────────────────────────────────────────────────────


async def test_messages_are_echoed(session: aiohttp.ClientSession, key: str) -> None:
    big = secrets.token_bytes(MIB)
    async with session.ws_connect(f"/ws/{key}", max_msg_size=MAX_MESSAGE) as tunnel:
        await tunnel.send_str("text, and ümläüte")
        assert await tunnel.receive_str() == "text, and ümläüte"
        for body in (b"", b"\0binary\xff", big):
            await tunnel.send_bytes(body)
            assert await tunnel.receive_bytes() == body
        for number in range(100):
            await tunnel.send_str(f"m{number}")
        assert [await tunnel.receive_str() for _ in range(100)] == [f"m{n}" for n in range(100)]


async def test_pings_are_answered_by_the_endpoint(session: aiohttp.ClientSession, key: str) -> None:
    async with session.ws_connect(f"/ws/{key}", autoping=False) as tunnel:
        await tunnel.ping(b"are you there")
        message = await tunnel.receive()
        assert (message.type, message.data) == (aiohttp.WSMsgType.PONG, b"are you there")


async def test_close_codes_pass_both_ways(
    session: aiohttp.ClientSession, endpoints: Endpoints, key: str
) -> None:
    async with session.ws_connect(f"/ws/{key}-1") as tunnel:
        await tunnel.send_str("close 4001")
        message = await tunnel.receive()
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 4001)
        assert message.extra == "as ordered"
    async with session.ws_connect(f"/ws/{key}-2") as tunnel:
        await tunnel.close(code=4002)
    await endpoints.blue.left(f"{key}-2")
    assert await endpoints.blue.close_code(f"{key}-2") == 4002


async def test_a_client_that_vanishes_ends_its_tunnel(
    fleet: Fleet, session: aiohttp.ClientSession, endpoints: Endpoints, key: str
) -> None:
    opened = (await fleet.metrics()).value("turnout_tunnels_opened_total", slot="blue")
    tunnel = await session.ws_connect(f"/ws/{key}")
    metrics = await fleet.metrics_until(
        lambda metrics: metrics.value("turnout_tunnels", slot="blue") == 1, "it is counted"
    )
    assert metrics.value("turnout_tunnels_opened_total", slot="blue") == opened + 1
    assert metrics.value("turnout_in_flight") == 0, "a tunnel is no request under way"
    assert tunnel._response.connection is not None
    transport = tunnel._response.connection.transport
    assert transport is not None
    transport.abort()
    await endpoints.blue.left(key)
    await fleet.metrics_until(lambda m: m.value("turnout_tunnels") == 0, "it is gone")
    await tunnel.close()


async def test_a_tunnel_stays_on_its_slot_when_traffic_moves(
    module_routing: Routing, fleet: Fleet, session: aiohttp.ClientSession, key: str
) -> None:
    fields = {"X-Tenant-ID": f"moved-{key}"}
    async with session.ws_connect(f"/ws/{key}", headers=fields) as before:
        version = await module_routing.change(Pin(f"moved-{key}", Slot.GREEN))
        await module_routing.acked(version, fleet.workers_wanted)
        async with session.ws_connect(f"/ws/{key}", headers=fields) as after:
            for tunnel, name in ((before, "blue"), (after, "green"), (before, "blue")):
                await tunnel.send_str("name")
                assert await tunnel.receive_str() == name
    await module_routing.acked(
        await module_routing.change(Unpin(f"moved-{key}")), fleet.workers_wanted
    )


# ── streams ───────────────────────────────────────────────────────────────────────────────────


async def test_events_arrive_one_by_one(fleet: Fleet, endpoints: Endpoints, key: str) -> None:
    async with connect(fleet.port) as client:
        client.send("GET", f"/events/{key}")
        head = await client.head()
        assert head.fields["content-type"] == "text/event-stream"
        assert head.fields["transfer-encoding"] == "chunked"
        await endpoints.blue.arrived(key)
        events = client.chunks()
        for text in ("one", "two", "three"):
            # The next is sent only when this one is here: nothing is held back to be joined.
            await endpoints.blue.emit(key, text)
            assert await anext(events) == f"data: {text}\n\n".encode()
        await endpoints.blue.emit(key, "end")
        assert [piece async for piece in events] == []
        assert (await client.get()).status == 200, "the connection is kept"


async def pieces(size: int) -> AsyncIterator[bytes]:
    for piece in content(size):
        yield piece


@pytest.mark.parametrize("expect", [False, True], ids=["at-once", "expect-100"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
async def test_an_upload_arrives_whole(
    session: aiohttp.ClientSession, chunked: bool, expect: bool
) -> None:
    size = 8 * MIB
    headers = {} if chunked else {"Content-Length": str(size)}
    async with session.post(
        "/upload", data=pieces(size), headers=headers, expect100=expect
    ) as answer:
        assert answer.status == 200
        assert await answer.json() == {"size": size, "sha256": digest_of(size)}


@pytest.mark.parametrize("form", ["", "?chunked"], ids=["length", "chunked"])
async def test_a_download_arrives_whole(
    session: aiohttp.ClientSession, key: str, form: str
) -> None:
    size = 50 * MIB
    digest, received = sha256(), 0
    async with session.get(f"/download/{size}/{key}{form}") as answer:
        assert answer.status == 200
        async for piece in answer.content.iter_any():
            digest.update(piece)
            received += len(piece)
    assert (received, digest.hexdigest()) == (size, digest_of(size))


# ── clients that stall or leave ───────────────────────────────────────────────────────────────


def resident(pid: int) -> int:
    """Bytes of memory that the process holds."""
    pages = Path(f"/proc/{pid}/statm").read_text("utf-8").split()[1]
    return int(pages) * 4096


async def stalled_at(endpoints: Endpoints, client: Connection, key: str) -> int:
    """How much of a download was written when no more is, however often its worker turns.

    client: of the same worker.
    """
    before = -1
    for _ in range(1000):
        now = await endpoints.blue.written(key)
        if now == before:
            return now
        before = now
        for _ in range(50):
            assert (await client.get()).status == 200
    raise AssertionError("it never stalled")


async def test_a_client_that_does_not_read_costs_no_memory(
    fleet: Fleet, endpoints: Endpoints, key: str
) -> None:
    size = 150 * MIB
    async with connect(fleet.port) as slow:
        worker = (await slow.get()).worker
        other = await same_worker(fleet, worker)
        memory = {pid: resident(pid) for pid in await fleet.pids()}
        slow.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        slow.send("GET", f"/download/{size}/{key}")
        assert (await slow.head()).status == 200
        written = await stalled_at(endpoints, other, key)
        assert 0 < written < size // 3
        growth = {pid: resident(pid) - before for pid, before in memory.items()}
        print("memory grew by", growth, "with", written, "bytes written")
        assert max(growth.values()) < 16 * MIB
        digest = sha256()
        left = size
        while left:
            piece = await slow.reader.read(MIB)
            assert piece
            digest.update(piece)
            left -= len(piece)
        assert digest.hexdigest() == digest_of(size), "nothing was lost"
        await other.close()


async def same_worker(fleet: Fleet, worker: str) -> Connection:
    """A connection to the worker that is known by this."""
    own: Connection | None = None
    for connection in await fleet.connections(each=1):
        if (await connection.get()).worker == worker:
            own = connection
        else:
            await connection.close()
    assert own is not None
    return own


async def test_a_client_that_leaves_frees_the_endpoints_connection(
    fleet: Fleet, endpoints: Endpoints, key: str
) -> None:
    before = await fleet.metrics()
    async with connect(fleet.port) as client:
        client.send("GET", f"/download/{150 * MIB}/{key}")
        assert (await client.head()).status == 200
        await endpoints.blue.arrived(key)
        assert (await fleet.metrics()).value("turnout_in_flight", slot="blue") == 1
    await endpoints.blue.left(key)
    after = await fleet.metrics_until(
        lambda metrics: metrics.value("turnout_in_flight", slot="blue") == 0, "it is over"
    )
    aborted = [each.value("turnout_aborted_total", slot="blue") for each in (before, after)]
    assert aborted[1] == aborted[0] + 1
    assert await endpoints.blue.written(key) < 150 * MIB
