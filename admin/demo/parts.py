"""One part of the demo: a child process of ours, or an embedded server.

Rules: a part is begun, then asked whether it is ready, and says when it has ended; nothing here
waits for long. Parts are started from the main thread, for they end with the thread that starts
them. What a part prints goes to its log.
"""

import contextlib
import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import IO

from admin.demo.plan import DemoError
from admin.embedded import EmbeddedServer, EmbeddedServerError
from admin.embedded.child import end_with_parent

ROOT = Path(__file__).parents[2]
PROBE_S = 1.0
LOG_LINES = 15
LOG_BYTES = 8192
KILL_S = 5.0


class Part:
    """See the module. Subclasses say how it begins, is ready, and is told to end."""

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self.began = 0.0
        self.pidfd = -1

    @property
    def pid(self) -> int:
        """Of its first process."""
        raise NotImplementedError

    @property
    def running(self) -> bool:
        """Whether its first process lives."""
        raise NotImplementedError

    @property
    def ending(self) -> str:
        """How it ended, in words."""
        return "ended"

    def begin(self) -> None:
        """Start it; return before it is ready. DemoError if it can't be started."""
        self.close()
        self.began = time.monotonic()
        self._begin()
        self.pidfd = os.pidfd_open(self.pid)

    def is_ready(self) -> bool:
        """Whether it does its work now. DemoError if it ended instead."""
        if not self.running:
            raise DemoError(f"{self.name} {self.ending} at its start.{self.tail()}")
        return self._is_ready()

    def stop(self, limit_s: float) -> None:
        """Tell it to end, then kill it; return when it is gone. Nothing if it isn't running."""
        raise NotImplementedError

    def kill(self) -> None:
        """End it at once; return when it is gone."""
        raise NotImplementedError

    def close(self) -> None:
        """Forget the process that was."""
        if self.pidfd != -1:
            os.close(self.pidfd)
            self.pidfd = -1

    def tail(self) -> str:
        """The last lines of its log, to show; empty without any."""
        lines = last_lines(self.log)
        if not lines:
            return f" Its log, {self.log}, is empty."
        return "\n".join([f" {self.log} ends:", *(f"    {line}" for line in lines)])

    def _begin(self) -> None:
        raise NotImplementedError

    def _is_ready(self) -> bool:
        raise NotImplementedError


class Server(Part):
    """An embedded server. It keeps its port when it is started again."""

    def __init__(self, name: str, server: EmbeddedServer) -> None:
        super().__init__(name, server.log)
        self._server = server

    @property
    def pid(self) -> int:
        """Of the server's first process."""
        return self._server.pid

    @property
    def running(self) -> bool:
        """Whether the server lives."""
        return self._server.running

    def stop(self, limit_s: float) -> None:  # noqa: ARG002 - the server has its own limit
        """End it; its own limit counts."""
        self._server.stop()

    def kill(self) -> None:
        """End it at once."""
        self._server.kill()

    def _begin(self) -> None:
        try:
            self._server.begin()
        except EmbeddedServerError as error:
            raise DemoError(str(error)) from error

    def _is_ready(self) -> bool:
        # An embedded server waits in finish(): milliseconds for Valkey, and for PostgreSQL as
        # long as its recovery takes.
        try:
            self._server.finish()
        except EmbeddedServerError as error:
            raise DemoError(str(error)) from error
        return True


class Process(Part):
    """A Python process of Turnout or of the example: `python -m module …`."""

    def __init__(
        self,
        name: str,
        log: Path,
        arguments: Sequence[str],
        probe: Callable[[], bool],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """probe: whether it is ready. environment: what it gets beside ours."""
        super().__init__(name, log)
        self._arguments = arguments
        self._probe = probe
        self._environment = environment or {}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the process. DemoError before it was started."""
        if self._process is None:
            raise DemoError(f"{self.name} was not started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def ending(self) -> str:
        """How the process ended."""
        code = self._process.poll() if self._process else None
        if code is None:
            return "ended"
        if code < 0:
            return f"was ended by {signal.Signals(-code).name}"
        return f"ended with exit code {code}"

    def terminate(self) -> None:
        """SIGTERM; doesn't wait."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def stop(self, limit_s: float) -> None:
        """SIGTERM, and SIGKILL after limit_s seconds."""
        self.terminate()
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(limit_s)
        self.kill()

    def kill(self) -> None:
        """SIGKILL, to its children too: it leads a process group."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(KILL_S)

    def _begin(self) -> None:
        with _opened_log(self.log) as log:
            self._process = self._spawn(log)

    def _spawn(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        return spawn(self._arguments, self._environment, stdout=log, stderr=log)

    def _is_ready(self) -> bool:
        return self._probe()


def spawn(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    stdout: IO[bytes] | None,
    stderr: IO[bytes],
    stdin: int = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """`python arguments…` in a session of its own, killed by the kernel when we end."""
    return subprocess.Popen(  # noqa: S603 - our own modules, an argument list
        # -P: the folder that it is started in can't stand in for Turnout's packages.
        [sys.executable, "-P", *arguments],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        env={**inherited_environment(), **environment},
        start_new_session=True,
        preexec_fn=partial(end_with_parent, signal.SIGKILL, os.getpid()),  # noqa: PLW1509 - main thread only, takes no lock
    )


def inherited_environment() -> dict[str, str]:
    """Ours, without what would change the demo's settings, and with the way to our packages."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("TURNOUT_", "ERP_", "PG"))
    }
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**kept, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


def answers(port: int, path: str, status: int = 200) -> bool:
    """Whether a GET on the loopback is answered with this status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PROBE_S)
    try:
        connection.request("GET", path)
        with connection.getresponse() as response:
            return response.status == status
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def last_lines(log: Path) -> list[str]:
    """The end of a log, bounded."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LOG_BYTES))
            text = file.read(LOG_BYTES).decode(errors="replace")
    except OSError:
        return []
    return text.splitlines()[-LOG_LINES:]


def rotate(log: Path) -> None:
    """Begin a new log; the one before is kept beside it."""
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if log.exists():
        log.replace(log.with_suffix(".log.1"))


def _opened_log(path: Path) -> IO[bytes]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o600), "ab")
