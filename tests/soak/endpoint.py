"""An endpoint of the soak: it enters each request in the books, and breaks as its record plans.

It runs in the soak's own loop, so that books and endpoint never disagree about time.
"""

import asyncio
import base64
import contextlib
import hashlib
import socket
import ssl
import zlib
from collections.abc import AsyncIterator, Mapping

from tests.soak.books import STALLING, Books, Plan, Record, Sight
from tests.soak.messages import CLOSE, content, event, frame, read_frame, receipt, small
from tests.support.clients import reset

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_GARBAGE = b"\x16\x03\x01\x02\x00 this is no answer\r\n\r\n"
_EVENT_PAUSE_S = 0.05
_GOODBYE_S = 2.0
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Broken(Exception):  # noqa: N818 - an event, not an error
    """The connection ends here, as planned."""


class Endpoint:
    """One of a slot's instances. Listens on a port that stays its own while it is down.

    context: of TLS, if it speaks that.
    """

    def __init__(
        self, name: str, slot: str, books: Books, context: ssl.SSLContext | None = None
    ) -> None:
        self.name, self.slot, self.books, self._context = name, slot, books, context
        self._held = _held_port()
        self.port = int(self._held.getsockname()[1])
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._now: dict[asyncio.StreamWriter, Sight] = {}

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._writers)

    async def up(self) -> None:
        """Listen."""
        end_s = _GOODBYE_S if self._context else None
        self._server = await asyncio.start_server(
            self._serve,
            "127.0.0.1",
            self.port,
            backlog=1024,
            reuse_port=True,
            ssl=self._context,
            ssl_shutdown_timeout=end_s,
        )

    def down(self) -> None:
        """Refuse, and reset what is open, as a killed process would."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            sight = self._now.get(writer)
            if sight is not None and sight.fault in {Plan.NONE, *STALLING}:
                sight.fault = Plan.DOWN
                sight.down_at = asyncio.get_running_loop().time()
            reset(writer)

    async def close(self) -> None:
        """End it for good."""
        self.down()
        self._held.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        if self._server is None:
            reset(writer)  # it was in the queue when the endpoint went down
        try:
            while await self._one((reader, writer)):
                pass
        except (OSError, EOFError, Broken):
            pass
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            self._now.pop(writer, None)
            if not writer.transport.is_closing():
                writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _one(self, streams: Streams) -> bool:
        """One request; whether the connection takes another."""
        reader, writer = streams
        method, path, fields = _parsed(await reader.readuntil(b"\r\n\r\n"))
        name, tenant = fields.get("x-id", ""), fields.get("x-tenant-id", "")
        sight = Sight(self.name, self.slot, tenant, asyncio.get_running_loop().time())
        record = self.books.see(name, sight)
        if record is None:
            raise Broken
        self._now[writer] = sight
        if writer.transport.is_closing():
            sight.fault = (
                Plan.DOWN
            )  # it was read, and the endpoint went down before it was looked at
            raise Broken
        plan = record.plan_here()
        # A body that breaks off ends the connection; its request has been seen all the same.
        if plan is Plan.EARLY:
            sight.fault = plan
            await self._answer(streams, record, sight, small(name, tenant))
            await _body(reader, fields)
            return True
        if method == "POST" and plan not in {Plan.RESET_BEFORE, Plan.STALL_HEAD}:
            size, checksum = await _body(reader, fields)
            return await self._answer(streams, record, sight, receipt(name, size, checksum))
        if path == "/ws":
            return await self._websocket(streams, record, sight, fields)
        if path.startswith("/events/"):
            return await self._events(streams, record, sight, int(path.removeprefix("/events/")))
        if path.startswith("/down/"):
            body = b"".join(content(name, int(path.removeprefix("/down/"))))
            return await self._answer(streams, record, sight, body)
        return await self._answer(streams, record, sight, small(name, tenant))

    async def _answer(self, streams: Streams, record: Record, sight: Sight, body: bytes) -> bool:
        _reader, writer = streams
        plan = record.plan_here()
        await self._before_head(streams, plan, sight)
        head = f"HTTP/1.1 200 OK\r\n{self._own(record)}Content-Length: {len(body)}\r\n\r\n".encode()
        if plan is Plan.RESET_HEAD:
            await _send(writer, head[: len(head) // 2])
            _break(writer, sight, plan)
        if plan in {Plan.RESET_BODY, Plan.STALL_BODY}:
            await _send(writer, head + body[: len(body) // 2])
            await _stall_or_break(streams, sight, plan)
        await _send(writer, head + body)
        sight.whole = True
        if plan is Plan.CLOSE_IDLE:
            sight.fault = plan
            writer.close()
        return plan is not Plan.CLOSE_IDLE

    async def _before_head(self, streams: Streams, plan: Plan, sight: Sight) -> None:
        reader, writer = streams
        if plan is Plan.RESET_BEFORE:
            _break(writer, sight, plan)
        if plan is Plan.GARBAGE:
            sight.fault = plan
            await _send(writer, _GARBAGE)
            raise Broken
        if plan is Plan.STALL_HEAD:
            sight.fault = plan
            await _until_left(reader)

    async def _events(self, streams: Streams, record: Record, sight: Sight, count: int) -> bool:
        _reader, writer = streams
        plan = record.plan_here()
        await self._before_head(streams, plan, sight)
        fields = "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
        await _send(writer, f"HTTP/1.1 200 OK\r\n{self._own(record)}{fields}\r\n".encode())
        for number in range(count):
            if number == count // 2 and plan in {Plan.RESET_BODY, Plan.STALL_BODY}:
                await _stall_or_break(streams, sight, plan)
            text = event(record.name, number)
            await _send(writer, b"%x\r\n%b\r\n" % (len(text), text))
            await asyncio.sleep(_EVENT_PAUSE_S)
        await _send(writer, b"0\r\n\r\n")
        sight.whole = True
        return True

    async def _websocket(
        self, streams: Streams, record: Record, sight: Sight, fields: Mapping[str, str]
    ) -> bool:
        reader, writer = streams
        plan = record.plan_here()
        await self._before_head(streams, plan, sight)
        digest = hashlib.sha1(fields["sec-websocket-key"].encode() + _GUID).digest()
        accept = base64.b64encode(digest).decode()
        switch = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: "
        head = f"HTTP/1.1 101 Switching Protocols\r\n{self._own(record)}{switch}{accept}\r\n\r\n"
        await _send(writer, head.encode())
        opcode = 0
        echoed = 0
        while opcode != CLOSE:
            if echoed == 2 and plan is Plan.RESET_BODY:
                _break(writer, sight, plan)
            opcode, payload = await read_frame(reader)
            await _send(writer, frame(opcode, payload, masked=False))
            echoed += 1
        writer.close()
        return False

    def _own(self, record: Record) -> str:
        return f"X-Seen: {record.name} {self.slot}\r\n"


def _break(writer: asyncio.StreamWriter, sight: Sight, plan: Plan) -> None:
    sight.fault = plan
    reset(writer)
    raise Broken


async def _stall_or_break(streams: Streams, sight: Sight, plan: Plan) -> None:
    reader, writer = streams
    if plan is Plan.STALL_BODY:
        sight.fault = plan
        await _until_left(reader)
    await asyncio.sleep(0)
    _break(writer, sight, plan)


async def _until_left(reader: asyncio.StreamReader) -> None:
    """Say nothing until the proxy gives up."""
    while await reader.read(1 << 16):
        pass
    raise Broken


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    if writer.transport.is_closing():
        raise Broken
    writer.write(data)
    await writer.drain()


async def _body(reader: asyncio.StreamReader, fields: Mapping[str, str]) -> tuple[int, int]:
    """Its size and CRC-32."""
    size = checksum = 0
    async for piece in _pieces(reader, fields):
        size += len(piece)
        checksum = zlib.crc32(piece, checksum)
    return size, checksum


async def _pieces(reader: asyncio.StreamReader, fields: Mapping[str, str]) -> AsyncIterator[bytes]:
    if "transfer-encoding" in fields:
        while size := int(await reader.readuntil(b"\r\n"), 16):
            yield (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
        return
    left = int(fields["content-length"])
    while left:
        piece = await reader.read(min(left, 1 << 16))
        if not piece:
            raise EOFError
        left -= len(piece)
        yield piece


def _parsed(head: bytes) -> tuple[str, str, dict[str, str]]:
    first, *lines = head.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
    method, path, _ = first.split(" ")
    fields = (line.partition(":") for line in lines)
    return method, path, {name.lower(): value.strip() for name, _, value in fields}


def _held_port() -> socket.socket:
    """A socket on a free port. As it does not listen it takes no connections, but its port."""
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind(("127.0.0.1", 0))
    return held
