"""A connection that is gone is freed at once, not when the collector comes by: real sockets."""

import asyncio
import gc
import socket
from typing import cast

from proxy.config import Settings
from proxy.downstream.connection import ClientConnection
from proxy.downstream.peer import Peer
from proxy.exchange.forward import Exchange
from proxy.observability.telemetry import Telemetry
from proxy.worker import _services as services_of_worker

SECONDS = 10.0
GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"


def alive(kind: type) -> int:
    return sum(type(each) is kind for each in gc.get_objects())


async def one_request() -> None:
    """A client asks, is answered (503: there is no table), and leaves."""
    loop, gone = asyncio.get_running_loop(), asyncio.Event()
    services = services_of_worker(Settings(), Telemetry(1).blocks[0])
    with socket.create_server(("127.0.0.1", 0)) as server:
        far = socket.create_connection(server.getsockname())
        near, _ = server.accept()
    near.setblocking(False)
    far.setblocking(False)
    peer = Peer("127.0.0.1", trusted=False)
    connection = ClientConnection(services, Exchange, peer, lambda _: gone.set())
    protocol = cast("asyncio.Protocol", connection)
    await loop.connect_accepted_socket(lambda: protocol, near)
    with far:
        await loop.sock_sendall(far, GET)
        async with asyncio.timeout(SECONDS):
            assert (await loop.sock_recv(far, 65536)).startswith(b"HTTP/1.1 503 ")
    async with asyncio.timeout(SECONDS):
        await gone.wait()


async def test_nothing_of_a_lost_connection_waits_for_the_collector() -> None:
    await one_request()
    gc.collect()
    before = alive(ClientConnection), alive(Exchange)
    gc.disable()
    try:
        for _ in range(5):
            await one_request()
        await asyncio.sleep(0)
        assert (alive(ClientConnection), alive(Exchange)) == before
    finally:
        gc.enable()
