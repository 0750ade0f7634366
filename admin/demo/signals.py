"""Ctrl-C and its kin, by what the demo is doing when they come.

starting   the first raises Interrupted, wherever the start is waiting
watching   it wakes the watch, which ends
stopping   one more raises Hurry: everything is killed
killing    nothing: that takes a moment only
"""

import os
import signal
from enum import Enum, auto
from types import FrameType, TracebackType
from typing import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(BaseException):
    """Told to end while starting."""


class Hurry(BaseException):
    """Told to end again while ending."""


class Phase(Enum):
    """What the demo is doing."""

    STARTING = auto()
    WATCHING = auto()
    STOPPING = auto()
    KILLING = auto()


class Signals:
    """Takes the signals while it is entered. `descriptor` becomes readable with the first."""

    def __init__(self) -> None:
        self.phase = Phase.STARTING
        self.came = False
        self.descriptor, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def __enter__(self) -> Self:
        self._before = {signum: signal.signal(signum, self._take) for signum in _SIGNALS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        os.close(self.descriptor)
        os.close(self._write)

    def _take(self, _signum: int, _frame: FrameType | None) -> None:
        if self.phase is Phase.STARTING:
            raise Interrupted
        if self.phase is Phase.STOPPING:
            raise Hurry
        if self.phase is Phase.WATCHING and not self.came:
            self.came = True
            os.write(self._write, b".")
