"""The loop of one admin: reads windows, judges, and says when the verdict changes.

Rules:
1. A second is judged once all nodes that told lately have told of it, or `settle_s` after it: a node that is dead
   holds nobody up.
2. Time goes by the windows' clock: the newest second that was seen, and what has passed here since then. No two
   hosts' clocks are compared.
3. Nothing of it is kept over a restart: `start` makes the state anew from the windows of the last `rebuild_s`. A fault
   that lasts is found again as soon as the first time.
4. While windows can't be read, what was measured grows stale, and is then unmeasured.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import floor
from time import monotonic
from typing import Final, Protocol

import structlog

from admin.monitor.judge import State, begin, judge, learn, stepped
from admin.monitor.model import UNKNOWN, Equipment, External, Verdict
from admin.monitor.settings import Settings
from admin.monitor.signals import Signals
from admin.routing.publish import StoreUnavailableError
from proxy.routing.model import Slot
from proxy.routing.windows import Window, by_second

log = structlog.get_logger(__name__)
_LATELY_S: Final = 10
"""A node that told nothing for so long is not waited for."""
_PORTION_S: Final = 50
"""Seconds that are judged in one go."""


class Reader(Protocol):
    """Where windows come from: `admin.monitor.reading.Windows`. Both raise StoreUnavailableError.

    now: the second that it was at the last reading, by the windows' clock.
    """

    @property
    def now(self) -> int:
        """See the class."""

    async def since(self, second: int) -> list[Window]:
        """Those of that second and later."""

    async def latest(self, seconds: int) -> list[Window]:
        """Those of the last so many seconds."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What is to be watched. standby: the slot with the new version, also after the cutover.

    began, stepped: when the release began, and when its traffic last changed (POSIX seconds by the windows'
    clock); None: so many seconds ago, by began_ago_s and stepped_ago_s. pilots: tenants that were moved by
    name. baseline: windows of before that were kept.
    """

    standby: Slot
    began: int | None = None
    stepped: int | None = None
    pilots: frozenset[str] = frozenset()
    baseline: Sequence[Window] = ()
    began_ago_s: float = 0.0
    stepped_ago_s: float = 0.0


Changed = Callable[[Verdict, Verdict], None]
"""Told of the verdict before and the one now, when their levels differ. Must not take long."""


def _nobody(_: Verdict, __: Verdict) -> None:
    """Where nobody wants to know."""


def _no_census() -> Equipment | None:
    """Where no equipment is counted."""
    return None


class Watch:
    """Watches one release at a time. verdict: the latest. history: verdicts that differed from the one before."""

    def __init__(
        self,
        reader: Reader,
        settings: Settings,
        signals: Signals | None = None,
        equipment: Callable[[], Equipment | None] = _no_census,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """clock: seconds that pass, from wherever."""
        self._reader, self._settings = reader, settings
        self._signals = signals or Signals(settings)
        self._equipment, self._clock = equipment, clock
        self._state: State | None = None
        self._newest = 0
        self._seen_at = 0.0
        self._nodes: dict[str, int] = {}
        self.changed: Changed = _nobody
        self.verdict: Verdict = UNKNOWN
        self.history: deque[Verdict] = deque(maxlen=settings.history)

    @property
    def now(self) -> int:
        """The second that it is, by the windows' clock; 0: none was seen yet."""
        if not self._newest:
            return 0
        return self._newest + int(self._clock() - self._seen_at)

    @property
    def is_watching(self) -> bool:
        """Whether there is a release."""
        return self._state is not None

    async def start(self, watched: Watched) -> None:
        """Watch this release; whatever was watched before is over. StoreUnavailableError."""
        told = self._settings
        windows = await self._reader.latest(2 * told.rebuild_s)
        self.stop()
        self._see(windows)
        if not self._newest:
            # Nothing was told yet: alpha is spread from when it began all the same.
            self._newest, self._seen_at = self._reader.now - 1, self._clock()
        began = _second(watched.began, self.now, watched.began_ago_s)
        replayed = max(began, self.now - told.rebuild_s + 1)
        state = begin(watched.standby, began, told, pilots=watched.pilots)
        read_from = windows[0].second if windows else began
        kept = [each for each in watched.baseline if each.second < read_from]
        for some in _portions([*kept, *(each for each in windows if each.second < began)]):
            learn(state, some)
            await asyncio.sleep(0)
        state.second = replayed - 1
        moved = _second(watched.stepped, self.now, watched.stepped_ago_s)
        self._state = stepped(state, moved)
        for some in _portions([each for each in windows if each.second >= replayed]):
            self._judge(some)
            await asyncio.sleep(0)

    def stop(self) -> None:
        """Watch nothing."""
        self._state = None
        self.verdict = UNKNOWN
        self.history.clear()

    def step(self, second: int | None = None) -> None:
        """Other requests come to the new slot, from that second on; None: from the next."""
        if self._state is not None:
            self._state = stepped(self._state, self.now + 1 if second is None else second)

    async def run(self) -> None:
        """Look every `look_s`, for ever."""
        while True:
            await self.look()
            await asyncio.sleep(self._settings.look_s)

    async def look(self) -> None:
        """Read what is new, and judge it."""
        state = self._state
        if state is None:
            return
        try:
            windows = await self._reader.since(state.second + 1)
        except StoreUnavailableError as error:
            log.warning("windows can't be read", fault=str(error))
            windows = []
        if self._state is not state:
            return  # stopped meanwhile, or begun anew
        self._see(windows)
        self._judge(windows)

    def _see(self, windows: Iterable[Window]) -> None:
        for window in windows:
            if window.second > self._newest:
                self._newest, self._seen_at = window.second, self._clock()
            if window.second > self._nodes.get(window.node, 0):
                self._nodes[window.node] = window.second
        lately = self._newest - _LATELY_S
        self._nodes = {node: last for node, last in self._nodes.items() if last >= lately}

    def _settled(self) -> int:
        """The last second that may be judged."""
        told_by_all = min(self._nodes.values(), default=0)
        # The newest was over when it was told of.
        passed = self._clock() - self._seen_at
        return max(told_by_all, self._newest + floor(passed - self._settings.settle_s))

    def _judge(self, windows: Iterable[Window]) -> None:
        state = self._state
        if state is None:
            return
        settled = self._settled()
        external = External(self.now, self._signals.latest(), self._equipment())
        ripe = [each for each in windows if each.second <= settled]
        self._state, verdict = judge(state, ripe, external)
        before, self.verdict = self.verdict, verdict
        if _differs(before, verdict):
            self.history.append(verdict)
        if before.level is not verdict.level:
            log.info("verdict", level=str(verdict.level), why=[e.detail for e in verdict.raised])
            self.changed(before, verdict)


def _second(known: int | None, now: int, ago_s: float) -> int:
    return now + 1 - int(ago_s) if known is None else known


def _differs(before: Verdict, after: Verdict) -> bool:
    if before.level is not after.level:
        return True
    levels = [(each.name, each.level) for each in before.raised]
    return levels != [(each.name, each.level) for each in after.raised]


def _portions(windows: list[Window]) -> Iterator[list[Window]]:
    """So many seconds at a time that others have their turn between."""
    seconds = list(by_second(windows).values())
    for at in range(0, len(seconds), _PORTION_S):
        yield [window for of_second in seconds[at : at + _PORTION_S] for window in of_second]
