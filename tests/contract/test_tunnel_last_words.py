"""What uvloop does when a write fails, and why tunnels read what is left: real sockets."""

import asyncio
import socket
from typing import cast

import pytest

from proxy.config import Settings
from proxy.exchange.tunnel import Tunnel
from proxy.observability.telemetry import Telemetry
from proxy.worker import _services as services_of_worker

SECONDS = 10.0


class Joined(asyncio.Protocol):
    """A connection that a tunnel takes over."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)


async def accepted() -> tuple[Joined, socket.socket]:
    """Both ends of a TCP connection: the loop's, and a plain one for the test."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        far = socket.create_connection(server.getsockname())
        near, _ = server.accept()
    near.setblocking(False)
    protocol = Joined()
    await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, near)
    return protocol, far


async def read_all(far: socket.socket) -> bytes:
    far.setblocking(False)
    received, loop = b"", asyncio.get_running_loop()
    async with asyncio.timeout(SECONDS):
        while data := await loop.sock_recv(far, 65536):
            received += data
    return received


@pytest.mark.parametrize("size", [10, 30_000])
async def test_last_words_before_a_reset_reach_the_client(size: int) -> None:
    block = Telemetry(1).blocks[0]
    services = services_of_worker(Settings(), block)
    (client, far_client), (endpoint, far_endpoint) = await accepted(), await accepted()
    gone = asyncio.Event()
    Tunnel(services, client.transport, endpoint, block.groups[0], gone.set, idle_s=60.0)
    with far_client, far_endpoint:
        far_client.sendall(b"one")
        async with asyncio.timeout(SECONDS):
            while len(await peeked(far_endpoint)) < 3:
                pass
            # As a slow client does it: the endpoint is not read for now.
            endpoint.transport.pause_reading()
            far_endpoint.sendall(b"w" * size)
            far_endpoint.close()  # with `one` unread: a reset
            far_client.sendall(b"two")
            assert await read_all(far_client) == b"w" * size
            far_client.close()
            await gone.wait()


async def peeked(far: socket.socket) -> bytes:
    await asyncio.sleep(0)
    try:
        return far.recv(10, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return b""
