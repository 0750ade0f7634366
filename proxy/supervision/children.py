"""The supervisor's children: forked, told apart by role, reaped, and watched for a beating loop.

Rules: a child's telemetry block is taken at the fork and given back when its end is seen. Whether
a loop turns is seen by its cell changing, over the supervisor's own time: a machine that was
paused as a whole does not make everybody look dead.
"""

import logging
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from proxy.observability import telemetry
from proxy.observability.telemetry import Telemetry

log = logging.getLogger("turnout.children")

SIGNALS: Final = frozenset({
    signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGUSR1, signal.SIGUSR2
})  # fmt: skip
"""What the supervisor waits for; blocked in it, and set right in its children."""
REOPEN: Final = signal.SIGHUP
"""A worker opens the access log anew: its file was moved away. (Terminals send it too; that does no harm.)"""
RETIRE: Final = signal.SIGQUIT
"""A worker drains after a reload: as by SIGTERM, but with the longer limit."""
SHOW_STACK: Final = signal.SIGUSR1
"""A worker that gets it writes its Python stack to standard error, even if its loop hangs."""
MAX_BACKOFF_S: Final = 5.0
_STABLE_S: Final = 5.0
_MAX_DOUBLINGS: Final = 10
_LOOK_S: Final = 2.0  # the most that one look counts: longer, and we were not running ourselves


class Role(Enum):
    """What a child does, and so whether its end is a surprise."""

    SERVING = "serving"
    CANDIDATE = "new"  # of a reload that has not succeeded yet
    RETIRING = "retiring"
    MANAGEMENT = "management"


@dataclass(slots=True)
class Child:
    """A forked process.

    block: its telemetry block; -1 for the management process. name: a worker's, in the fleet. beat: the last that was seen.
    silent_s: for how long it has not changed. warned: whether that was logged.
    """

    pid: int
    role: Role
    block: int
    started: float
    name: str = ""
    beat: int = 0
    silent_s: float = 0.0
    warned: bool = False


class Children:
    """The processes that a supervisor has forked."""

    def __init__(self, shared: Telemetry) -> None:
        self._telemetry = shared
        self._by_pid: dict[int, Child] = {}
        self._looked = time.monotonic()

    def __len__(self) -> int:
        return len(self._by_pid)

    def of(self, *roles: Role) -> list[Child]:
        """Those in one of these roles, the oldest first."""
        return [child for child in self._by_pid.values() if child.role in roles]

    def lives(self, child: Child) -> bool:
        """Whether its end has not been seen."""
        return child.pid in self._by_pid

    def state(self, child: Child) -> int:
        """What its telemetry block says: STARTING, SERVING, DRAINING."""
        return self._telemetry.blocks[child.block].cells[telemetry.STATE]

    def serves(self, child: Child) -> bool:
        """Whether it takes requests."""
        return self.lives(child) and self.state(child) == telemetry.SERVING

    def has_table(self, child: Child) -> bool:
        """Whether it has a table to decide them by."""
        return self._telemetry.blocks[child.block].cells[telemetry.VERSION] > 0

    def start(self, role: Role, body: Callable[[int], None]) -> Child | None:
        """Fork; the child calls body with its block and never returns. None: no block is free."""
        block = -1
        if role is not Role.MANAGEMENT:
            free = self._telemetry.free_block()
            if free is None:
                return None
            block = free
            # Taken at once, so that the next child does not get it too.
            self._telemetry.blocks[block].cells[telemetry.STATE] = telemetry.STARTING
        pid = os.fork()
        if pid == 0:
            _become(role, block, body)
        child = Child(pid, role, block, time.monotonic())
        self._by_pid[pid] = child
        return child

    def ended(self, pid: int) -> Child | None:
        """Forget a child whose end was seen, and give its block back. None: no such child."""
        child = self._by_pid.pop(pid, None)
        if child is not None and child.block >= 0:
            self._telemetry.blocks[child.block].release()
        return child

    def retire(self, child: Child) -> None:
        """Have it drain: others serve in its place."""
        if self.lives(child):
            child.role = Role.RETIRING
            # One that doesn't serve yet may not know RETIRE, and has nothing to finish.
            os.kill(child.pid, RETIRE if self.serves(child) else signal.SIGTERM)

    def room(self) -> int:
        """How many more workers there is a telemetry block for."""
        return self._telemetry.free_blocks()

    def signal(self, signum: signal.Signals, *roles: Role) -> None:
        """To all in one of these roles."""
        for child in self.of(*roles):
            os.kill(child.pid, signum)

    # ── is its loop turning ───────────────────────────────────────────────────────────────────

    def look(self, now: float) -> None:
        """Note whose loop has turned since the last look. now: monotonic seconds."""
        passed = min(now - self._looked, _LOOK_S)
        self._looked = now
        for child in self._by_pid.values():
            if child.block < 0:
                continue
            beat = self._telemetry.blocks[child.block].cells[telemetry.BEAT]
            if beat != child.beat:
                child.beat, child.silent_s, child.warned = beat, 0.0, False
            else:
                child.silent_s += passed

    def kill_stalled(self, limit_s: float) -> int:
        """End the workers whose loop has stood still for so long; how many. 0.0: none.

        At half of it they are asked for their stack, so that the log says what they hang in.
        """
        killed = 0
        for child in self.of(Role.SERVING, Role.CANDIDATE, Role.RETIRING) if limit_s else []:
            if child.silent_s >= limit_s:
                log.error(
                    "%s process %d has stood still for %.0f s: killing it",
                    child.role.value,
                    child.pid,
                    child.silent_s,
                )
                os.kill(child.pid, signal.SIGKILL)
                child.silent_s = 0.0
                killed += 1
            elif child.silent_s >= limit_s / 2 and not child.warned:
                child.warned = True
                log.warning(
                    "%s process %d stands still, for %.0f s now; it is killed at %g s",
                    child.role.value,
                    child.pid,
                    child.silent_s,
                    limit_s,
                )
                if child.beat:  # before its first beat it would die of it
                    os.kill(child.pid, SHOW_STACK)
        return killed


class Respawn:
    """Who has to be started, and when. missing: the roles."""

    def __init__(self) -> None:
        self.missing: list[Role] = []
        self._failures = 0
        self._at = 0.0

    def died(self, child: Child, now: float) -> None:
        """Replace it: at once, or after a pause if the last ones died young too."""
        self._failures = self._failures + 1 if now - child.started < _STABLE_S else 0
        self._at = now + back_off(self._failures)
        self.missing.append(child.role)

    def later(self, role: Role, now: float) -> None:
        """It could not be started."""
        self._at = now + MAX_BACKOFF_S
        self.missing.append(role)

    def drop(self, role: Role) -> None:
        """None of these is missing any more."""
        self.missing = [each for each in self.missing if each is not role]

    def due(self, now: float) -> list[Role]:
        """Those to be started now."""
        if now < self._at:
            return []
        due, self.missing = self.missing, []
        return due


def back_off(failures: int) -> float:
    """Seconds until a child is replaced. failures: how many in a row died young, this one too."""
    if failures < 2:
        return 0.0
    return min(0.1 * (1 << min(failures, _MAX_DOUBLINGS)), MAX_BACKOFF_S)


def _become(role: Role, block: int, body: Callable[[int], None]) -> None:
    """The child's side of the fork; never returns."""
    code = 1
    try:
        _settle_signals()
        body(block)
        code = 0
    except Exception:
        log.exception("%s process failed", role.value)
    finally:
        logging.shutdown()
        os._exit(code)  # the parent's stack must not unwind here


def _settle_signals() -> None:
    """The child's signals until its loop has handlers: SIGTERM ends it, for it has nothing yet."""
    for signum in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(signum, signal.SIG_DFL)
    for signum in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(signum, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
