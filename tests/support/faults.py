"""Both sides of the fault matrix: an endpoint that plays a fault, clients that commit one.

Rules: what the endpoint plays stands in the request's path, `/play/NAME/K`: the K-th request on its
connection, and each after it, meets the fault; those before are answered. It runs in the test's loop. Resets are real:
SO_LINGER 0.
"""

import asyncio
import contextlib
import socket
import struct
from collections import defaultdict
from collections.abc import Awaitable, Callable

from tests.support.clients import Connection

RESET = struct.pack("ii", 1, 0)
LARGE = 1 << 20
LARGER = 12 << 20  # more than all buffers on its way
BODY = b"b" * 1000
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HALF_LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
HALF_CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection by RST."""
    if not writer.transport.is_closing():
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()


# ── the endpoint ──────────────────────────────────────────────────────────────────────────────


class FaultyEndpoint:
    """See the module.

    port, refusing: one that listens, one that is held and does not. at_once: so many requests
    that play `together` are answered when all are here, each on a connection of its own.
    """

    def __init__(self, at_once: int) -> None:
        self.together = asyncio.Barrier(at_once)
        self.port = 0
        self._seen: defaultdict[str, list[str]] = defaultdict(list)
        self._arrived: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._now: dict[asyncio.StreamWriter, str] = {}
        self._changed = asyncio.Event()
        self._held = socket.socket()
        self._held.bind(("127.0.0.1", 0))
        self.refusing = int(self._held.getsockname()[1])
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen on a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=512)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """End everything."""
        assert self._server is not None
        self._server.close()
        self._held.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def saw(self, name: str) -> str:
        """How a request was seen here."""
        seen = self._seen.get(name, [])
        if "part" in seen:
            return "part" if len(seen) == 1 else f"part of {len(seen)}"
        return ("nothing", "once", "twice")[len(seen)] if len(seen) < 3 else f"{len(seen)} times"

    async def arrived(self, name: str) -> None:
        """Wait until the request's head is here."""
        async with asyncio.timeout(10):
            await self._arrived[name].wait()

    async def rested_of(self, name: str) -> None:
        """Wait until the request has come, and its connection here is gone."""
        await self.arrived(name)
        await self._wait(lambda: name not in self._now.values())

    async def rested(self) -> None:
        """Wait until no connection is open: the proxy has closed those that it kept."""
        await self._wait(lambda: not self._open)

    async def emptied(self) -> None:
        """End all connections that idle, and wait until the proxy has seen it."""
        for writer in list(self._open):
            if writer.can_write_eof() and not writer.transport.is_closing():
                writer.write_eof()
        await self.rested()

    async def _wait(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._open.add(writer)
        number = 0
        try:
            while True:
                number += 1
                await self._one((reader, writer), number)
        except (OSError, EOFError):
            pass
        finally:
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            self._open.discard(writer)
            self._now.pop(writer, None)
            self._tasks.discard(task)
            self._changed.set()

    async def _one(self, streams: Streams, number: int) -> None:
        reader, writer = streams
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.removesuffix("\r\n\r\n").split("\r\n")
        fields = {
            name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)
        }
        name = fields["x-id"]
        _, _, play, at = first.split(" ")[1].split("/", 3)
        self._now[writer] = name
        seen = self._seen[name]
        seen.append("part")
        self._arrived[name].set()
        if play == "early":
            writer.write(OK)
        await _take_body(reader, fields)
        seen[-1] = "whole"
        if play in {"together", "close-idle"}:
            await self.together.wait()
        if play != "early":
            await PLAYS[play if number >= int(at) else "ok"](streams)


async def _take_body(reader: asyncio.StreamReader, fields: dict[str, str]) -> None:
    if "transfer-encoding" in fields:
        while size := int(await reader.readuntil(b"\r\n"), 16):
            await reader.readexactly(size + 2)
        await reader.readexactly(2)
    elif "content-length" in fields:
        await reader.readexactly(int(fields["content-length"]))


async def _until_left(reader: asyncio.StreamReader) -> None:
    while await reader.read(1 << 16):
        pass
    raise EOFError


def _says(data: bytes, *, then: str = "") -> Callable[[Streams], Awaitable[None]]:
    """Write this; then go on, reset, end, or stall."""

    async def play(streams: Streams) -> None:
        reader, writer = streams
        writer.write(data)
        await writer.drain()
        if then == "reset":
            # What was written is read before the reset is: else it might overtake it.
            await asyncio.sleep(0.02 if data else 0)
            reset(writer)
            raise EOFError
        if then == "end":
            writer.write_eof()
        if then:
            await _until_left(reader)

    return play


PLAYS: dict[str, Callable[[Streams], Awaitable[None]]] = {
    "ok": _says(OK),
    "together": _says(OK),
    "reset-before": _says(b"", then="reset"),
    "end-before": _says(b"", then="end"),
    "reset-head": _says(OK[:20], then="reset"),
    "reset-body": _says(HALF_LENGTH, then="reset"),
    "reset-chunks": _says(HALF_CHUNKS, then="reset"),
    "end-body": _says(HALF_LENGTH, then="end"),
    "end-chunks": _says(HALF_CHUNKS, then="end"),
    "stall-before": _says(b"", then="stall"),
    "stall-body": _says(HALF_LENGTH, then="stall"),
    "garbage": _says(b"\x16\x03\x01\x00\x00\r\n\r\n", then="stall"),
    "more": _says(OK + b"HTTP/1.1 200 OK\r\n\r\n", then="stall"),
    "close-idle": _says(OK, then="end"),
    "large": _says(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE + bytes(LARGE)),
    "larger": _says(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGER + bytes(LARGER)),
    "wait": _says(b"", then="stall"),
}


# ── the client ────────────────────────────────────────────────────────────────────────────────


async def got(connection: Connection) -> str:
    """The next thing that the client gets, in the words of `fault_rows`."""
    try:
        answer = await connection.answer()
    except ConnectionError:
        return "reset"
    except asyncio.IncompleteReadError as error:
        return "broken off" if error.partial else "closed"
    if answer.fields.get("content-type") == "application/problem+json":
        return f"{answer.status} {answer.json['code']}"
    return str(answer.status)


def request(name: str, play: str, *, at: int = 1, method: str = "GET", fields: str = "") -> bytes:
    """A request's head, whose endpoint plays this."""
    return (
        f"{method} /play/{play}/{at} HTTP/1.1\r\nHost: faults.test\r\n"
        f"X-Tenant-ID: {'nowhere' if play == 'refuse' else 'acme'}\r\nX-Id: {name}\r\n{fields}\r\n"
    ).encode()


def post(name: str, play: str, *, at: int = 1, length: int = len(BODY)) -> bytes:
    """A POST's head, its body's length given."""
    return request(name, play, at=at, method="POST", fields=f"Content-Length: {length}\r\n")


def chunked(name: str, play: str, *, at: int = 1) -> bytes:
    """A POST's head, its body in chunks."""
    return request(name, play, at=at, method="POST", fields="Transfer-Encoding: chunked\r\n")


def chunk(data: bytes) -> bytes:
    """One chunk."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"
