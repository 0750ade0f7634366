"""WebSocket pairs (RFC 6455) for the idle scenario: an endpoint that echoes, and clients.

`python -m bench.websockets PORT…` is the endpoint: it accepts each upgrade, answers each message
with one of its own, and idles. Only as much of the protocol is here as that takes.
"""

import asyncio
import base64
import hashlib
import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import cast

import uvloop

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# Text frames (opcode 1, final). A client's is masked; a mask of zeros leaves the text as it is.
MESSAGE = b"\x81\x82\x00\x00\x00\x00hi"
ECHO = b"\x81\x02hi"
_TIMEOUT_S = 10


class HandshakeError(Exception):
    """A pair that could not be opened; the message says why."""


def accept_of(key: bytes) -> bytes:
    """Sec-WebSocket-Accept for this Sec-WebSocket-Key, RFC 6455 section 4.2.2."""
    return base64.b64encode(hashlib.sha1(key + _GUID).digest())


class Echo(asyncio.Protocol):
    """One connection of the endpoint: an upgrade, then messages. Others get an empty 200."""

    def __init__(self) -> None:
        self._head = b""
        self._upgraded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Where the answers go."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """A head, or a message."""
        if self._upgraded:
            self._transport.write(ECHO)
            return
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if not end:
            return
        self._head = rest
        key = _field(head, b"sec-websocket-key")
        if key is None:
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            return
        self._upgraded = True
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Accept: " + accept_of(key) + b"\r\n\r\n"
        )


def _field(head: bytes, name: bytes) -> bytes | None:
    for line in head.split(b"\r\n")[1:]:
        found, _, value = line.partition(b":")
        if found.lower() == name:
            return value.strip()
    return None


@contextmanager
def opened(port: int, headers: Mapping[str, str]) -> Iterator[socket.socket]:
    """A pair through the proxy on this port, one message to and fro, then idle. HandshakeError."""
    key = base64.b64encode(os.urandom(16))
    fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    request = (
        f"GET /idle HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key.decode()}\r\n{fields}\r\n"
    )
    with socket.create_connection(("127.0.0.1", port), timeout=_TIMEOUT_S) as connection:
        connection.sendall(request.encode())
        head = _until(connection, b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101") or accept_of(key) not in head:
            raise HandshakeError(f"no upgrade: {head[:80]!r}")
        connection.sendall(MESSAGE)
        echo = _until(connection, ECHO)
        if echo != ECHO:
            raise HandshakeError(f"another message came back: {echo[:80]!r}")
        yield connection


def _until(connection: socket.socket, end: bytes) -> bytes:
    """What arrives up to and with this end."""
    seen = b""
    while not seen.endswith(end):
        data = connection.recv(4096)
        if not data:
            raise HandshakeError(f"closed after {seen[-80:]!r}")
        seen += data
    return seen


async def _serve(ports: Sequence[int]) -> None:
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, told.set)
    for port in ports:
        await loop.create_server(Echo, "127.0.0.1", port, backlog=1024)
    await told.wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve([int(port) for port in sys.argv[1:]]))
