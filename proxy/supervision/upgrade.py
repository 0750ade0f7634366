"""New code without a lost connection: a new supervisor beside the old one, on the same sockets.

SIGUSR2 makes the old supervisor start its own command line again, from disk. The new one inherits
the listening sockets, starts workers of its own, with telemetry of its own, and says when all of
them serve by a table; only then the old one makes way: its workers drain as after a reload, and it
ends. If the new one ends or takes too long, nothing has changed.

The two speak over a socket pair: the new one says `serving`, the old one answers `yours`. From
then on the new one is the main process: it has the management port, the pid file and systemd's
ear. That the old one is gone is seen by its being our parent no more.

`TRANSITIONS` is the life of an upgrade as the old supervisor sees it.
"""

import contextlib
import fcntl
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, MutableMapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Final

from proxy.supervision.children import SIGNALS
from proxy.supervision.listening import FIRST_DESCRIPTOR, Sockets

log = logging.getLogger("turnout.upgrade")

VARIABLE: Final = "TURNOUT_UPGRADE"
MAX_DRAINING: Final = 3
"""Programs of earlier upgrades that may still drain when another one begins."""
_PROCESS_1: Final = 1
_SERVING: Final = b"s"
_YOURS: Final = b"y"
_END_S: Final = 45.0  # for one that failed to end what it had begun
_OWN_VARIABLES: Final = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "WATCHDOG_PID", VARIABLE)


class State(Enum):
    """Where an upgrade stands."""

    NONE = "none"  # no new supervisor
    STARTING = "starting"  # it runs and does not serve yet
    ENDING = "ending"  # it has failed, and is told to end
    DONE = "done"  # it serves: this one makes way


class Event(Enum):
    """What happens to it."""

    ASKED = "asked"
    SERVES = "serves"
    LATE = "late"
    STOP = "stop"  # this supervisor is told to end
    GONE = "gone"


TRANSITIONS: Final = {
    (State.NONE, Event.ASKED): State.STARTING,
    (State.STARTING, Event.SERVES): State.DONE,
    (State.STARTING, Event.LATE): State.ENDING,
    (State.STARTING, Event.STOP): State.ENDING,
    (State.STARTING, Event.GONE): State.NONE,
    (State.ENDING, Event.LATE): State.ENDING,  # it is killed
    (State.ENDING, Event.GONE): State.NONE,
}


@dataclass(slots=True)
class Upgrade:
    """One supervisor's view of its successor. pid: of that; 0: none."""

    state: State = State.NONE
    pid: int = 0
    _channel: socket.socket | None = None
    _deadline: float = 0.0

    def begin(self, offer: "Offer", sockets: Sockets, limit_s: float) -> None:
        """Start the new supervisor; it has this many seconds. OSError: it can't be started."""
        here, there = socket.socketpair()
        try:
            self.pid = _spawn(offer, sockets, there)
        except BaseException:
            here.close()
            raise
        finally:
            there.close()
        here.setblocking(False)
        self._channel = here
        self._deadline = time.monotonic() + limit_s
        self._move(Event.ASKED)

    def serves(self) -> bool:
        """Whether the new one says that it does; it is answered by `hand_over`."""
        if self.state is not State.STARTING or self._channel is None:
            return False
        with contextlib.suppress(OSError):
            return self._channel.recv(1) == _SERVING
        return False

    def hand_over(self) -> None:
        """Give the new one everything that is one supervisor's alone."""
        self._move(Event.SERVES)
        if self._channel is not None:
            with contextlib.suppress(OSError):  # it sees that we end, too
                self._channel.send(_YOURS)

    def is_late(self, now: float) -> bool:
        """Whether its time is over. now: monotonic seconds."""
        return self.state in {State.STARTING, State.ENDING} and now >= self._deadline

    def end(self, event: Event) -> None:
        """LATE or STOP: it has to end; a second time: at once."""
        signum = signal.SIGKILL if self.state is State.ENDING else signal.SIGTERM
        self._move(event)
        self._deadline = time.monotonic() + _END_S
        os.kill(self.pid, signum)

    def gone(self) -> None:
        """Its end was seen."""
        if (self.state, Event.GONE) in TRANSITIONS:
            self._move(Event.GONE)
        self.pid = 0
        self.close()

    def close(self) -> None:
        """In a forked child: the channel is the supervisor's."""
        if self._channel is not None:
            self._channel.close()

    def _move(self, event: Event) -> None:
        self.state = TRANSITIONS[self.state, event]


def _spawn(offer: "Offer", sockets: Sockets, channel: socket.socket) -> int:
    """Start our own command line with these sockets; its process."""
    # sys.orig_argv[0] is how it was called; sys.executable is where that lies.
    command = [sys.executable, *sys.orig_argv[1:]]
    pid = os.fork()
    if pid:
        return pid
    try:
        count = len(sockets.by_name)
        files = [*(each.fileno() for each in sockets.by_name.values()), channel.fileno()]
        # First out of the way, so that none is overwritten before it was copied.
        clear = FIRST_DESCRIPTOR + len(files)
        moved = [fcntl.fcntl(each, fcntl.F_DUPFD_CLOEXEC, clear) for each in files]
        for index, each in enumerate(moved):
            os.dup2(each, FIRST_DESCRIPTOR + index, inheritable=True)
        environ = {
            **{name: value for name, value in os.environ.items() if name not in _OWN_VARIABLES},
            "LISTEN_PID": str(os.getpid()),
            "LISTEN_FDS": str(count),
            "LISTEN_FDNAMES": ":".join(sockets.by_name),
            VARIABLE: json.dumps({**asdict(offer), "channel": FIRST_DESCRIPTOR + count}),
        }
        # The mask outlives exec.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
        os.execve(command[0], command, environ)  # noqa: S606 - no shell is wanted
    except BaseException:
        log.exception("the new supervisor can't be started")
    finally:
        os._exit(127)


@dataclass(frozen=True, slots=True)
class Offer:
    """What a supervisor tells its successor.

    pid: its own; 0: there is none. with_table: its workers have a table, so the new ones wait
    until they have one, too. draining: how many programs will drain once it makes way. addresses:
    of the sockets that it hands over, as its settings had them.
    """

    pid: int = 0
    with_table: bool = False
    draining: int = 0
    addresses: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Predecessor:
    """The supervisor whose upgrade this process is, if there is one."""

    said: Offer = field(default_factory=Offer)
    _channel: socket.socket | None = None
    _told: bool = False

    def lives(self) -> bool:
        """Whether it is there; it is our parent for as long as it is."""
        return self.said.pid != 0 and os.getppid() == self.said.pid

    def waits(self) -> bool:
        """Whether it is still the one in charge."""
        if self._channel is None:
            return False
        try:
            answer = self._channel.recv(1)
        except BlockingIOError:
            return self.lives()
        except OSError:
            answer = b""
        # Without an answer it has ended, so what it had is ours all the same.
        log.info("process %d %s", self.said.pid, "makes way" if answer == _YOURS else "is gone")
        self.close()
        return False

    def draining(self) -> int:
        """How many programs drain beside this one."""
        return self.said.draining if self.lives() else 0

    def forbids_another(self) -> str:
        """Why there can't be another upgrade now; empty if there can be."""
        if os.getpid() == _PROCESS_1:
            return "when process 1 ends its container does; replace the container"
        if self.draining() >= MAX_DRAINING:
            return (
                f"{self.draining()} earlier programs still drain (until "
                f"proxy.timeouts.drain_reload_s; SIGTERM to process {self.said.pid} ends them sooner)"
            )
        return ""

    def say_serving(self) -> None:
        """Tell it, once, that all is well here."""
        if not self._told and self._channel is not None:
            self._told = True
            with contextlib.suppress(OSError):
                self._channel.send(_SERVING)

    def end(self) -> None:
        """Let it drain within the shorter limit: this one is told to end."""
        if self.lives():
            os.kill(self.said.pid, signal.SIGTERM)

    def close(self) -> None:
        """Also in a forked child: the channel is the supervisor's."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None


def predecessor(environ: MutableMapping[str, str]) -> Predecessor:
    """Who started this process as its upgrade; its variable is taken out of the environment."""
    text = environ.pop(VARIABLE, "")
    if not text or environ.get("LISTEN_PID") != str(os.getpid()):
        return Predecessor()
    said = json.loads(text)
    descriptor = said.pop("channel")
    os.set_inheritable(descriptor, False)
    channel = socket.socket(fileno=descriptor)
    channel.setblocking(False)
    return Predecessor(Offer(**said), channel)
