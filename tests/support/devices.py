"""Servers that speak no HTTP, as equipment's do, and their clients."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

SECONDS = 10.0


@dataclass(slots=True)
class Device:
    """A server that says its name first, then echoes, and answers an end with `bye`."""

    name: str
    port: int
    left: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def device(
    name: str, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Device]:
    own = Device(name, port)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"{name}\n".encode())
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
            writer.write(b"bye")
        except ConnectionError:
            pass
        finally:
            own.left.set()
            writer.close()

    server = await asyncio.start_server(serve, host, port, ssl=tls)
    own.port = server.sockets[0].getsockname()[1]
    async with server:
        yield own


@asynccontextmanager
async def client(
    port: int, tls: ssl.SSLContext | None = None, name: str | None = None
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    async with asyncio.timeout(SECONDS):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=tls, server_hostname=name
        )
        try:
            yield reader, writer
        finally:
            writer.transport.abort()


async def name_of(reader: asyncio.StreamReader) -> str:
    return (await reader.readline()).decode().strip()


async def ended(read: Callable[[], Awaitable[bytes]]) -> bool:
    try:
        return await read() == b""
    except ConnectionError:
        return True
