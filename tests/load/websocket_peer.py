"""Both far ends of many idle WebSockets, each in a process of its own.

    python -m tests.load.websocket_peer endpoint              writes "listening on PORT"
    python -m tests.load.websocket_peer client PORT COUNT     writes "open COUNT", then holds on

They speak just enough: the endpoint agrees to every offer and echoes what comes, the client
offers, waits for the 101 and stays silent. Frames are not looked at.
"""

import argparse
import asyncio
import contextlib
import resource
from typing import cast

import uvloop

_AT_ONCE = 64
_SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
_OFFER = (
    b"GET /ws HTTP/1.1\r\nHost: print.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n"
    b"Accept: */*\r\nOrigin: https://print.example.com\r\nCookie: session=0123456789abcdef\r\n"
    b"X-Tenant-ID: acme\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Endpoint(asyncio.Protocol):
    """Agrees, then echoes."""

    __slots__ = ("_agreed", "_transport")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._agreed = False

    def data_received(self, data: bytes) -> None:
        if self._agreed:
            self._transport.write(data)
        elif data.endswith(b"\r\n\r\n"):
            self._agreed = True
            self._transport.write(_SWITCH)


async def serve() -> None:
    """Serve on a free port for ever."""
    server = await asyncio.get_running_loop().create_server(Endpoint, "127.0.0.1", 0, backlog=4096)
    print("listening on", server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


async def hold(port: int, count: int) -> None:
    """Open so many tunnels and hold them for ever."""
    held: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
    gate = asyncio.Semaphore(_AT_ONCE)

    async def open_one() -> None:
        async with gate:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(_OFFER)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 101 "):
                raise AssertionError(head + await reader.read(1000))
            held.append((reader, writer))

    async with asyncio.TaskGroup() as tasks:
        for _ in range(count):
            tasks.create_task(open_one())
    print("open", len(held), flush=True)
    await asyncio.Event().wait()


def more_files(wanted: int) -> int:
    """Raise this process' limit of open files, as far as it may; what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if soft < min(wanted, hard):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def main() -> None:
    """Run one of the two."""
    parser = argparse.ArgumentParser()
    roles = parser.add_subparsers(dest="role", required=True)
    roles.add_parser("endpoint")
    client = roles.add_parser("client")
    client.add_argument("port", type=int)
    client.add_argument("count", type=int)
    options = parser.parse_args()
    work = serve() if options.role == "endpoint" else hold(options.port, options.count)
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(work)


if __name__ == "__main__":
    main()
