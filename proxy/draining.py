"""Carries out the table's drains in one worker: looks for what is meant, ends it at a pace, tells.

Rules:
1. Nothing of it runs, and no request pays for it, while the table has no drain: connections are
   looked through from time to time, each time for no more than a part of the worker's time.
2. What is to be ended is asked for again when its turn has come: meanwhile it may have ended by
   itself, or the drain may be over.
3. How many are left is told at once where it comes to nothing, and after each new table; before
   the first look at a table nothing is said of its drains.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from time import monotonic
from typing import Final, Protocol

from proxy.exchange.drains import Lasting, Meaning, longest_idle_first
from proxy.pace import Want
from proxy.routing.model import RoutingTable

log = logging.getLogger("turnout.draining")

_STEP_S: Final = 0.05
"""How soon the pace is asked again."""
_REST: Final = 10
"""After a look, so many times as long as it took pass before the next."""


Take = Callable[[Sequence[Want]], Awaitable[dict[str, int]]]
"""What the pace grants; see `Pace.take`."""


class Drainable(Protocol):
    """A client's connection, as it is seen here."""

    def lasting(self) -> Lasting | None:
        """What is under way in a slot; None: nothing."""

    def end(self) -> None:
        """End what lasts: in good order where it may end, else cut it."""


class Draining:
    """See the module. connections: those that the worker has now. take: see `Pace.take`.

    tell: see `Follower.tell`.
    """

    def __init__(
        self, connections: Callable[[], Iterable[Drainable]], take: Take, tell: Callable[[], None]
    ) -> None:
        self._connections = connections
        self._take = take
        self._tell = tell
        self._table = RoutingTable()
        self._meaning = Meaning(self._table)
        self._news = asyncio.Event()
        self._lines: dict[str, deque[tuple[Lasting, Drainable]]] = {}
        self._left: dict[str, int] = {}
        self._next_look = 0.0

    def __repr__(self) -> str:
        return f"<Draining {self._left}>"

    def swap(self, table: RoutingTable) -> None:
        """This is the table now."""
        self._table = table
        self._meaning = Meaning(table)
        self._left = {}
        self._lines = {}
        self._next_look = 0.0
        self._news.set()

    def left(self) -> dict[str, int]:
        """Drain → what is left of it here, as of the last look."""
        return dict(self._left)

    async def run(self) -> None:
        """Until it is cancelled."""
        while True:
            if not self._table.drains:
                self._news.clear()
                await self._news.wait()
            try:
                await self.step()
            except Exception:
                # A switch waits for what is closed here.
                log.exception("a step of a drain failed")
            with suppress(TimeoutError):
                async with asyncio.timeout(_STEP_S):
                    await self._news.wait()

    async def step(self) -> None:
        """Look, if it is time, and end as many as the pace allows."""
        self._news.clear()
        began = monotonic()
        if began >= self._next_look:
            self._look()
            self._next_look = began + (monotonic() - began) * _REST
        wants = [
            Want(name, self._table.drains[name].per_second, len(line))
            for name, line in self._lines.items()
            if line
        ]
        if wants:
            for name, granted in (await self._take(wants)).items():
                self._end(name, granted)

    def _look(self) -> None:
        """Find all that the drains mean. What is in a hurry is ended here."""
        drains = self._table.drains
        found: dict[str, list[tuple[Lasting, Drainable]]] = {name: [] for name in drains}
        for connection in self._connections():
            lasting = connection.lasting()
            if lasting is not None:
                for name in self._meaning.of(lasting):
                    found[name].append((lasting, connection))
        self._lines = {
            name: deque(longest_idle_first(each))
            for name, each in found.items()
            if not drains[name].hurry
        }
        for name, each in found.items():
            for _, connection in each if drains[name].hurry else ():
                connection.end()
        self._count({name: len(each) for name, each in found.items()})

    def _count(self, left: dict[str, int]) -> None:
        before, self._left = self._left, left
        if any(name not in before or (before[name] and not count) for name, count in left.items()):
            self._tell()

    def _end(self, name: str, count: int) -> None:
        """End so many of those that this drain still means."""
        line = self._lines.get(name)
        while line and count:
            connection = line.popleft()[1]
            lasting = connection.lasting()
            if lasting is not None and lasting.may_end and name in self._meaning.of(lasting):
                connection.end()
                count -= 1
