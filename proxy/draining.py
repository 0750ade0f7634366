"""Carries out the table's drains in one worker: looks for what is meant, ends it at a pace, tells.

Rules:
1. Nothing of it runs, and no request pays for it, while the table has no drain: connections are
   looked through from time to time, each time for no more than a part of the worker's time.
2. What is to be ended is asked for again when its turn has come: meanwhile it may have ended by
   itself, or the drain may be over.
3. What is granted at once is not ended at once: each has its moment until the next step, by lot, so
   that clients come back one by one. So in any time t no more than pace * (t + burst + step) + 1 are
   ended.
4. How many are left is told at once where it comes to nothing, and after each new table; before
   the first look at a table nothing is said of its drains.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Final, Protocol

from proxy.exchange.drains import Lasting, Meaning
from proxy.exchange.lines import Line
from proxy.pace import BURST_S, Want
from proxy.routing.ack import MAX_DETAILED, MAX_TENANTS_TOLD
from proxy.routing.model import RoutingTable

log = logging.getLogger("turnout.draining")

STEP_S: Final = 0.05
"""How soon the pace is asked again."""
_REST: Final = 10
"""After a look, so many times as long as it took pass before the next."""


_MAX_RESTING: Final = 10_000
"""Tenants of whom it is known that their pace has nothing for now; beyond, they ask again."""

Take = Callable[[Sequence[Want]], Awaitable[list[int]]]
"""What the pace grants; see `Pace.take`."""


class Drainable(Protocol):
    """A client's connection, as it is seen here."""

    def lasting(self) -> Lasting | None:
        """What is under way in a slot; None: nothing."""

    def end(self) -> None:
        """End what lasts: in good order where it may end, else cut it."""


Found = list[tuple[Lasting, Drainable]]


class Draining:
    """See the module. connections: those that the worker has now. take: see `Pace.take`.

    tell: see `Follower.tell`. lots: what is drawn by, 0 to 1.
    """

    def __init__(
        self,
        connections: Callable[[], Iterable[Drainable]],
        take: Take,
        tell: Callable[[], None],
        lots: Callable[[], float],
    ) -> None:
        self._connections = connections
        self._take = take
        self._tell = tell
        self._lots = lots
        self._table = RoutingTable()
        self._meaning = Meaning(self._table)
        self._news = asyncio.Event()
        self._lines: dict[str, Line[Drainable]] = {}
        self._left: dict[str, int] = {}
        self._detail: dict[str, Mapping[str, Mapping[str, int]]] = {}
        self._leaving: set[Drainable] = set()
        self._resting: dict[str, float] = {}
        self._next_look = 0.0

    def __repr__(self) -> str:
        return f"<Draining {self._left}>"

    def swap(self, table: RoutingTable) -> None:
        """This is the table now."""
        self._table = table
        self._meaning = Meaning(table)
        self._left, self._detail = {}, {}
        self._lines = {}
        self._resting = {}
        self._next_look = 0.0
        self._news.set()

    def left(self) -> dict[str, int]:
        """Drain → what is left of it here, as of the last look."""
        return dict(self._left)

    def detail(self) -> Mapping[str, Mapping[str, Mapping[str, int]]]:
        """The same of the first drains by kind and by tenant; see `WorkerStatus.left`."""
        return self._detail

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
                async with asyncio.timeout(STEP_S):
                    await self._news.wait()

    async def step(self) -> None:
        """Look, if it is time, and end as many as the pace allows."""
        self._news.clear()
        began = monotonic()
        if began >= self._next_look:
            self._look()
            self._next_look = began + (monotonic() - began) * _REST
        wants = [want for name, line in self._lines.items() for want in self._wants(name, line)]
        if wants:
            for want, granted in zip(wants, await self._take(wants), strict=True):
                self._grant(want, granted)

    def _wants(self, name: str, line: Line[Drainable]) -> list[Want]:
        drain, now = self._table.drains[name], monotonic()
        forward = line.forward(
            drain, BURST_S + STEP_S, lambda tenant: self._resting.get(f"{name}:{tenant}", 0.0) > now
        )
        return [
            Want(name, drain.per_second, count, tenant, drain.tenant_per_second)
            for tenant, count in forward
        ]

    def _look(self) -> None:
        """Find all that the drains mean. What is in a hurry is ended here."""
        drains = self._table.drains
        found: dict[str, Found] = {name: [] for name in drains}
        for connection in self._connections():
            lasting = connection.lasting()
            if lasting is not None:
                for name in self._meaning.of(lasting):
                    found[name].append((lasting, connection))
        self._lines = {
            name: Line(pair for pair in each if pair[1] not in self._leaving)
            for name, each in found.items()
            if not drains[name].hurry
        }
        for name, each in found.items():
            for _, connection in each if drains[name].hurry else ():
                connection.end()
        self._detail = {name: _detail_of(found[name]) for name in list(found)[:MAX_DETAILED]}
        self._count({name: len(each) for name, each in found.items()})

    def _count(self, left: dict[str, int]) -> None:
        before, self._left = self._left, left
        if any(name not in before or (before[name] and not count) for name, count in left.items()):
            self._tell()

    def _grant(self, want: Want, count: int) -> None:
        """So many of those that this drain still means have their moment before the next step."""
        line = self._lines.get(want.drain)
        if line is None:
            return
        if want.tenant_per_second and count < want.wanted:
            self._rest(want)
        tenant = want.tenant if want.tenant_per_second else None
        for connection in line.take(tenant, lambda held: self._may_end(want.drain, held), count):
            after_s = self._lots() * STEP_S
            if after_s:
                self._leaving.add(connection)
                asyncio.get_running_loop().call_later(after_s, self._end, want.drain, connection)
            else:
                connection.end()

    def _rest(self, want: Want) -> None:
        """Its tenant has nothing until its pace has one more."""
        if len(self._resting) >= _MAX_RESTING:
            self._resting = {}
        self._resting[want.bucket] = monotonic() + 1 / want.tenant_per_second

    def _may_end(self, drain: str, connection: Drainable) -> bool:
        lasting = connection.lasting()
        return lasting is not None and lasting.may_end and drain in self._meaning.of(lasting)

    def _end(self, drain: str, connection: Drainable) -> None:
        """Its moment has come."""
        self._leaving.discard(connection)
        if self._may_end(drain, connection):
            connection.end()


def _detail_of(found: Found) -> Mapping[str, Mapping[str, int]]:
    """What is left by kind, and by the tenants that have most."""
    kinds = Counter(lasting.kind for lasting, _ in found)
    tenants = Counter(lasting.tenant or "" for lasting, _ in found)
    return {"kinds": dict(kinds), "tenants": dict(tenants.most_common(MAX_TENANTS_TOLD))}
