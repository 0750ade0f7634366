"""The playbook driver: one worker's data plane, whole and real, between played ends.

A playbook says what a client and the endpoints do and what each must get. `@playbook` runs it
whole, byte by byte, and cut at random places; in both directions. After every step the counters
must agree with the exchanges under way, and after the last client left all must be zero.
All knowledge of how the parts are put together lives here.
"""

import asyncio
import functools
import inspect
import logging
import random
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from types import MappingProxyType, TracebackType
from typing import Any, Self, cast

import msgspec
import pytest

from proxy.config import Settings
from proxy.downstream.connection import ClientConnection
from proxy.downstream.peer import Peer
from proxy.exchange.forward import Exchange
from proxy.exchange.services import Services
from proxy.exchange.states import TRANSITIONS, Event, State
from proxy.observability import telemetry
from proxy.observability.telemetry import Telemetry
from proxy.routing.model import Endpoint, RoutingTable, Slot
from proxy.worker import _services as services_of_worker
from tests.support.affinity_store import AffinityStoreFake
from tests.support.memory_transport import END_OF_FILE, Dialled, MemoryLoop, MemoryTransport
from tests.support.messages import Message, take_message

__all__ = ["TRANSITIONS", "Event", "Message", "State", "Wire", "playbook", "table"]

PEER = "192.0.2.7"
_CLAIMED = tuple(map(int, (State.CLAIMING, State.AWAITING, State.STORING, State.RELAYING)))
_TUNNEL, _QUEUED, _PARKED, _BINDING = map(
    int, (State.TUNNEL, State.QUEUED, State.PARKED, State.BINDING)
)
_GROUP_BASES = tuple(map(telemetry.group_base, range(len(telemetry.GROUPS))))

Cut = Callable[[bytes], Iterable[bytes]]


def whole(data: bytes) -> Iterable[bytes]:
    return [data]


def byte_by_byte(data: bytes) -> Iterable[bytes]:
    """The long middle of a body is left in one piece: nothing in it is parsed."""
    if len(data) > 16_384:
        head, middle, tail = data[:2_048], data[2_048:-512], data[-512:]
        return [*byte_by_byte(head), middle, *byte_by_byte(tail)]
    return [data[index : index + 1] for index in range(len(data))]


def at_random(source: random.Random) -> Cut:
    def cut(data: bytes) -> Iterable[bytes]:
        places = sorted(source.randrange(len(data) + 1) for _ in range(source.randrange(1, 9)))
        edges = [0, *places, len(data)]
        return [data[a:b] for a, b in pairwise(edges) if a < b]

    return cut


CUTS: Mapping[str, Callable[[random.Random], Cut]] = {
    "whole": lambda _: whole,
    "bytes": lambda _: byte_by_byte,
    "random": at_random,
}


def playbook(*, cuts: tuple[str, ...] = tuple(CUTS), **options: Any) -> Callable[..., Any]:
    """Run the test with a Wire of these options, once for each way of cutting."""

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(test)
        def run(cutting: str, seeded_random: random.Random, **row: Any) -> None:
            with Wire(CUTS[cutting](seeded_random), **options) as wire:
                test(wire, **row)

        of_test = list(inspect.signature(test).parameters.values())[1:]
        of_run = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY)
            for name in ("cutting", "seeded_random")
        ]
        keyword = [value.replace(kind=inspect.Parameter.KEYWORD_ONLY) for value in of_test]
        run.__signature__ = inspect.Signature([*of_run, *keyword])  # type: ignore[attr-defined]
        marked: Callable[..., None] = pytest.mark.parametrize("cutting", cuts)(run)
        return marked

    return decorate


def table(blue: int = 1, green: int = 1, **parts: Any) -> RoutingTable:
    """A table with so many endpoints in each slot: 10.0.1.n is blue, 10.0.2.n green."""
    endpoints = {
        Slot.BLUE: tuple(Endpoint(f"10.0.1.{n}", 8000) for n in range(blue)),
        Slot.GREEN: tuple(Endpoint(f"10.0.2.{n}", 8000) for n in range(green)),
    }
    return RoutingTable(version=1, endpoints=MappingProxyType(endpoints), **parts)


class Side:
    """A played end. open, or closed: the proxy has ended or cut the connection."""

    def __init__(self, wire: "Wire", transport: MemoryTransport) -> None:
        self._wire = wire
        self.transport = transport

    @property
    def closed(self) -> bool:
        return self.transport.ended or self.transport.lost

    @property
    def open(self) -> bool:
        return not self.closed

    @property
    def aborted(self) -> bool:
        return self.transport.aborted

    @property
    def paused(self) -> bool:
        """Whether the proxy reads no more from here for now."""
        return not self.transport.is_reading()

    @property
    def reads(self) -> bool:
        return not self.paused

    @property
    def unflushed(self) -> int:
        """Bytes that the proxy holds because this end doesn't read."""
        return self.transport.get_write_buffer_size()

    def sends(self, data: bytes) -> None:
        """Send, cut as the playbook is; settle after each piece."""
        for piece in self._wire.cut(data):
            self.transport.deliver(bytes(piece))
            self._wire.settle()

    def sends_at_once(self, data: bytes) -> None:
        """Send in one piece, to be read in the loop's next pass; the test settles."""
        self.transport.deliver(data)

    def ends(self) -> None:
        """End this direction (a half-close)."""
        self.transport.deliver(END_OF_FILE)
        self._wire.settle()

    def vanishes(self) -> None:
        """Reset the connection."""
        self.transport.reset()
        self._wire.settle()

    def stalls(self) -> None:
        self.transport.stall()

    def flows(self) -> None:
        self.transport.flow()
        self._wire.settle()

    def got(self, expected: bytes) -> None:
        """Exactly these bytes have come since the last look."""
        arrived = bytes(self.transport.arrived)
        self.transport.arrived.clear()
        assert arrived == expected

    def got_nothing(self) -> None:
        self.got(b"")


class ClientSide(Side):
    def __init__(
        self, wire: "Wire", transport: MemoryTransport, connection: ClientConnection
    ) -> None:
        super().__init__(wire, transport)
        self.connection = connection

    def answer(self, method: bytes = b"GET") -> Message:
        """The next answer, whole."""
        message = take_message(self.transport.arrived, method, until_close=self.closed)
        assert message is not None, f"no whole answer in {bytes(self.transport.arrived)!r}"
        return message

    def refused(self, status: int, method: bytes = b"GET", *, closes: bool = True) -> Message:
        """The proxy's own answer with this status, and nothing after it."""
        answer = self.answer(method)
        assert answer.status == status, answer
        assert answer["Content-Type"] == b"application/problem+json"
        self.got_nothing()
        assert self.closed is closes
        return answer


class EndpointSide(Side):
    def __init__(self, wire: "Wire", transport: MemoryTransport, address: tuple[str, int]) -> None:
        super().__init__(wire, transport)
        self.host, self.port = address

    def request(self) -> Message:
        """The next request, whole."""
        message = take_message(self.transport.arrived, b"")
        assert message is not None, f"no whole request in {bytes(self.transport.arrived)!r}"
        return message

    def answers(self, body: bytes = b"ok", status: bytes = b"200 OK") -> None:
        length = b"Content-Length: %d\r\n\r\n" % len(body)
        self.sends(b"HTTP/1.1 " + status + b"\r\n" + length + body)


class Wire:
    """One worker. settings: as in the [proxy] section. trusted: whether clients are.

    seed: of what the worker draws by lot.
    """

    def __init__(
        self,
        cut: Cut = whole,
        *,
        settings: Mapping[str, Any] = MappingProxyType({}),
        routing: RoutingTable | None = None,
        trusted: bool = False,
        seed: int = 0,
    ) -> None:
        self.cut = cut
        self.loop = MemoryLoop(self._dial)
        self.settings = msgspec.convert(dict(settings), Settings)
        self.block = Telemetry(1).blocks[0]
        self.services = services_of_worker(self.settings, self.block, seed)
        self.services.request_id_prefix = b"wire-"
        self.affinity_store = AffinityStoreFake(self.loop)
        if self.services.affinities is not None:
            self.services.affinities.store = self.affinity_store
        self.trusted = trusted
        self.clients: list[ClientSide] = []
        self.endpoints: list[EndpointSide] = []
        self.exchanges: list[Exchange] = []
        self.lost_clients: list[ClientConnection] = []
        self._refusals: dict[str, Exception] = {}
        self._hanging: set[str] = set()
        self._decisions: list[Any] = []
        self._pools: set[Any] = set()
        self._log = _Errors()
        self.use(routing or table())

    # ── the playbook's words ──────────────────────────────────────────────────────────────────

    @property
    def client(self) -> ClientSide:
        """The first client; it connects when it is first named."""
        return self.clients[0] if self.clients else self._connect(PEER)

    def connects(self, address: str = PEER) -> ClientSide:
        """One more client, beside the first."""
        _ = self.client
        return self._connect(address)

    def _connect(self, address: str) -> ClientSide:
        peer = Peer(address, trusted=self.trusted)
        connection = ClientConnection(self.services, self._exchange, peer, self.lost_clients.append)
        # asyncio asks for no base class, only for the methods.
        transport = MemoryTransport(self.loop, cast("asyncio.Protocol", connection))
        self.loop.call_soon(connection.connection_made, transport)
        self.clients.append(ClientSide(self, transport, connection))
        self.settle()
        return self.clients[-1]

    def endpoint(self, number: int) -> EndpointSide:
        """The connection to an endpoint that was opened as the number-th, from 0."""
        assert number < len(self.endpoints), f"only {len(self.endpoints)} connections were opened"
        return self.endpoints[number]

    def refuses(self, host: str, error: Exception | None = None) -> None:
        """Connections to this host fail from now on."""
        self._refusals[host] = error or ConnectionRefusedError("refused by the test")

    def hangs(self, host: str) -> None:
        """Connections to this host are not decided until `answers_calls`."""
        self._hanging.add(host)

    def answers_calls(self) -> None:
        """Accept what hangs."""
        self._hanging.clear()
        for decision in self._decisions:
            if not decision.done():
                decision.set_result(None)
        self.settle()

    def use(self, routing: RoutingTable) -> None:
        """The worker takes a new table, as it does."""
        self.loop.call_soon(self.services.use, routing)
        self.loop.settle()
        self._pools.update(pool for group in self.services.slots.groups for pool in group.pools)

    def later(self, seconds: float) -> None:
        """So much time passes, and the worker's sweep runs once."""
        self.services.now += seconds
        self.loop.advance(seconds)
        self.settle()
        self.loop.call_soon(self._sweep)
        self.settle()

    def settle(self) -> None:
        """Let everything happen that happens now; then the counters must be right."""
        self.loop.settle()
        self.check()

    # ── what must always hold ─────────────────────────────────────────────────────────────────

    def gauge(self, cell: int) -> int:
        """A group's cell, summed over the groups."""
        self.block.publish()
        return self._summed(cell)

    def _summed(self, cell: int) -> int:
        cells = self.block.cells
        return sum([cells[base + cell] for base in _GROUP_BASES])

    def check(self) -> None:
        """Gauges and claims agree with the exchanges under way.

        It runs after every byte of some playbooks, hence counts: no enum is called here.
        """
        states = [each.state for each in self.exchanges]
        under_way = sum(map(states.count, _CLAIMED))
        tunnels = states.count(_TUNNEL)
        queued = states.count(_QUEUED)
        parked = states.count(_PARKED)
        waiting = queued + parked + states.count(_BINDING)
        self.block.publish()
        assert self._summed(telemetry.IN_FLIGHT) == under_way + waiting, self.exchanges
        assert self.services.parking.count == parked, self.exchanges
        assert parked or not self.services.parking.size
        assert self._summed(telemetry.TUNNELS) == tunnels, self.exchanges
        assert self._summed(telemetry.QUEUE) == queued, self.exchanges
        claimed = sum([pool.in_flight for pool in self._pools])
        assert claimed == under_way + tunnels, (self._pools, self.exchanges)
        assert sum([pool.tunnels for pool in self._pools]) == tunnels, self._pools
        admissions = [group.admission for group in self.services.slots.groups]
        assert sum([each.in_flight for each in admissions]) == claimed, admissions
        assert sum([each.waiting for each in admissions]) == queued, admissions
        opened = sum([not endpoint.transport.lost for endpoint in self.endpoints])
        assert self._summed(telemetry.ENDPOINT_CONNECTIONS) == opened

    def leave(self) -> None:
        """All clients go; nothing may be left of them."""
        for client in self.clients:
            if not client.transport.lost:
                client.vanishes()
        assert {State(exchange.state) for exchange in self.exchanges} <= {State.ENDED}
        assert len(self.lost_clients) == len(self.clients) == len(set(self.lost_clients))
        assert all(group.admission.counts_nobody for group in self.services.slots.groups)
        self.loop.run_to_end(self.services.slots.close())
        self.settle()
        assert self.gauge(telemetry.ENDPOINT_CONNECTIONS) == 0
        assert not self._log.lines
        if self.services.affinities is not None:
            assert "waiting=0" in repr(self.services.affinities)

    # ── the parts ─────────────────────────────────────────────────────────────────────────────

    def __enter__(self) -> Self:
        logging.getLogger("turnout").addHandler(self._log)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.leave()
        finally:
            logging.getLogger("turnout").removeHandler(self._log)
            self.loop.discard()

    def _exchange(self, services: Services, client: ClientConnection) -> Exchange:
        self.exchanges.append(Exchange(services, client))
        return self.exchanges[-1]

    def _sweep(self) -> None:
        for client in self.clients:
            if client.connection not in self.lost_clients:
                client.connection.sweep(self.services.now)
        self.services.slots.sweep(self.services.now)

    def _dial(self, host: str, port: int) -> Dialled:
        def made(transport: MemoryTransport) -> None:
            self.endpoints.append(EndpointSide(self, transport, (host, port)))

        if host in self._hanging:
            self._decisions.append(self.loop.create_future())
            return Dialled(made, self._decisions[-1])
        if host in self._refusals:
            refusal = self.loop.create_future()
            refusal.set_exception(self._refusals[host])
            return Dialled(made, refusal)
        return Dialled(made)


class _Errors(logging.Handler):
    """What the proxy logs as an error: a failed task, most likely."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())
