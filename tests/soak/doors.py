"""Where clients of the soak connect, with TLS or without."""

import asyncio
import socket
import ssl
from dataclasses import dataclass

from proxy.tls.transport import TlsTransport, _shake_hands
from tests.soak.books import Books, Line
from tests.soak.secure import HOST
from tests.support.clients import SECONDS, Connection


@dataclass(frozen=True, slots=True)
class Door:
    """Where clients connect. context: of TLS, if that is spoken there."""

    port: int
    context: ssl.SSLContext | None = None


async def opened(door: Door, books: Books) -> tuple[Line, Connection | None]:
    """A new connection; none if its worker was killed before TLS was agreed on."""
    own = socket.socket()
    own.setblocking(False)
    async with asyncio.timeout(SECONDS):
        await asyncio.get_running_loop().sock_connect(own, ("127.0.0.1", door.port))
    line = books.open_line((door.port, own.getsockname()[1]))
    if door.context is None:
        return line, Connection(*await asyncio.open_connection(sock=own))
    try:
        async with asyncio.timeout(SECONDS):
            connection = await _secured(own, door.context)
    except OSError as error:
        own.close()
        books.shook_hands(line, error)
        return line, None
    books.shook_hands(line, None)
    return line, connection


async def _secured(own: socket.socket, context: ssl.SSLContext) -> Connection:
    """With the proxy's own transport: a slow reader of uvloop's may lose the end of an answer."""
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    made: list[TlsTransport] = []

    def ready(transport: TlsTransport) -> asyncio.Protocol:
        made.append(transport)
        return protocol

    async def connect(beneath: asyncio.Protocol) -> None:
        await loop.create_connection(lambda: beneath, sock=own)

    await _shake_hands(connect, context, ready, server_hostname=HOST)
    return Connection(reader, asyncio.StreamWriter(made[0], protocol, reader, loop))
