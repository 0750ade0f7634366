"""Clients and endpoints: each client asks once; endpoints answer, soon or late.

Rules: an endpoint stops working on a request when its connection ends: what a worker had sent to one
that goes on alone is not in these books (nor can a proxy know of it).
"""

import asyncio
import re
from collections.abc import Callable
from functools import partial
from random import Random
from typing import cast

from proxy.routing.model import Slot
from tests.sim.books import Asked, Books
from tests.sim.workers import Fleet, SimulatedWorker
from tests.sim.world import HOP_S, NodeLoop, World
from tests.support.memory_transport import END_OF_FILE, MemoryTransport

BLUE, GREEN = "10.0.1.", "10.0.2."
_ID = re.compile(rb"X-Request-ID: ([^\r]+)\r\n")
_TENANT = re.compile(rb"X-Tenant-ID: ([^\r]+)\r\n")
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
_SLOT = re.compile(rb"X-Turnout-Slot: (\w+)")
_CODE = re.compile(rb'"code":\s*"([^"]+)"')


class Wire(MemoryTransport):
    """A connection whose far side is told at once of what is written, and of its end."""

    def __init__(self, loop: NodeLoop, protocol: asyncio.BaseProtocol) -> None:
        super().__init__(loop, protocol)
        self.on_write: Callable[[bytes], None] = lambda _: None
        self.on_end: Callable[[], None] = lambda: None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        super().write(data)
        self.on_write(bytes(data))

    def close(self) -> None:
        if not self._closing:
            self.on_end()
        super().close()

    def abort(self) -> None:
        if not self._closing:
            self.on_end()
        super().abort()


class Traffic:
    """All requests of one history. lots: decides who asks what, and how long an answer takes."""

    def __init__(self, world: World, fleet: Fleet, books: Books, lots: Random) -> None:
        self.world, self.fleet, self.books, self._lots = world, fleet, books, lots
        fleet.on_start = self._attend

    def _attend(self, worker: SimulatedWorker) -> None:
        worker.node.dial = partial(self._dialled, worker)

    # ── clients ───────────────────────────────────────────────────────────────────────────────

    def ask(self, tenant: str) -> None:
        """A client asks a worker; none that accepts: nobody asks."""
        accepting = [worker for worker in self.fleet.workers if worker.accepts]
        if not accepting:
            return
        worker = self._lots.choice(accepting)
        asked = Asked(f"r{len(self.books.requests) + 1}", tenant, self.world.now)
        self.books.requests.append(asked)
        with worker.node.inside():
            connection = worker.connects()
            wire = Wire(worker.node.loop, cast("asyncio.BaseProtocol", connection))
            worker.node.loop.call_soon(connection.connection_made, wire)
        self.world.tell("client", f"{asked.name} of {tenant} to {worker.node.name}")
        wire.on_write = partial(self._answered, asked, wire, worker)
        worker.cut.append(partial(self._cut, asked))
        wire.deliver(self._request(asked))
        if self._lots.random() < 0.04:
            self.world.after(self._lots.uniform(0.005, 0.6), partial(self._leave, asked, wire))

    def _request(self, asked: Asked) -> bytes:
        body = b"" if self._lots.random() < 0.6 else b"some"
        lines = [
            b"POST / HTTP/1.1" if body else b"GET / HTTP/1.1",
            b"Host: erp.example",
            b"Connection: close",
            b"X-Tenant-ID: " + asked.tenant.encode(),
            b"X-Request-ID: " + asked.name.encode(),
        ]
        if body:
            lines.append(b"Content-Length: %d" % len(body))
        return b"\r\n".join(lines) + b"\r\n\r\n" + body

    def _answered(self, asked: Asked, wire: Wire, worker: SimulatedWorker, data: bytes) -> None:
        status = _STATUS.match(data)
        if status is None:
            return
        word = (_SLOT if status[1] == b"200" else _CODE).search(data)
        asked.answers.append(f"{status[1].decode()} {'?' if word is None else word[1].decode()}")
        self.world.tell("client", f"{asked.name} is answered {asked.answers[-1]}")
        if asked.answers[-1].endswith("parked-too-long") and not worker.holds(asked.tenant):
            self.books.broken(4, f"{asked.name} waited too long, though nobody held {asked.tenant}")
        self.world.after(self._lots.uniform(*HOP_S), lambda: wire.deliver(END_OF_FILE))

    def _leave(self, asked: Asked, wire: Wire) -> None:
        if not asked.is_over:
            asked.left = True
            self.world.tell("client", f"{asked.name} leaves")
            wire.reset()

    def _cut(self, asked: Asked) -> None:
        if not asked.is_over:
            asked.cut = True

    # ── endpoints ─────────────────────────────────────────────────────────────────────────────

    def _dialled(
        self, worker: SimulatedWorker, host: str, protocol: asyncio.Protocol
    ) -> asyncio.Transport:
        wire = Wire(worker.node.loop, protocol)
        wire.on_write = Endpoint(self, worker, wire, host).hear
        return wire

    def service_s(self) -> float:
        """How long an endpoint works on a request."""
        kind = self._lots.random()
        if kind < 0.75:
            return self._lots.uniform(0.002, 0.05)
        return self._lots.uniform(0.1, 0.6) if kind < 0.94 else self._lots.uniform(0.8, 2.5)

    def hop_s(self) -> float:
        return self._lots.uniform(*HOP_S)


class Endpoint:
    """One request at an endpoint: seen, worked on, answered."""

    def __init__(self, traffic: Traffic, worker: SimulatedWorker, wire: Wire, host: str) -> None:
        self._traffic, self._worker, self._wire = traffic, worker, wire
        self._world, self._books = traffic.world, traffic.books
        self._slot = Slot.BLUE if host.startswith(BLUE) else Slot.GREEN
        self._request = self._tenant = ""
        self._works = self._ended = False
        wire.on_end = self._end
        worker.node.on_kill.append(self._end)

    def hear(self, data: bytes) -> None:
        """The worker has sent this."""
        found, tenant = _ID.search(data), _TENANT.search(data)
        if found is not None and tenant is not None:
            self._request, self._tenant = found[1].decode(), tenant[1].decode()
            self._world.after(self._traffic.hop_s(), self._begin)

    def _begin(self) -> None:
        if self._ended:
            return
        self._works = True
        self._world.tell(str(self._slot), f"{self._request} of {self._tenant} has come")
        self._books.reaches(self._request, self._tenant, self._slot, self._worker.node.name)
        self._world.after(self._traffic.service_s(), self._answer)

    def _answer(self) -> None:
        if self._works:
            self._stop()
            answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
            self._world.after(self._traffic.hop_s(), lambda: self._wire.deliver(answer))

    def _stop(self) -> None:
        self._works = False
        self._world.tell(str(self._slot), f"{self._request} of {self._tenant} is done")
        self._books.leaves(self._request)

    def _end(self) -> None:
        """Its connection has ended."""
        self._ended = True
        if self._works:
            self._stop()
