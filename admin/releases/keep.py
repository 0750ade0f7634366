"""Keeps releases' traffic in PostgreSQL while they run, and for some minutes before and after.

Rules:
1. Any admin may keep, one at a time: what it writes comes of the windows in Redis alone, so who goes on
   after another writes the same. Nothing is lost as long as Redis' windows reach back to where it stopped.
2. Windows come up to two minutes late: so much is computed anew each time.
3. Ages are PostgreSQL's, seconds are Redis': no two hosts' clocks are compared.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, Protocol

import asyncpg
import structlog

from admin.monitor.model import Reading
from admin.releases import kept_store
from admin.releases.kept import COARSER, LENGTH_S, gathered, packed, ripe, unpacked
from admin.routing.database import Database, DatabaseUnavailableError
from admin.routing.publish import StoreUnavailableError
from proxy.routing.windows import MAX_LATE_S, Window

log = structlog.get_logger(__name__)
EVERY_S: Final = float(LENGTH_S)
REACH_S: Final = 3_600
"""How far back windows are looked for; below the age at which intervals are joined."""
_AGAIN_S: Final = MAX_LATE_S + 2 * LENGTH_S
_PRUNE_EVERY: Final = 360
"""Rounds between two prunings: an hour."""


class Reader(Protocol):
    """Where windows come from. now: the second that it was at the last reading, by Redis' clock."""

    @property
    def now(self) -> int:
        """See the class."""

    async def latest(self, seconds: int) -> list[Window]:
        """Those of the last so many seconds. StoreUnavailableError."""


class Keep:
    """Keeps. before_s, after_s: so much around a release. days: until it is forgotten; 0: never.

    baseline_s: how much of before a release moved anybody is kept by the second. signals: what is known.
    """

    def __init__(
        self,
        database: Database,
        windows: Reader,
        signals: Callable[[], Mapping[str, Reading]],
        around_s: tuple[float, float],
        baseline_s: int,
        days: int,
    ) -> None:
        self._database, self._windows, self._signals = database, windows, signals
        self._before_s, self._after_s = around_s
        self._baseline_s, self._days = baseline_s, days
        self._whole: set[str] = set()
        self._caught_up: set[str] = set()

    async def run(self) -> None:
        """For ever."""
        rounds = 0
        while True:
            try:
                await self.once()
                if rounds % _PRUNE_EVERY == 0:
                    async with self._database.connection() as connection:
                        await kept_store.prune(connection, self._days, REACH_S)
                rounds += 1
            except (DatabaseUnavailableError, StoreUnavailableError) as error:
                log.debug("traffic is kept later", fault=type(error).__name__)
            await asyncio.sleep(EVERY_S)

    async def once(self) -> None:
        """Keep what is new of all releases that run, or have ended lately."""
        async with self._database.connection() as connection:
            rows = await kept_store.to_keep(connection, REACH_S)
        self._whole &= {row["name"] for row in rows}
        self._caught_up &= {row["name"] for row in rows}
        for row in rows:
            if row["name"] not in self._whole:
                await self._keep(row)

    async def baseline(self, name: str) -> Sequence[Window]:
        """Windows of before the release moved anybody. DatabaseUnavailableError."""
        async with self._database.connection() as connection:
            body = await kept_store.baseline(connection, name)
        return [] if body is None else await asyncio.to_thread(unpacked, body)

    async def _keep(self, row: asyncpg.Record) -> None:
        name, ended_ago_s = row["name"], row["ended_ago_s"]
        windows = await self._windows.latest(_AGAIN_S)
        now = self._windows.now
        first = now - int(row["begun_ago_s"] + self._before_s)
        last = now if ended_ago_s is None else now - int(ended_ago_s - self._after_s)
        missed = now - max(row["kept_to"] or 0, first)
        if missed > LENGTH_S * 3 or name not in self._caught_up:
            windows = await self._windows.latest(min(REACH_S, missed + _AGAIN_S))
        before = await self._before(row, now)
        # Whole intervals only: one whose beginning is not read any more would be too small.
        whole = -(-max(first, windows[0].second if windows else now) // LENGTH_S) * LENGTH_S
        made = gathered(each for each in windows if whole <= each.second <= last)
        if made:
            readings = {name: each.value for name, each in self._signals().items()}
            made[-1] = replace(made[-1], signals=readings)
        async with self._database.connection() as connection, connection.transaction():
            if not await kept_store.is_ours(connection, name):
                return
            await kept_store.keep(connection, name, made)
            if before is not None:
                await kept_store.keep_baseline(connection, name, before)
            if ended_ago_s is None:
                for some, by in ripe(
                    await kept_store.fine(connection, name, now - COARSER[0][1]), now
                ):
                    await kept_store.replace(connection, name, some, by)
        self._caught_up.add(name)
        if ended_ago_s is not None and ended_ago_s > self._after_s + _AGAIN_S:
            self._whole.add(name)

    async def _before(self, row: asyncpg.Record, now: int) -> bytes | None:
        """What is to be kept for the monitor; None: it is there, or nobody was moved yet."""
        moved_ago_s = row["moved_ago_s"]
        if row["has_baseline"] or moved_ago_s is None or row["ended_ago_s"] is not None:
            return None
        moved = now - int(moved_ago_s)
        reach = int(moved_ago_s) + self._baseline_s
        windows = await self._windows.latest(min(REACH_S, reach))
        wanted = [each for each in windows if moved - self._baseline_s <= each.second < moved]
        return await asyncio.to_thread(packed, wanted) if wanted else None
