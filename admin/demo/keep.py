"""Starts a part again that ended while the demo runs.

Rules: the first times at once, then with growing pauses, and not for ever. Whoever watches the
demo is told of each end and each return.

    kept → (ends) → due → (time) → returning → (ready) → kept
                     ↑                 │ (ends, or takes too long)
                     └─────────────────┘ … given up after MAX_FAILURES in a row
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from admin.demo.parts import Part
from admin.demo.plan import DemoError

MAX_FAILURES = 8
STABLE_S = 10.0
"""A part that lived so long was well; its failures before are forgotten."""
RETURN_S = 30.0
"""How long a part may take to be ready again."""
TICK_S = 0.02
IDLE_S = 1.0


class State(Enum):
    """Of one part."""

    KEPT = auto()
    DUE = auto()
    RETURNING = auto()
    GIVEN_UP = auto()


@dataclass(slots=True)
class Kept:
    """A part and how it fares. due: when it is started again (monotonic seconds)."""

    part: Part
    state: State = State.KEPT
    failures: int = 0
    due: float = math.inf
    ended: float = 0.0


class Keeper:
    """Keeps parts alive. on_return: called when a part is ready again (its pid is new)."""

    def __init__(
        self,
        parts: Sequence[Part],
        say: Callable[[str], None],
        on_return: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """clock: monotonic seconds, as in `Part.began`."""
        self._clock = clock
        self.kept = [Kept(part) for part in parts]
        self._say, self._on_return = say, on_return

    def tick(self) -> float:
        """Do what is due. How long nothing more is, in seconds, unless a part ends."""
        for kept in self.kept:
            if kept.state is State.KEPT and not kept.part.running:
                self._has_ended(kept)
            if kept.state is State.DUE and self._clock() >= kept.due:
                self._begin(kept)
            if kept.state is State.RETURNING:
                self._look(kept)
        waiting = [k for k in self.kept if k.state in (State.DUE, State.RETURNING)]
        return TICK_S if waiting else IDLE_S

    def _has_ended(self, kept: Kept) -> None:
        kept.ended = self._clock()
        if kept.ended - kept.part.began > STABLE_S:
            kept.failures = 0
        self._failed(kept, f"{kept.part.name} {kept.part.ending}")

    def _begin(self, kept: Kept) -> None:
        try:
            kept.part.begin()
        except DemoError as error:
            self._failed(kept, str(error))
        else:
            kept.state = State.RETURNING

    def _look(self, kept: Kept) -> None:
        part = kept.part
        try:
            ready = part.is_ready()
        except DemoError as error:
            self._failed(kept, str(error))
            return
        if ready:
            kept.state = State.KEPT
            self._say(f"{part.name} is back after {self._clock() - kept.ended:.1f} s")
            self._on_return()
        elif self._clock() > part.began + RETURN_S:
            part.kill()
            self._failed(kept, f"{part.name} was not ready within {RETURN_S:.0f} s")

    def _failed(self, kept: Kept, why: str) -> None:
        kept.failures += 1
        if kept.failures > MAX_FAILURES:
            kept.state = State.GIVEN_UP
            self._say(f"{why}; it is not started again. The rest goes on; Ctrl-C ends the demo.")
            return
        pause = pause_s(kept.failures)
        kept.state, kept.due = State.DUE, self._clock() + pause
        self._say(f"{why}; starting it again" + (f" in {pause:g} s" if pause else ""))


def pause_s(failures: int) -> float:
    """How long to wait before the next start: not at all at first, then longer and longer."""
    return 0.0 if failures <= 2 else min(0.25 * 2.0 ** (failures - 3), 5.0)
