"""Child processes of tests: started, waited for, ended; their output is kept in a file.

Rules: a child writes to a file, never to a pipe that fills up. It leads a process group, and
the whole group is killed at the end; it also ends with pytest, whatever ends that. Waits have
bounds, end early when the child ends, and show the end of its log when they fail.
"""

import asyncio
import contextlib
import os
import re
import select
import signal
import subprocess
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from admin.embedded.child import end_with_parent

SECONDS = 15.0
"""How long a wait lasts unless the test says otherwise."""
GRACE_SECONDS = 5.0
LOG_CHARACTERS = 6000
_RETRY_SECONDS = 0.01


class Child:
    """A running command. `log`: where its standard output and error go. `name`: in reports."""

    def __init__(
        self,
        command: Sequence[str | Path],
        log: Path,
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        name: str = "",
    ) -> None:
        self.name = name or Path(command[0]).name
        self.log = log
        with log.open("wb") as output, warnings.catch_warnings():
            # Python 3.12 warns of any fork beside threads; this preexec_fn takes no lock.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
                cwd=cwd,
                start_new_session=True,
                preexec_fn=partial(end_with_parent, signal.SIGKILL, os.getpid()),  # noqa: PLW1509 - see above
            )

    def __repr__(self) -> str:
        return f"Child({self.name!r}, pid={self.pid}, exit={self._process.poll()})"

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._process.poll()

    def output(self) -> str:
        return self.log.read_text("utf-8", errors="replace")

    def find(self, pattern: str) -> re.Match[str] | None:
        """The first match in what it has written so far; ^ and $ are those of lines."""
        return re.search(pattern, self.output(), re.MULTILINE)

    async def line(self, pattern: str, seconds: float = SECONDS) -> re.Match[str]:
        """Wait until it has written what matches."""
        await self.until(lambda: self.find(pattern) is not None, f"wrote {pattern!r}", seconds)
        found = self.find(pattern)
        assert found is not None
        return found

    async def listening(self, port: int, host: str = "127.0.0.1", seconds: float = SECONDS) -> None:
        """Wait until a TCP connection is accepted."""

        async def accepted() -> bool:
            return await _exchange(host, port, b"") is not None

        await self.until(accepted, f"listens on {port}", seconds)

    async def answers(
        self, port: int, path: str, host: str = "127.0.0.1", seconds: float = SECONDS
    ) -> None:
        """Wait until `GET path` is answered with 200."""
        request = (
            f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode()
        )

        async def is_ready() -> bool:
            answer = await _exchange(host, port, request)
            return answer is not None and answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.0 200 "))

        await self.until(is_ready, f"answers {path} on {port}", seconds)

    async def ended(self, seconds: float = SECONDS) -> int:
        """Wait until it has ended; its exit code."""
        await asyncio.to_thread(wait_gone, self.pid, seconds)
        return self._ended_code(seconds)

    def wait(self, seconds: float = SECONDS) -> int:
        """As `ended`, for a test without a loop."""
        wait_gone(self.pid, seconds)
        return self._ended_code(seconds)

    def wait_line(self, pattern: str, seconds: float = SECONDS) -> re.Match[str]:
        """As `line`, for a test without a loop."""
        deadline = time.monotonic() + seconds
        while True:
            running = self.exit_code is None
            found = self.find(pattern)
            if found is not None:
                return found
            if not running or time.monotonic() > deadline:
                raise AssertionError(self._complaint(f"wrote {pattern!r}", seconds))
            time.sleep(_RETRY_SECONDS)

    def send(self, number: signal.Signals) -> None:
        """Signal the process itself, not its group."""
        self._process.send_signal(number)

    def stop(self) -> None:
        """End it with SIGTERM, then what is left of its group with SIGKILL."""
        if self.exit_code is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE_SECONDS)
        self.kill()

    def kill(self) -> None:
        """End its whole group with SIGKILL."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait(GRACE_SECONDS)

    def report(self) -> str:
        """The end of its log, under a heading."""
        return f"{self!r} wrote to {self.log}:\n{self.output()[-LOG_CHARACTERS:]}"

    def _ended_code(self, seconds: float) -> int:
        code = self.exit_code
        if code is None:
            raise AssertionError(self._complaint("ended", seconds))
        return code

    async def until(
        self, condition: Callable[[], object], what: str, seconds: float = SECONDS
    ) -> None:
        """Wait until a condition is met; it may be a coroutine function. `what`: for the error."""
        deadline = time.monotonic() + seconds
        while True:
            running = self.exit_code is None
            met = condition()
            if await met if asyncio.iscoroutine(met) else met:
                return
            if not running or time.monotonic() > deadline:
                raise AssertionError(self._complaint(what, seconds))
            await asyncio.sleep(_RETRY_SECONDS)

    def _complaint(self, what: str, seconds: float) -> str:
        state = "within" if self.exit_code is None else "before it ended; waited at most"
        return f"{self.name} never {what} {state} {seconds:g} s\n{self.report()}"


class Children:
    """The children of one test. Call it to start one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._children: list[Child] = []

    def __call__(
        self,
        *command: str | Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        name: str = "",
    ) -> Child:
        name = name or Path(command[0]).name
        log = self._folder / f"{len(self._children)}-{name}.log"
        child = Child(command, log, env=env, cwd=cwd, name=name)
        self._children.append(child)
        return child

    def __iter__(self) -> Iterator[Child]:
        return iter(self._children)

    def stop(self) -> None:
        """End all, the last started first."""
        for child in reversed(self._children):
            child.stop()


def wait_gone(pid: int, seconds: float = SECONDS) -> bool:
    """Wait until a process has ended, whoever its parent is; whether it has."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poller = select.poll()
        poller.register(descriptor, select.POLLIN)
        return bool(poller.poll(seconds * 1000))
    finally:
        os.close(descriptor)


def listening_addresses(port: int) -> set[str]:
    """Local addresses of listening sockets on a port, in the kernel's hexadecimal."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            address, number = line.split()[1].split(":")
            if int(number, 16) == port and line.split()[3] == "0A":
                found.add(address)
    return found


def credentials(pid: int) -> dict[str, set[int]]:
    """Real, effective, saved and file system ids of a process, and its further groups."""
    lines = Path("/proc", str(pid), "status").read_text().splitlines()
    found = dict(line.split(":", 1) for line in lines)
    return {name: {int(word) for word in found[name].split()} for name in ("Uid", "Gid", "Groups")}


async def _exchange(host: str, port: int, request: bytes) -> bytes | None:
    """The first bytes of the answer (none awaited without a request); None if unreachable."""
    try:
        async with asyncio.timeout(1.0):
            reader, writer = await asyncio.open_connection(host, port)
            try:
                writer.write(request)
                return await reader.read(512) if request else b""
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return None
