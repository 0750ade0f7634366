"""Watches a release while it runs: what the monitor says of it, and whether it has moved on."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from time import monotonic

from admin.intents import LOOK_S, StaleError
from admin.releases import course, store
from admin.releases.course import Kind
from admin.releases.effects import EffectError
from admin.releases.model import Release, State
from admin.releases.news import News
from admin.releases.ports import Judgement, Monitor
from admin.releases.store import Record, Row
from admin.routing.database import Database

_TOLD_S = 2.0
"""How often the monitor's verdict is written down."""


class BackError(EffectError):
    """What is under way is given up: the monitor brings the release back."""


class Watching:
    """What this admin watches."""

    def __init__(self, database: Database, monitor: Monitor, news: News) -> None:
        self._database, self._monitor, self._news = database, monitor, news
        self._told: dict[str, float] = {}

    async def judge(self, record: Record, moved: Sequence[float]) -> Judgement:
        """What the monitor says now, which is written down now and then. moved: see the port."""
        release = record.release
        if release.state not in course.WATCHED:
            self._monitor.rest(release)
            return Judgement()
        judged = await self._monitor.judge(release, moved, record.row["devices"])
        self._news.judged(record, judged)
        now = monotonic()
        if judged.level == "critical" or now - self._told.get(release.name, 0) > _TOLD_S:
            self._told = {release.name: now}
            async with self._database.connection() as connection:
                await store.note_verdict(connection, release.name, judged.document)
        return judged

    @asynccontextmanager
    async def undisturbed(self, record: Record) -> AsyncIterator[None]:
        """What runs in it is given up once the release has moved on (StaleError), or has to (BackError)."""
        if record.release.is_back:
            yield
            return
        try:
            async with asyncio.TaskGroup() as tasks:
                watch = tasks.create_task(self._watch(record), name=f"watch {record.release.name}")
                yield
                watch.cancel()
        except ExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _watch(self, record: Record) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            if await self.fault(record, None):
                raise BackError("given up: the monitor brings the release back")

    async def fault(self, record: Record, moved_ago_s: float | None) -> str:
        """Why the monitor is sure by now that the new version is worse; empty if it isn't.

        moved_ago_s: since when a change moves requests that has not yet reached every worker.
        StaleError: somebody else has moved the release on. A pause does not.
        """
        name, of = record.release.name, record.release
        async with self._database.connection() as connection:
            now = await store.find(connection, name)
            rows = await store.effects(connection, name)
        if now is None or now.release.visit != of.visit:
            raise StaleError(name)
        if of.state not in course.WATCHED or of.old_is_gone:
            return ""
        ago = moved(rows.values())
        judged = await self.judge(record, ago if moved_ago_s is None else [*ago, moved_ago_s])
        return judged.why if judged.level == "critical" else ""


def moved(effects: Iterable[Row]) -> list[float]:
    """How long ago each change of where requests go was served by all, the first first, in seconds."""
    return [
        float(row["ended_ago_s"])
        for row in effects
        if row["kind"] in {Kind.WEIGHT, Kind.CUTOVER} and row["outcome"] == "done"
    ]


def holds(judged: Judgement) -> bool:
    """Whether the time doesn't count: who is warned looks first."""
    return judged.level == "warning"


def doubts(release: Release, judged: Judgement) -> str:
    """Why one would rather wait, whose time is over; empty if there is no reason."""
    if judged.level == "warning":
        return f"the monitor warns: {judged.why}"
    if release.state is not State.CANARY:
        return ""
    if judged.level == "unmeasured" and release.plan.unmeasured == "wait":
        return "too little traffic to judge it: promote it, or wait"
    return ""
