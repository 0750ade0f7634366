"""TLS in front of a server that has none: a real handshake, then bytes both ways."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


@asynccontextmanager
async def tls_front(security: ssl.SSLContext, port: int) -> AsyncIterator[int]:
    """Listens on loopback, and joins each connection to this port of it; its own port."""
    joined: set[asyncio.Task[None]] = set()

    async def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        joined.add(task)
        try:
            there = await asyncio.open_connection("127.0.0.1", port)
            with suppress(OSError, asyncio.CancelledError):
                await asyncio.gather(_copy(reader, there[1]), _copy(there[0], writer))
            there[1].close()
        finally:
            joined.discard(task)
            writer.close()

    server = await asyncio.start_server(join, "127.0.0.1", 0, ssl=security)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in joined:
            task.cancel()
        await asyncio.gather(*joined, return_exceptions=True)


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        target.write(data)
        await target.drain()
    target.close()
