"""The supervisor: owns the listening sockets; starts, watches, reloads and drains workers.

Rules: it never touches a request and runs no event loop, so little can go wrong in it. The
sockets are bound once, before the first fork, and shared: what one worker has not accepted
another does, so neither a worker's death nor a reload loses a connection that waits. Signals
are taken one at a time, in the main loop:

    SIGTERM, SIGINT   drain and end, and refuse new connections; a second one ends at once
    SIGHUP            read the settings again; new workers serve before the old ones drain; one
                      that comes during a reload is carried out after it
    SIGCHLD           a child ended: replace it, unless it was meant to
"""

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from config import ConfigError, Shared, split_address
from proxy import management, telemetry, worker
from proxy.config import Settings
from proxy.telemetry import Telemetry
from proxy.worker import RETIRE, Inherited

log = logging.getLogger("turnout.supervisor")

Load = Callable[[], tuple[Shared, Settings]]

_SIGNALS = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD}
_GENERATIONS = 4  # blocks for workers that still drain from earlier reloads
_TICK_S = 0.05
_READY_LIMIT_S = 15.0
_KILL_GRACE_S = 5.0
_STABLE_S = 5.0
MAX_BACKOFF_S = 5.0
_MAX_DOUBLINGS = 10


class Role(Enum):
    """What a child does, and so whether its end is a surprise."""

    SERVING = "serving"
    CANDIDATE = "new"  # of a reload that has not succeeded yet
    RETIRING = "retiring"
    MANAGEMENT = "management"


@dataclass(slots=True)
class Child:
    """A forked process. block: its telemetry block; -1 for the management process."""

    pid: int
    role: Role
    block: int
    started: float


class Supervisor:
    """See the module. load: reads the settings, at the start and at each SIGHUP."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._shared, self._settings = load()
        self._telemetry = Telemetry(self._settings.worker_count() * _GENERATIONS)
        self._children: dict[int, Child] = {}
        self._failures = 0
        self._respawn_at = 0.0
        self._missing: list[Role] = []
        self._reload_asked = False
        self._stopping = False
        self._listening = listen(self._settings.listen, self._settings.backlog)
        self._management = listen(self._settings.management_listen, 128)
        # Never written: children see its end when the supervisor is gone, however it went.
        self._lifeline, self._held_open = os.pipe()

    def run(self) -> int:
        """Supervise until told to end; the exit code."""
        # Whoever started us may have ignored it, and that is inherited: children would go unseen.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        log.info("listening on %s", address_of(self._listening))
        log.info("management on %s", address_of(self._management))
        self._start(Role.MANAGEMENT)
        for _ in range(self._settings.worker_count()):
            self._start(Role.SERVING)
        while not self._stopping:
            self._wait(1.0 if not self._missing else _TICK_S)
            self._replace_missing()
            if self._reload_asked and not self._stopping:
                self._reload_asked = False
                self._reload()
        return 0

    # ── signals ───────────────────────────────────────────────────────────────────────────────

    def _wait(self, limit_s: float) -> None:
        """Take one signal, or none within the limit."""
        info = signal.sigtimedwait(_SIGNALS, limit_s)
        signum = 0 if info is None else info.si_signo
        # A SIGCHLD may stand for several ends, and one may have come while none was waited for.
        self._reap()
        if signum == signal.SIGHUP:
            log.info("reload asked for")
            self._reload_asked = True
        elif signum in {signal.SIGTERM, signal.SIGINT}:
            if self._stopping:
                self._kill_all()
            else:
                self._stop()

    def _reap(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            child = self._children.pop(pid, None)
            if child is not None:
                self._ended(child, os.waitstatus_to_exitcode(status))

    def _ended(self, child: Child, code: int) -> None:
        if child.block >= 0:
            self._telemetry.blocks[child.block].release()
        if self._stopping or child.role in {Role.RETIRING, Role.CANDIDATE}:
            log.info("%s process %d ended (%d)", child.role.value, child.pid, code)
            return
        log.error("%s process %d died (%s): replacing it", child.role.value, child.pid, _why(code))
        lived = time.monotonic() - child.started
        self._failures = self._failures + 1 if lived < _STABLE_S else 0
        self._respawn_at = time.monotonic() + back_off(self._failures)
        self._missing.append(child.role)

    def _replace_missing(self) -> None:
        if self._missing and not self._stopping and time.monotonic() >= self._respawn_at:
            for role in self._missing:
                self._start(role)
            self._missing.clear()

    # ── children ──────────────────────────────────────────────────────────────────────────────

    def _start(self, role: Role) -> Child | None:
        block = -1
        if role is not Role.MANAGEMENT:
            free = self._telemetry.free_block()
            if free is None:
                log.error("no telemetry block is free: too many workers still drain")
                return None
            block = free
            # Taken at once, so that the next child does not get it too.
            self._telemetry.blocks[block].cells[telemetry.STATE] = telemetry.STARTING
        pid = os.fork()
        if pid == 0:
            self._become(role, block)
        child = Child(pid, role, block, time.monotonic())
        self._children[pid] = child
        return child

    def _become(self, role: Role, block: int) -> None:
        """The child's side of the fork; never returns."""
        code = 1
        try:
            os.close(self._held_open)
            _settle_signals()
            # A port is refused once nobody holds its socket: each child holds its own alone.
            if role is Role.MANAGEMENT:
                self._listening.close()
                management.run(self._telemetry, self._management, self._lifeline)
            else:
                self._management.close()
                worker.run(
                    Inherited(
                        self._shared,
                        self._settings,
                        self._listening,
                        self._telemetry.blocks[block],
                        self._lifeline,
                        self._telemetry.serves,
                    )
                )
            code = 0
        except Exception:
            log.exception("%s process failed", role.value)
        finally:
            logging.shutdown()
            os._exit(code)  # the parent's stack must not unwind here

    def _signal(self, signum: signal.Signals, *roles: Role) -> None:
        for child in self._children.values():
            if child.role in roles:
                os.kill(child.pid, signum)

    # ── reload and stop ───────────────────────────────────────────────────────────────────────

    def _reload(self) -> None:
        try:
            shared, settings = self._load()
        except ConfigError as error:
            log.error("settings are not reloaded: %s", error)  # noqa: TRY400 - said to people
            return
        if _addresses(settings) != _addresses(self._settings):
            log.error("settings are not reloaded: listening addresses change only at a restart")
            return
        old = [child for child in self._children.values() if child.role is Role.SERVING]
        free = sum(block.cells[telemetry.STATE] == 0 for block in self._telemetry.blocks)
        if settings.worker_count() > free:
            log.error("settings are not reloaded: %d workers still drain", len(self._children) - 1)
            return
        before = self._shared, self._settings
        self._shared, self._settings = shared, settings
        started = [self._start(Role.CANDIDATE) for _ in range(settings.worker_count())]
        new = [child for child in started if child is not None]
        if self._wait_until_serving(new):
            self._take_over(new, old)
        elif not self._stopping:
            log.error(
                "settings are not reloaded: the new workers did not come up (see above; is Redis there?)"
            )
            self._shared, self._settings = before
            for child in new:
                self._retire(child)

    def _take_over(self, new: list[Child], old: list[Child]) -> None:
        for child in new:
            child.role = Role.SERVING
        for child in old:
            self._retire(child)
        # Whom an old worker's death left to be replaced has been.
        self._missing = [role for role in self._missing if role is not Role.SERVING]
        log.info("settings reloaded: %d new workers serve", len(new))

    def _wait_until_serving(self, children: list[Child]) -> bool:
        deadline = time.monotonic() + _READY_LIMIT_S
        while time.monotonic() < deadline and not self._stopping:
            if any(child.pid not in self._children for child in children):
                return False
            if all(self._state(child) == telemetry.SERVING for child in children):
                return True
            self._wait(_TICK_S)
        return False

    def _state(self, child: Child) -> int:
        return self._telemetry.blocks[child.block].cells[telemetry.STATE]

    def _retire(self, child: Child) -> None:
        if child.pid in self._children:
            child.role = Role.RETIRING
            # One that doesn't serve yet may not know RETIRE, and has nothing to finish.
            serves = self._state(child) == telemetry.SERVING
            os.kill(child.pid, RETIRE if serves else signal.SIGTERM)

    def _stop(self) -> None:
        log.info("draining")
        self._stopping = True
        self._signal(signal.SIGTERM, Role.SERVING, Role.CANDIDATE, Role.RETIRING)
        self._listening.close()
        deadline = time.monotonic() + self._settings.timeouts.drain_s + _KILL_GRACE_S
        while self._workers_left() and time.monotonic() < deadline:
            self._wait(_TICK_S)
        self._signal(signal.SIGTERM, Role.MANAGEMENT)
        deadline = time.monotonic() + _KILL_GRACE_S
        while self._children and time.monotonic() < deadline:
            self._wait(_TICK_S)
        self._kill_all()
        while self._children:
            self._wait(_TICK_S)
        log.info("ended")

    def _workers_left(self) -> bool:
        return any(child.role is not Role.MANAGEMENT for child in self._children.values())

    def _kill_all(self) -> None:
        self._signal(signal.SIGKILL, *Role)


def listen(address: str, backlog: int) -> socket.socket:
    """A listening socket at host:port, non-blocking. ConfigError says why there is none."""
    host, port = split_address(address)
    try:
        family, _, _, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.create_server(target[:2], family=family, backlog=backlog)
    except OSError as error:
        raise ConfigError(f"can't listen on {address}: {_reason(error)}") from error
    listening.setblocking(False)
    return listening


def address_of(listening: socket.socket) -> str:
    """Where a socket listens, as host:port."""
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _addresses(settings: Settings) -> tuple[str, str]:
    return settings.listen, settings.management_listen


def _reason(error: OSError) -> str:
    """In the system's words: asyncio and socket add the address to theirs, the look-up has own."""
    number = error.errno or 0
    return os.strerror(number) if number > 0 else str(error.strerror)


def back_off(failures: int) -> float:
    """Seconds until a child is replaced. failures: how many in a row died young, this one too."""
    if failures < 2:
        return 0.0
    return min(0.1 * (1 << min(failures, _MAX_DOUBLINGS)), MAX_BACKOFF_S)


def _settle_signals() -> None:
    """The child's signals until its loop has handlers: SIGTERM ends it, for it has nothing yet."""
    for signum in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(signum, signal.SIG_DFL)
    for signum in (signal.SIGINT, signal.SIGHUP):
        signal.signal(signum, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def _why(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def main(load: Load) -> int:
    """Run the data plane; the exit code (2: the settings can't be used)."""
    try:
        supervisor = Supervisor(load)
    except ConfigError as error:
        sys.stderr.write(f"turnout proxy: {error}\n")
        return 2
    return supervisor.run()
