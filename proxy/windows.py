"""Tells Redis second by second what the whole node has served: see `proxy.routing.windows`.

It runs in the management process and reads what the workers publish anyway. Rules:
1. It looks at each whole second by Redis' clock, whatever has become of telling the second before: a
   look that comes late is the length of its window, and no other's.
2. A window has until shortly before the next to be told, and is not told again: Redis away, or slow,
   costs windows and nothing else.
3. A worker's counters outlive it and go on in the next worker of its block, so a block is looked at
   as one row of figures that never go down; gauges are zeroed with the worker.
4. Of several processes that look at the same workers the last to begin tells, and of what comes after
   it began: none is told twice, those of a second may be lost between the two.
"""

import asyncio
import logging
import os
from collections.abc import Iterable
from math import floor
from time import monotonic
from typing import Final

from redis.asyncio import Redis

from proxy.observability import halves, telemetry
from proxy.observability.settings import MetricsSettings
from proxy.observability.telemetry import COHORTS, Block, Telemetry, group_base, group_of
from proxy.observability.tenants import Entry, read_text
from proxy.routing.model import Slot
from proxy.routing.windows import (
    FIELD,
    MAX_LASTED_MS,
    Figures,
    Group,
    TenantFigures,
    Window,
    encode,
)
from proxy.store import UNREACHABLE, Store, close

log = logging.getLogger("turnout.windows")

EARLY_S: Final = 0.05
"""A look may be so much too early, by the loop's clock or by Redis', and still be that second's."""
TELL_S: Final = 0.9
"""A window is told within so long, or it is lost: then the next is due."""
_GROUPS: Final[tuple[tuple[Group, int], ...]] = tuple(
    ((slot, cohort), group_base(group_of(number, place)))
    for number, slot in enumerate(Slot)
    for place, cohort in enumerate(COHORTS)
)
_FIRST_CLASS: Final = telemetry.STATUS_CLASS + 1
_BUCKETS_END: Final = telemetry.BUCKETS + len(telemetry.BOUNDS_US) + 1


class Clock:
    """Redis' clock by our own: how far it is ahead, in seconds. None until it was heard once."""

    def __init__(self) -> None:
        self.ahead: float | None = None

    def heard(self, theirs: float, asked: float, answered: float) -> None:
        """Redis said its time, seconds, between two moments of ours: it moves by what that proves."""
        least, most = theirs - answered, theirs - asked
        known = (least + most) / 2 if self.ahead is None else self.ahead
        self.ahead = min(max(known, least), most)

    def at(self, ours: float) -> float:
        """Its time at ours; unknown, a clock that began with ours."""
        return ours + (self.ahead or 0.0)

    def until_edge(self, ours: float) -> float:
        """Seconds to its next whole second. One that is about to be, or just was, is looked at."""
        theirs = self.at(ours)
        return floor(theirs + EARLY_S) + 1 - theirs


class Counters:
    """One worker's block, and what was seen there last."""

    def __init__(self, block: Block) -> None:
        self._block = block
        self._seen = block.cells.tolist()

    def again(self) -> dict[Group, Figures]:
        """What has come since, by group, with the gauges as they are."""
        before, self._seen = self._seen, self._block.cells.tolist()
        found = {group: _figures(self._seen, before, base) for group, base in _GROUPS}
        return {group: figures for group, figures in found.items() if figures}


def _figures(now: list[int], before: list[int], base: int) -> Figures:
    def count(cell: int) -> int:
        return max(now[base + cell] - before[base + cell], 0)

    def counts(first: int, end: int) -> tuple[int, ...]:
        return tuple(count(cell) for cell in range(first, end))

    def gauge(cell: int) -> int:
        return max(now[base + cell], 0)

    statuses = counts(_FIRST_CLASS, telemetry.BUCKETS)
    aborted = count(telemetry.ABORTED)
    return Figures(
        requests=sum(statuses),
        statuses=statuses,
        connect_failures=count(telemetry.CONNECT_FAILURES),
        aborted=aborted,
        broken=min(count(telemetry.ANSWERS_BROKEN), aborted),
        retries=count(telemetry.RETRIES),
        latency_us=count(telemetry.LATENCY_US),
        buckets=counts(telemetry.BUCKETS, _BUCKETS_END),
        in_flight=gauge(telemetry.IN_FLIGHT),
        endpoint_connections=gauge(telemetry.ENDPOINT_CONNECTIONS),
        tunnels=gauge(telemetry.TUNNELS),
        eligible=gauge(telemetry.ENDPOINTS_ELIGIBLE),
        endpoints=gauge(telemetry.ENDPOINTS),
    )


class Changes:
    """What a worker tells of its tenants, and what was seen of them last.

    A tenant may be listed twice, as busy and for its failures; who was left out and came back has
    begun anew, and lacks what came before. So what has come since is what shows more of it.
    """

    def __init__(self, block: Block) -> None:
        self._block = block
        self._number = 0
        self._busy: dict[str, Entry] = {}
        self._failing: dict[str, Entry] = {}
        self.again()

    def again(self) -> dict[str, TenantFigures]:
        """What has come since, by tenant."""
        number, payload = halves.read(self._block.area)
        if number == self._number:
            return {}
        self._number = number
        published = read_text(payload)
        before_busy, self._busy = self._busy, _by_tenant(published.entries)
        before_failing, self._failing = self._failing, _by_tenant(published.failing)
        found = grown(self._busy, before_busy)
        for tenant, figures in grown(self._failing, before_failing).items():
            known = found.get(tenant)
            if known is None or _size(figures) > _size(known):
                found[tenant] = figures
        return found


def _by_tenant(entries: list[Entry]) -> dict[str, Entry]:
    return {entry.tenant: entry for entry in entries}


def _size(figures: TenantFigures) -> tuple[int, int]:
    return figures.requests, figures.failures


def grown(now: dict[str, Entry], before: dict[str, Entry]) -> dict[str, TenantFigures]:
    """What each has more than it had, if it has anything."""
    found = {}
    for tenant, entry in now.items():
        known = before.get(tenant)
        if known is None or entry.requests != known.requests:
            found[tenant] = _since(entry, known)
    return found


def _since(now: Entry, before: Entry | None) -> TenantFigures:
    parts = _by_slot(now)
    if before is not None:
        more = [has - had for has, had in zip(parts, _by_slot(before), strict=True)]
        parts = more if min(more) >= 0 else parts
    blue, blue_failed, blue_us, green, green_failed, green_us = parts
    # Who was left out and came back between two looks may have few requests more than it had then,
    # and more failures more than that.
    blue_failed, green_failed = min(blue_failed, blue), min(green_failed, green)
    of_green = (green, green_failed, green_us)
    return TenantFigures(blue + green, blue_failed + green_failed, blue_us + green_us, of_green)


def _by_slot(entry: Entry) -> list[int]:
    """Requests, failures, micros that blue served, then those that green did."""
    green = [entry.green_requests, entry.green_failures, entry.green_micros]
    whole = (entry.requests, entry.failures, entry.micros)
    return [*(all_of - part for all_of, part in zip(whole, green, strict=True)), *green]


def most_telling(
    tenants: Iterable[tuple[str, TenantFigures]], count: int
) -> dict[str, TenantFigures]:
    """So many of them: those with the most failures first, then the busiest."""
    ranked = sorted(tenants, key=lambda each: (-each[1].failures, -each[1].requests, each[0]))
    return dict(ranked[:count])


class Teller:
    """See the module. timeout_s: for each answer of Redis. node: this one's name."""

    def __init__(
        self,
        store: Store,
        settings: MetricsSettings,
        timeout_s: float,
        shared: Telemetry,
        node: str,
    ) -> None:
        limit_s = min(timeout_s, TELL_S)
        self._redis: Redis = store.connect(limit_s, limit_s)
        self._key = store.keys.windows
        self._settings = settings
        self._telemetry = shared
        self._node = node
        self._clock = Clock()
        self._in_vain = self._ended = False
        # As `proxy.traffic` claims it, in the same process: whoever told before is silent from now on.
        shared.supervisor[telemetry.REPORTER] = os.getpid()
        self._looked = monotonic()
        self._counters = [Counters(block) for block in shared.blocks]
        self._tenants = [Changes(block) for block in shared.blocks]

    def __repr__(self) -> str:
        return f"<Teller {self._node} {self._clock.ahead}>"

    async def run(self) -> None:
        """Tell, until `end`; returns at once where nothing is to be told."""
        if self._settings.windows_s:
            await self._carry_out(None)
        while self._settings.windows_s and not self._ended:
            await asyncio.sleep(self._clock.until_edge(monotonic()))
            await self.tell()

    async def end(self) -> None:
        """Tell the part of a second that is left."""
        self._ended = True
        if self._settings.windows_s:
            await self._tell(floor(self._clock.at(monotonic())))
        await close(self._redis)

    async def tell(self) -> None:
        """Tell the second that has just ended."""
        await self._tell(floor(self._clock.at(monotonic()) + EARLY_S) - 1)

    async def _tell(self, second: int) -> None:
        window = self.look(second)
        if self._telemetry.supervisor[telemetry.REPORTER] == os.getpid():
            told = await self._carry_out(None if self._clock.ahead is None else window)
            self._telemetry.supervisor[
                telemetry.WINDOWS_TOLD if told else telemetry.WINDOWS_LOST
            ] += 1

    def look(self, second: int) -> Window:
        """What has come since the last look, as this second's window."""
        now = monotonic()
        lasted_s, self._looked = now - self._looked, now
        groups: dict[Group, Figures] = {}
        for counters in self._counters:
            for group, figures in counters.again().items():
                groups[group] = groups[group] + figures if group in groups else figures
        tenants: dict[str, TenantFigures] = {}
        for changes in self._tenants:
            for tenant, more in changes.again().items():
                tenants[tenant] = tenants[tenant] + more if tenant in tenants else more
        told = most_telling(tenants.items(), self._settings.windows_tenants)
        lasted_ms = min(round(lasted_s * 1_000), MAX_LASTED_MS)
        return Window(second, self._node, groups, told, lasted_ms)

    async def _carry_out(self, window: Window | None) -> bool:
        """Ask for the time and tell the window, if there is one; whether it was told."""
        try:
            async with asyncio.timeout(TELL_S):
                await self._write(window)
        except UNREACHABLE as error:
            if not self._in_vain:
                log.warning("windows of what was served are lost: %s", type(error).__name__)
            self._in_vain = True
            return False
        if self._in_vain:
            log.info("windows of what was served are told again")
        self._in_vain = False
        return window is not None

    async def _write(self, window: Window | None) -> None:
        # Not as one transaction: an entry without a new time to live is an entry all the same.
        asking = self._redis.pipeline(transaction=False)
        if window is not None:
            kept_ms = self._settings.windows_kept_s * 1_000
            oldest = max(0, round(self._clock.at(monotonic()) * 1_000) - kept_ms)
            asking.xadd(self._key, {FIELD: encode(window)}, minid=oldest, approximate=True)
            asking.pexpire(self._key, kept_ms)
        asking.time()
        asked = monotonic()
        (*_, (seconds, micros)) = await asking.execute()
        self._clock.heard(seconds + micros / 1_000_000, asked, monotonic())
