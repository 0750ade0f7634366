"""The way between processes and servers: delays, cuts, black holes, refusals.

Rules: what goes over one connection arrives in order, or not at all. What is sent into a hole is
kept by the sender's kernel: when the hole is gone it may still arrive, also of a process that has
given up or was killed meanwhile. Nothing is duplicated.
"""

import asyncio
from collections.abc import Callable
from enum import Enum
from typing import Any, Protocol

from tests.sim.world import Node, World

_SLOWEST_S = 1.0
"""A message takes no longer, so that none outlives the faults by much."""


class Way(Enum):
    """How a server is reached."""

    OPEN = "open"
    REFUSED = "refused"  # nobody listens there: told at once
    HOLE = "hole"  # nothing comes back


class Server(Protocol):
    """The far end of connections. name: as the history tells it."""

    name: str

    def receive(self, connection: "Connection", request: Any) -> None:
        """A request has arrived; `connection.answer` answers it, now or later."""

    def lost(self, connection: "Connection") -> None:
        """The connection is gone, as the server sees it."""

    def broken(self) -> Exception:
        """What the client's library raises for a connection that broke."""

    def refused(self) -> Exception:
        """What it raises where nobody listens."""


class Network:
    """All ways of one history. delay_s: what a message takes one way, at least and mostly at most."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.delay_s = (0.0002, 0.001)
        self.cut_share = 0.0
        self.connections: dict[Connection, None] = {}
        self._ways: dict[tuple[str, str], Way] = {}
        self._slow: dict[str, float] = {}
        self._held: list[tuple[Connection, Callable[[], None]]] = []

    def way(self, node: Node, server: Server) -> Way:
        """How this process reaches the server now."""
        own = self._ways.get((node.name, server.name), Way.OPEN)
        return own if own is not Way.OPEN else self._ways.get(("", server.name), Way.OPEN)

    def set_way(self, server: Server, way: Way, node: Node | None = None) -> None:
        """From now on it is reached like this, by one process or by all."""
        self._ways["" if node is None else node.name, server.name] = way
        if way is Way.REFUSED:
            self.cut(server, node)
        elif way is Way.OPEN:
            self._let_through()

    def slow(self, server: Server, factor: float) -> None:
        """Messages to and from it take so many times as long."""
        self._slow[server.name] = factor

    def cut(self, server: Server, node: Node | None = None) -> None:
        """Its connections break, those of one process or of all."""
        for each in list(self.connections):
            if each.server is server and node in {None, each.node}:
                each.reset()

    def heal(self) -> None:
        """All ways are open and fast."""
        self._ways.clear()
        self._slow.clear()
        self.cut_share = 0.0
        self._let_through()

    def _let_through(self) -> None:
        held, self._held = self._held, []
        for connection, deliver in held:
            if self.way(connection.node, connection.server) is Way.HOLE:
                self._held.append((connection, deliver))
            else:
                deliver()

    def carry(
        self, connection: "Connection", earliest: float, deliver: Callable[[], None]
    ) -> float:
        """Take a message over; when it arrives."""
        if self.way(connection.node, connection.server) is Way.HOLE:
            self._held.append(
                (connection, lambda: self.world.after(self._delay(connection), deliver))
            )
            return earliest
        when = max(earliest, self.world.now + self._delay(connection))
        self.world.at(when, deliver)
        return when

    def _delay(self, connection: "Connection") -> float:
        low, high = self.delay_s
        random = self.world.random
        delay = random.uniform(low, high) * self._slow.get(connection.server.name, 1.0)
        return min(delay * 10 if random.random() < 0.01 else delay, _SLOWEST_S)

    def is_unlucky(self) -> bool:
        """Whether the connection breaks at this message."""
        return self.cut_share > 0 and self.world.random.random() < self.cut_share


async def connect(network: Network, node: Node, server: Server, limit_s: float) -> "Connection":
    """A new connection, as its library makes it. Raises what the server's `refused` says; TimeoutError."""
    connection = Connection(network, node, server)
    try:
        await connection.ask(OPENING, limit_s)
    except BaseException:
        connection.close()
        raise
    return connection


OPENING = "a connection"
"""The first request on a connection: the server answers it with True."""


class Connection:
    """One connection. open: as the client sees it. served: as the server does.

    pushed: what the server said unasked, and when it did.
    """

    def __init__(self, network: Network, node: Node, server: Server) -> None:
        self.network, self.node, self.server = network, node, server
        self.open = self.served = True
        self.pushed: list[Any] = []
        self.news = asyncio.Event()
        self._there = self._back = 0.0
        self._answer: asyncio.Future[Any] | None = None
        network.connections[self] = None
        node.on_kill.append(self.close)

    def __repr__(self) -> str:
        return f"<Connection {self.node.name} → {self.server.name}>"

    async def ask(self, request: Any, limit_s: float | None) -> Any:
        """The server's answer. TimeoutError, or what the server's `broken` says."""
        if not self.open or not self.node.alive:
            raise self.server.broken()
        self._answer = self.node.loop.create_future()
        self._send(request)
        try:
            async with asyncio.timeout(limit_s):
                answer = await self._answer
        except (TimeoutError, asyncio.CancelledError):
            self.close()
            raise
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _send(self, request: Any) -> None:
        if self.network.way(self.node, self.server) is Way.REFUSED:
            self.network.world.after(self.network.delay_s[0], self._refuse)
            return
        if self.network.is_unlucky():
            self.reset()
            return

        def arrive() -> None:
            if self.served:
                self.server.receive(self, request)

        self._there = self.network.carry(self, self._there, arrive)

    def _refuse(self) -> None:
        self._end(self.server.refused())

    def answer(self, answer: Any) -> None:
        """The server answers the request."""
        if self.network.is_unlucky():
            self.reset()
            return

        def arrive() -> None:
            if self.open and self.node.alive:
                self.node.loop.call_soon(self._answered, answer)

        self._back = self.network.carry(self, self._back, arrive)

    def delay_answer(self, seconds: float) -> None:
        """What comes back next takes so long."""
        self._back = max(self._back, self.network.world.now + seconds)

    def push(self, message: Any) -> None:
        """The server says something unasked."""

        def arrive() -> None:
            if self.open and self.node.alive:
                self.node.loop.call_soon(self._hear, message)

        self._back = self.network.carry(self, self._back, arrive)

    def _answered(self, answer: Any) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(answer)

    def _hear(self, message: Any) -> None:
        self.pushed.append(message)
        self.news.set()

    def close(self) -> None:
        """The client ends it; the server hears of that later."""
        if self.open:
            self.open = False
            if not (self._answer is None or self._answer.done()):
                self._answer.cancel()
            self.network.carry(self, self._there, self._leave)

    def reset(self) -> None:
        """It breaks, for both."""
        self._leave()
        self._end(self.server.broken())

    def _leave(self) -> None:
        self.network.connections.pop(self, None)
        if self.served:
            self.served = False
            self.server.lost(self)

    def _end(self, error: Exception) -> None:
        if self.open:
            self.open = False
            if self.node.alive:
                self.node.loop.call_soon(self._fail, error)

    def _fail(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
        self.news.set()


def nothing(*_: object) -> None:
    """No trap is set."""
