"""Clients of tests: one keep-alive connection, and a load of many.

Rules: they speak plain HTTP/1.1 over a socket and repeat nothing, so what fails here would have
failed for a customer. A load notes every answer and every failure; the test judges them.
"""

import asyncio
import contextlib
import itertools
import json
import socket
import struct
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import ge
from types import TracebackType
from typing import Any, Self

SECONDS = 15.0
"""How long an answer, or a load's progress, may take."""
_RESET = struct.pack("ii", 1, 0)
_PREFIX = 16
"""Characters at the start of a request id that tell the worker."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response. fields: by their lower-case names."""

    status: int
    fields: Mapping[str, str]
    body: bytes

    @property
    def slot(self) -> str:
        """Which slot the proxy says that it sent the request to."""
        return self.fields.get("x-turnout-slot", "")

    @property
    def worker(self) -> str:
        """What all answers of one worker have in common."""
        return self.fields["x-request-id"][:_PREFIX]

    @property
    def last(self) -> bool:
        """Whether the connection ends with this answer."""
        return self.fields.get("connection", "").lower() == "close"

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """One client connection. Made by `connect`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def get(self, path: str = "/", **fields: str) -> Answer:
        """GET; `tenant="acme"` and `x_id="1"` give the fields X-Tenant-ID and X-Id."""
        self.send("GET", path, b"", **fields)
        return await self.answer()

    def send(self, method: str, path: str, body: bytes = b"", **fields: str) -> None:
        """Write a request; `answer` reads what comes."""
        fields.setdefault("host", "turnout.test")
        if "tenant" in fields:
            fields["x_tenant_id"] = fields.pop("tenant")
        if body:
            fields["content_length"] = str(len(body))
        lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
        self.writer.write(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body)

    async def answer(self) -> Answer:
        """Read a whole answer; EOFError if it is cut short."""
        async with asyncio.timeout(SECONDS):
            head = await self.head()
            return Answer(head.status, head.fields, await self._body(head))

    async def head(self) -> Answer:
        """Read an answer's head only; `reader` gives the rest."""
        text = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = text.removesuffix("\r\n\r\n").split("\r\n")
        fields = (line.partition(":") for line in lines)
        named = {name.lower(): value.strip() for name, _, value in fields}
        return Answer(int(first.split(" ")[1]), named, b"")

    async def _body(self, head: Answer) -> bytes:
        if head.fields.get("transfer-encoding") == "chunked":
            return b"".join([piece async for piece in self.chunks()])
        return await self.reader.readexactly(int(head.fields.get("content-length", "0")))

    async def chunks(self) -> AsyncIterator[bytes]:
        """The chunks of a body as they come; EOFError if there is no last one."""
        while True:
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            piece = await self.reader.readexactly(size + 2)
            if size == 0:
                return
            yield piece[:-2]

    async def ended(self) -> bool:
        """Wait until the other side ends the connection; whether that was all that came."""
        try:
            async with asyncio.timeout(SECONDS):
                return await self.reader.read(1) == b""
        except ConnectionError:
            return True

    async def close(self) -> None:
        """Close at once."""
        self.writer.transport.abort()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


@contextlib.asynccontextmanager
async def connect(port: int, host: str = "127.0.0.1") -> AsyncIterator[Connection]:
    """A connection to the port, closed at the end."""
    connection = await opened(port, host)
    try:
        yield connection
    finally:
        await connection.close()


async def opened(port: int, host: str = "127.0.0.1") -> Connection:
    """A connection to the port, for the caller to close."""
    async with asyncio.timeout(SECONDS):
        return Connection(*await asyncio.open_connection(host, port))


def reset(writer: asyncio.StreamWriter) -> None:
    """End the connection by RST, with nothing sent after."""
    if not writer.transport.is_closing():
        with contextlib.suppress(OSError):
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


async def fetch(port: int, path: str, *, at: str = "127.0.0.1", **fields: str) -> Answer:
    """GET on a connection of its own. at: which host's port it is."""
    async with connect(port, at) as connection:
        return await connection.get(path, connection="close", **fields)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of a load. begun: what the load's `mark` said just before it was sent."""

    client: int
    name: str
    begun: Any
    answer: Answer


@dataclass(frozen=True, slots=True)
class Failure:
    """A request of a load that was not answered well. kept: its connection had answered before."""

    client: int
    said: str
    kept: bool = True


class Load:
    """Clients that ask for `/` again and again, each on a connection that it keeps.

    connections: the first ones, taken over; a client that loses its own opens another. mark:
    asked just before each request is sent; see `Asked`. pause_s: between a client's requests, so
    that a test leaves its machine room. Use it as a context: at the end every client finishes its
    request.
    """

    _numbers = itertools.count()

    def __init__(
        self,
        port: int,
        clients: int = 4,
        tenant: str = "acme",
        connections: Sequence[Connection] = (),
        mark: Callable[[], Any] = int,
        pause_s: float = 0.004,
    ) -> None:
        self.asked: list[Asked] = []
        self.failures: list[Failure] = []
        self.workers: dict[int, str] = {}
        self.prefix = f"load-{next(self._numbers)}-"
        self._port, self._tenant, self._mark = port, tenant, mark
        self._pause_s = pause_s
        self._first: list[Connection | None] = [*connections] or [None] * clients
        self._ending = False
        self._progress = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._ids = itertools.count()
        self._rounds = [0] * len(self._first)

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.get_running_loop().create_task(
                self._client(number, first), name=f"client {number}"
            )
            for number, first in enumerate(self._first)
        ]
        try:
            await self.everyone()
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._end()

    async def _end(self) -> None:
        self._ending = True
        await asyncio.gather(*self._tasks)

    async def answered(self, more: int) -> None:
        """Wait until so many more requests were answered."""
        target = len(self.asked) + more
        await self.until(lambda: len(self.asked) >= target)

    async def everyone(self) -> None:
        """Wait until each client has an answer to a request begun from now on, or has failed."""
        # The next answer of a client may belong to a request that is already under way.
        wanted = [count + 2 for count in self._rounds]
        await self.until(lambda: all(map(ge, self._rounds, wanted)))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition on the load's answers is met."""
        async with asyncio.timeout(SECONDS):
            while not condition():
                self._progress.clear()
                await self._progress.wait()

    async def _client(self, number: int, connection: Connection | None) -> None:
        kept = True
        while not self._ending:
            try:
                if connection is None:
                    kept = False
                    connection = await opened(self._port)
                over = await self._ask(number, connection)
                kept = True
                if over:
                    await connection.close()
                    connection = None
            except (OSError, EOFError, TimeoutError, ValueError) as error:
                self.failures.append(Failure(number, repr(error), kept=kept))
                if connection is not None:
                    await connection.close()
                connection = None
            self._rounds[number] += 1
            self._progress.set()
            await asyncio.sleep(self._pause_s)
        if connection is not None:
            await connection.close()

    async def _ask(self, number: int, connection: Connection) -> bool:
        """Ask once; whether the connection is over."""
        name = f"{self.prefix}{next(self._ids)}"
        begun = self._mark()
        answer = await connection.get("/", tenant=self._tenant, x_id=name)
        self.asked.append(Asked(number, name, begun, answer))
        if answer.status != 200 or answer.body.decode() != answer.slot:
            self.failures.append(Failure(number, f"{answer.status} {answer.body[:200]!r}"))
        self.workers[number] = answer.worker
        return answer.last
