"""What both embedded servers share: folder, lock, password, port, log, start and stop.

Rules: a start has two halves, so that several servers start side by side in one thread. `begin`
takes the lock and forks; `finish` waits until the server answers. A port stays the same over
stop and start, so that a URL stays true. Files that we make are for their owner only.
"""

import contextlib
import os
import secrets
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import IO, ClassVar, Self

from admin.embedded.errors import EmbeddedServerError
from admin.embedded.lock import FolderLock
from admin.embedded.ports import free_port

START_SECONDS = 30.0
"""How long a server may take until it answers: recovery after a crash included."""
STOP_SECONDS = 10.0
"""How long a server may take to end by itself; then it is killed."""
KILL_SECONDS = 5.0
PORT_TRIES = 5
LOG_LINES = 15
LOG_BYTES = 4096
"""How much of a log an error shows."""
_POLL_SECONDS = 0.005
_PORT_TAKEN = "Address already in use"


class EmbeddedServer:
    """A real server in one folder. Subclasses say what is run and when it answers.

    folder: made if missing, for the owner only; nothing else of the file system is changed.
    port: on 127.0.0.1; 0 chooses a free one at the first start and keeps it.
    """

    name: ClassVar[str]
    stop_signal: ClassVar[signal.Signals]

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.folder = folder.absolute()
        self.port = port
        self._port_is_fixed = port != 0
        self._lock = FolderLock(self.folder)
        self._process: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        state = f"pid={self._process.pid}" if self.running and self._process else "stopped"
        return f"{type(self).__name__}({str(self.folder)!r}, port={self.port}, {state})"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Of the server's first process. EmbeddedServerError before the first start."""
        if self._process is None:
            raise EmbeddedServerError(f"{self.name} in {self.folder} is not started")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def log(self) -> Path:
        """What the server said since its last start; `….log.1` is the start before."""
        return self.folder / f"{self.name}.log"

    def start(self) -> None:
        """Run, and return when the server answers. EmbeddedServerError if it does not."""
        start_all(self)

    def begin(self) -> None:
        """Take the folder and fork; return before the server answers."""
        if self.running:
            raise EmbeddedServerError(f"{self.name} in {self.folder} is already started")
        self.stop()
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock.acquire()
        try:
            self._prepare()
            self._fork()
        except BaseException:
            self._lock.release()
            raise

    def finish(self) -> None:
        """Wait until the server answers, on another port if its port was taken meanwhile.

        EmbeddedServerError if it ends or does not answer; it is stopped then.
        """
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.stop()
            raise
        self._port_is_fixed = True

    def stop(self) -> None:
        """End it gracefully, then by force; return when it is gone. Nothing if not started."""
        process = self._process
        if process is not None and process.poll() is None:
            process.send_signal(self.stop_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End it with SIGKILL; return when it is gone."""
        process = self._process
        if process is not None and process.poll() is None:
            process.kill()
            process.wait(KILL_SECONDS)
        self._lock.release()

    def _prepare(self) -> None:
        """Make what the server needs in its folder. Under the lock."""
        raise NotImplementedError

    def _launch(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        """Fork the server for `self.port`."""
        raise NotImplementedError

    def _answers(self) -> bool:
        """Whether this server, not another on its port, serves."""
        raise NotImplementedError

    def _fork(self) -> None:
        if not self._port_is_fixed:
            self.port = free_port()
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.1"))
        with open_private(self.log) as log:
            self._process = self._launch(log)

    def _wait_until_it_answers(self) -> None:
        for tries_left in reversed(range(PORT_TRIES)):
            if self._answered():
                return
            port_was_taken = not self._port_is_fixed and _PORT_TAKEN in self._log_tail()
            if not port_was_taken or not tries_left:
                break
            self._fork()
        raise EmbeddedServerError(
            f"{self.name} in {self.folder} ended at its start; its log says:\n{self._log_tail()}"
        )

    def _answered(self) -> bool:
        """True when it serves, False when it ended. EmbeddedServerError when it does neither."""
        deadline = time.monotonic() + START_SECONDS
        while self.running:
            if self._answers():
                return True
            if time.monotonic() > deadline:
                raise EmbeddedServerError(
                    f"{self.name} in {self.folder} did not answer in {START_SECONDS:g} s;"
                    f" its log says:\n{self._log_tail()}"
                )
            time.sleep(_POLL_SECONDS)
        return False

    def _log_tail(self) -> str:
        return log_tail(self.log).replace(self._password(), "…")

    def _password(self) -> str:
        """The folder's own, made at the first call."""
        path = self.folder / "password"
        with contextlib.suppress(FileNotFoundError):
            return path.read_text("utf-8")
        write_private(path, secrets.token_urlsafe(24))
        return path.read_text("utf-8")


def start_all(*servers: EmbeddedServer) -> None:
    """Start servers side by side; return when all answer. If one fails, none is left running.

    List the one that is slowest to prepare last: PostgreSQL's first start makes its data.
    """
    begun = []
    try:
        for server in servers:
            server.begin()
            begun.append(server)
        for server in servers:
            server.finish()
    except BaseException:
        for server in begun:
            server.stop()
        raise


def open_private(path: Path) -> IO[bytes]:
    """A new file that only its owner may read, opened to be written."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.fdopen(os.open(path, flags, 0o600), "wb")


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    unfinished = path.with_name(path.name + ".new")
    unfinished.unlink(missing_ok=True)
    with open_private(unfinished) as file:
        file.write(text.encode())
    unfinished.replace(path)


def log_tail(path: Path) -> str:
    """The last lines of a log; empty if there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - LOG_BYTES))
            text = file.read(LOG_BYTES).decode(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-LOG_LINES:])
