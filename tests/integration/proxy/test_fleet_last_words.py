"""An endpoint that answers early and resets: its answer still reaches the client."""

import asyncio
import socket
import struct

from proxy.routing.change import SetEndpoints
from proxy.routing.model import Endpoint, Slot
from tests.support.clients import connect
from tests.support.fleet import FleetOf, Routing

BODY = b"x" * 5_000_000
ANSWER = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\n\r\nmuch"
TIMES = 20


async def refuse_and_reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer after the head; then reset, with the body unread."""
    await reader.readuntil(b"\r\n\r\n")
    writer.write(ANSWER)
    await writer.drain()
    own = writer.get_extra_info("socket")
    own.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def test_an_early_answer_before_a_reset_is_relayed(
    fleet_of: FleetOf, routing: Routing
) -> None:
    fleet = await fleet_of(workers=1)
    server = await asyncio.start_server(refuse_and_reset, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        endpoint = (Endpoint("127.0.0.1", port),)
        await routing.acked(await routing.change(SetEndpoints(Slot.BLUE, endpoint)), 1)
        statuses = []
        for _ in range(TIMES):
            async with connect(fleet.port) as client:
                client.send("POST", "/upload", body=BODY)
                statuses.append((await client.head()).status)
    assert statuses == [413] * TIMES
