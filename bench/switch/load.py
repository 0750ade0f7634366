"""The load: `python -m bench.switch.load PLAN FILE`, a process beside the one that switches.

PLAN is a `Plan` as JSON. It says "ready" on standard output once all connections and WebSockets
are open, then begins requests at the set rate, round robin over idle connections and tenants, until
standard input ends; then it writes what it saw to the file, one JSON document (`Seen`). A line on standard
input is the index of a tenant: every other request is its from then on.

Rules: times are taken directly before a request is written and directly after its answer is
whole. A request is never sent again: one that a closed connection took along has failed, although a
browser would repeat it. At the rate's pace the load is also the probe: at 1 000/s one begins each ms.
"""

import asyncio
import gc
import itertools
import sys
import time
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import msgspec
import uvloop

from bench.switch.answers import OddAnswerError, fault_of, read
from bench.switch.sockets import Socket

TICK_S = 0.001
"""uvloop's timers have no finer steps."""
ANSWER_S = 5.0
"""A request without an answer for so long has failed."""
RETRY_S = 0.005


class Plan(msgspec.Struct, frozen=True):
    """What is asked of the load. rate: requests per second, 0 for no bound but the connections."""

    port: int
    connections: int
    rate: int
    tenants: list[str]
    websockets: int


class Seen(msgspec.Struct):
    """What it saw: rows for `history.requests_of` and `events_of`. lasted_s: of the requests."""

    requests: list[list[Any]]
    events: list[list[Any]]
    lasted_s: float


class Load:
    """All connections of one turn."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.seen = Seen([], [], 0.0)
        self.idle: deque[Client] = deque()
        self.focus: int | None = None
        self.stopping = False
        self._tenants = [name.encode() for name in plan.tenants]
        self._turns = itertools.cycle(range(len(plan.tenants)))
        self._numbers = itertools.count(1)
        self._begun = 0
        self._began = 0.0
        self._clients: list[Client] = []
        self._sockets: list[Socket] = []

    async def open(self) -> None:
        """All connections, spread as the proxy spreads them, and all WebSockets."""
        self._clients = [Client(self) for _ in range(self.plan.connections)]
        await asyncio.gather(*(client.open() for client in self._clients))
        named = zip(
            range(self.plan.websockets), itertools.cycle(enumerate(self._tenants)), strict=False
        )
        self._sockets = [
            Socket(number, index, name, self.plan.port, self.seen.events.append)
            for number, (index, name) in named
        ]
        for socket in self._sockets:
            socket.open()
        await asyncio.gather(*(socket.opened for socket in self._sockets))

    async def run(self, told: asyncio.Event) -> None:
        """Begin requests until told; then wait for the answers that are due."""
        self._began = time.monotonic()
        while not told.is_set():
            self.begin_due()
            self._abandon_late()
            await asyncio.sleep(TICK_S)
        self.stopping = True
        self.seen.lasted_s = time.monotonic() - self._began
        while any(client.is_busy for client in self._clients):
            self._abandon_late()
            await asyncio.sleep(TICK_S)
        for client in self._clients:
            client.stop()
        for socket in self._sockets:
            socket.stop()

    def begin_due(self) -> None:
        """As many requests as the rate has come to, as far as connections are idle."""
        if self.stopping or not self._began:
            return
        due = int((time.monotonic() - self._began) * self.plan.rate) - self._begun
        count = min(due, len(self.idle)) if self.plan.rate else len(self.idle)
        for _ in range(count):
            self._begun += 1
            number = next(self._numbers)
            tenant = self._tenant(number)
            self.idle.popleft().begin(number, tenant, self._tenants[tenant])

    def _tenant(self, number: int) -> int:
        if self.focus is not None and number % 2:
            return self.focus
        return next(self._turns)

    def _abandon_late(self) -> None:
        limit = time.monotonic() - ANSWER_S
        for client in self._clients:
            client.abandon_if_begun_before(limit)


class Client(asyncio.Protocol):
    """One kept connection, opened anew when it ends. One request at a time."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._begun = 0.0
        self._tenant = -1
        self._name = self._path = b""
        self._late = False
        self._opening: asyncio.Task[None] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether an answer is due."""
        return self._tenant >= 0

    async def open(self) -> None:
        """Connect; a connection that is refused is a request that failed."""
        while not self._load.stopping:
            began = time.monotonic()
            try:
                await self._loop.create_connection(lambda: self, "127.0.0.1", self._load.plan.port)
            except OSError as error:
                self._note(began, 0, "", f"no connection: {type(error).__name__}")
                await asyncio.sleep(RETRY_S)
            else:
                return

    def stop(self) -> None:
        """End it."""
        if self._opening is not None:
            self._opening.cancel()
        if self._transport is not None:
            self._transport.abort()

    def begin(self, number: int, tenant: int, name: bytes) -> None:
        """Send a request. It must be idle."""
        self._tenant, self._name, self._path = tenant, name, b"/r/%d" % number
        text = b"GET %s HTTP/1.1\r\nHost: bench\r\nX-Tenant-ID: %s\r\n\r\n" % (self._path, name)
        self._begun = time.monotonic()
        cast("asyncio.Transport", self._transport).write(text)

    def abandon_if_begun_before(self, limit: float) -> None:
        """Give up an answer that is too late."""
        if self.is_busy and self._begun < limit and self._transport is not None:
            self._late = True
            self._transport.abort()

    # ── asyncio's callbacks ───────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is idle now."""
        self._transport = cast("asyncio.Transport", transport)
        self._buffer.clear()
        self._load.idle.append(self)

    def data_received(self, data: bytes) -> None:
        """A part of the answer."""
        self._buffer += data
        ended = time.monotonic()
        try:
            answer = read(self._buffer)
        except OddAnswerError:
            self._end(ended, "", "an odd answer")
            self._abort()
            return
        if answer is None:
            return
        if not self.is_busy:
            self._note(ended, 0, "", f"an answer that nobody asked for: {answer.status}")
            self._abort()
            return
        del self._buffer[: answer.size]
        slot, fault = fault_of(answer, self._name, self._path)
        self._end(ended, slot, fault)
        if answer.closes:
            self._abort()
        else:
            self._load.idle.append(self)
            if not self._load.plan.rate:
                self._load.begin_due()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """A request that is under way has failed."""
        self._transport = None
        if self in self._load.idle:
            self._load.idle.remove(self)
        if self.is_busy:
            fault = "no answer in time" if self._late else "closed without an answer"
            self._end(time.monotonic(), "", "cut within the answer" if self._buffer else fault)
        self._late = False
        self._opening = self._loop.create_task(self.open())

    def _end(self, ended: float, slot: str, fault: str) -> None:
        tenant, self._tenant = self._tenant, -1
        self._load.seen.requests.append([self._begun, ended, tenant, slot, fault])

    def _note(self, began: float, tenant: int, slot: str, fault: str) -> None:
        """A failure that no request of ours stands for."""
        self._load.seen.requests.append([began, time.monotonic(), tenant, slot, fault])

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()


async def _lines(load: Load, told: asyncio.Event) -> None:
    """Standard input: whom to look at; its end ends the load."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        load.focus = int(line)
    told.set()


async def _main(plan: Plan) -> Seen:
    load, told = Load(plan), asyncio.Event()
    await load.open()
    lines = asyncio.get_running_loop().create_task(_lines(load, told))
    print("ready", flush=True)
    await load.run(told)
    await lines
    return load.seen


def main(arguments: Iterable[str]) -> None:
    """One turn's load."""
    text, out = arguments
    # What is recorded is kept: looking through it again and again would stall the load.
    gc.disable()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        seen = runner.run(_main(msgspec.json.decode(text, type=Plan)))
    Path(out).write_bytes(msgspec.json.encode(seen))


if __name__ == "__main__":
    main(sys.argv[1:])
