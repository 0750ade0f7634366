"""The busiest tenants of a worker, in bounded memory, and how others read of them.

Rules: Space-Saving (Metwally, Agrawal, El Abbadi, "Efficient computation of frequent and top-k
elements in data streams", 2005): a summary of fixed size; who is not in it takes the place, and
the weight, of the least. So a weight is never too low, and too high by no more than `error`,
which is at most the total weight / the capacity; who has more than that share is always in it.
Weights are halved every `HALF_LIFE_S`, so that the busiest of late are ranked, not of all time.
What is exposed is not the weight but what was counted since the tenant was listed: that never
goes down while it stays. A second, small summary lists who has failures, weighed by them: among
thousands of tenants one that is not busy, and fails, would be crowded out of the first.

A worker's sweep writes its summary to memory that the management process reads; see
`proxy.observability.halves`.
"""

from collections.abc import Callable
from heapq import heapify, heappush, heapreplace
from operator import attrgetter
from typing import Any, Final, NamedTuple

import orjson

from proxy.observability import halves
from proxy.observability.telemetry import Block, TenantCount

FAILING: Final = 200
"""How many tenants are listed for their failures."""
HALF_LIFE_S: Final = 600.0
CAPACITY_PER_TENANT: Final = 10
"""How much larger the summary is than what is shown of it; its error is so much smaller."""


class Entry:
    """One tenant. weight, error: see the module. requests, failures (5xx), micros: since it is
    in the summary; green_…: of those, what the slot green served.
    """  # noqa: D205 - one sentence a field

    __slots__ = (
        "error",
        "failures",
        "green_failures",
        "green_micros",
        "green_requests",
        "micros",
        "requests",
        "tenant",
        "weight",
    )

    def __init__(self, tenant: str, weight: int = 0) -> None:
        self.tenant = tenant
        self.weight = self.error = weight
        self.requests = self.failures = self.micros = 0
        self.green_requests = self.green_failures = self.green_micros = 0

    def __repr__(self) -> str:
        return f"<Entry {self.tenant} {self.requests} weight={self.weight}±{self.error}>"


class Summary:
    """Space-Saving with this many entries."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.entries: dict[str, Entry] = {}
        # One item for each entry, with a weight that it had: never above the one it has.
        self._heap: list[tuple[int, str]] = []

    def add(self, tenant: str, requests: int, failures: int = 0, micros: int = 0) -> None:
        """Count so many more requests of a tenant. micros: they took together."""
        entry = self.entry(tenant)
        entry.weight += requests
        entry.requests += requests
        entry.failures += failures
        entry.micros += micros

    def take_over(self, count: TenantCount, weight: int) -> None:
        """Add what was counted of a tenant in a slot."""
        entry = self.entry(count.tenant)
        entry.weight += weight
        entry.requests += count.requests
        entry.failures += count.failures
        entry.micros += count.micros
        if count.slot_number:
            entry.green_requests += count.requests
            entry.green_failures += count.failures
            entry.green_micros += count.micros

    def entry(self, tenant: str) -> Entry:
        """That of a tenant, who has one from now on."""
        found = self.entries.get(tenant)
        return self._enter(tenant) if found is None else found

    @property
    def floor(self) -> int:
        """The least weight: nobody who is not listed has more. 0 while there is room."""
        if len(self.entries) < self.capacity:
            return 0
        return self.entries[self._least()].weight

    def halve(self) -> None:
        """Half a weight for what was."""
        for entry in self.entries.values():
            entry.weight //= 2
            entry.error //= 2
        self._sort()

    def take(self, entries: list[Entry]) -> None:
        """Go on from these, the heaviest if they are too many."""
        entries.sort(key=lambda entry: entry.weight, reverse=True)
        self.entries = {entry.tenant: entry for entry in entries[: self.capacity]}
        self._sort()

    def _sort(self) -> None:
        self._heap = [(entry.weight, entry.tenant) for entry in self.entries.values()]
        heapify(self._heap)

    def _enter(self, tenant: str) -> Entry:
        if len(self.entries) < self.capacity:
            entry = self.entries[tenant] = Entry(tenant)
            heappush(self._heap, (0, tenant))
            return entry
        least = self.entries.pop(self._least())
        entry = self.entries[tenant] = Entry(tenant, least.weight)
        heapreplace(self._heap, (least.weight, tenant))
        return entry

    def _least(self) -> str:
        """Who has the least weight: after this the heap's first item is right."""
        heap = self._heap
        while True:
            weight, tenant = heap[0]
            current = self.entries[tenant].weight
            if current == weight:
                return tenant
            heapreplace(heap, (current, tenant))


class Published(NamedTuple):
    """What a worker tells. limit: how many are to be shown. floor: see Summary.

    counted: answers to all tenants together, listed or not: exact, and never goes down. failing:
    those that are listed for their failures, with all that was counted of them since.
    """

    limit: int
    floor: int
    counted: int
    entries: list[Entry]
    failing: list[Entry]


class Tenants:
    """One worker's. limit: how many are shown; 0: none, and nothing is counted."""

    def __init__(self, block: Block, limit: int) -> None:
        self._block = block
        self._limit = limit
        self._number = 0
        self._counted = 0
        self._epoch = -1
        self._changed = True
        self.summary = Summary(max(1, limit * CAPACITY_PER_TENANT))
        self.failing = Summary(FAILING)

    def adopt(self) -> None:
        """Go on from what an earlier worker has published in this block."""
        self._number, payload = halves.read(self._block.area)
        if payload:
            published = _decoded(payload)
            self._counted = published.counted
            self.summary.take(published.entries)
            self.failing.take(published.failing)

    def sweep(self, now: float) -> None:
        """Take over what was counted, and publish it. now: monotonic seconds."""
        touched = self._block.tenants
        if touched:
            summary, failing = self.summary, self.failing
            for count in touched:
                summary.take_over(count, count.requests)
                if count.failures or count.tenant in failing.entries:
                    failing.take_over(count, count.failures)
                self._counted += count.requests
                count.requests = count.failures = count.micros = 0
            touched.clear()
            self._changed = True
        epoch = int(now // HALF_LIFE_S)  # the same in all workers: they share the clock
        if epoch != self._epoch:
            if self._epoch >= 0:
                self.summary.halve()
                self.failing.halve()
            self._epoch = epoch
            self._changed = True
        if self._changed:
            self._changed = False
            self._publish()

    def _publish(self) -> None:
        summary = self.summary
        rows, failing = _rows(summary), _rows(self.failing)
        head = (self._limit, summary.floor, self._counted)
        payload = orjson.dumps((*head, rows, failing))
        while len(payload) > halves.room(self._block.area):
            rows = rows[: len(rows) // 2]
            payload = orjson.dumps((*head, rows, failing))
        self._number += 1
        halves.write(self._block.area, self._number, payload)


def read(block: Block) -> Published:
    """What a block's worker, or its last one, has published."""
    _, payload = halves.read(block.area)
    return read_text(payload)


def read_text(payload: bytes) -> Published:
    """What a text says that was published; an empty one nothing."""
    return _decoded(payload) if payload else Published(0, 0, 0, [], [])


def busiest(blocks: list[tuple[Block, bool]]) -> tuple[list[Entry], int]:
    """The busiest tenants of all workers, and how far the ranking may be off, in requests.

    blocks: each with whether a worker lives in it: only those rank. The counts are of all.
    """
    total: dict[str, Entry] = {}
    limit = error = 0
    for block, lives in blocks:
        published = read(block)
        if lives:
            limit = max(limit, published.limit)
            error += published.floor
        for each in published.entries:
            entry = total.setdefault(each.tenant, Entry(each.tenant))
            entry.weight += each.weight if lives else 0
            entry.requests += each.requests
            entry.failures += each.failures
            entry.micros += each.micros
    ranked = sorted(total.values(), key=lambda entry: (-entry.weight, entry.tenant))
    return ranked[:limit], error


def _decoded(payload: bytes) -> Published:
    limit, floor, counted, rows, failing = orjson.loads(payload)
    return Published(limit, floor, counted, _entries(rows), _entries(failing))


_WRITTEN: Final = (
    *("error", "requests", "failures", "micros"),
    *("green_requests", "green_failures", "green_micros"),
)
_written: Final[Callable[[Entry], tuple[int, ...]]] = attrgetter(*_WRITTEN)


def _rows(summary: Summary) -> list[tuple[Any, ...]]:
    entries = sorted(summary.entries.values(), key=lambda each: each.weight, reverse=True)
    return [(each.tenant, each.weight, *_written(each)) for each in entries]


def _entries(rows: list[list[Any]]) -> list[Entry]:
    entries = []
    for tenant, weight, *counted in rows:
        entry = Entry(tenant, weight)
        for name, value in zip(_WRITTEN, counted, strict=True):
            setattr(entry, name, value)
        entries.append(entry)
    return entries
