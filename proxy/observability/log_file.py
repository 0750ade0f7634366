"""A log's file, or standard output, and the thread that writes to it: only that one ever waits.

Rules: several workers write to one file, so what is written is whole lines at its end
(O_APPEND), in one call; to a pipe no more than it takes in one piece (PIPE_BUF). The loop hands
batches over and never looks at the file: a disk that hangs, a pipe that nobody reads, and a FIFO
that nobody opens hold up the thread alone. What it counts, it alone writes, and the loop reads.
"""

import contextlib
import os
import select
import signal
import stat
from queue import Empty, SimpleQueue
from threading import Thread

_MODE = 0o640
_STANDARD_OUTPUT = 1


class LogFile:
    """Whole lines to a path (empty: standard output). OSError as the system's."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd = -1
        self._piece = 0  # bytes that one write may have; 0: any number
        self._torn = False  # the last write ended within a line

    def write(self, lines: list[bytes]) -> tuple[int, int]:
        """With one write, from the first on: how many need no more, and how many of them are lost."""
        if self._fd < 0:
            self._open()
        end = self._end_of_piece(lines)
        data = b"\n".join(lines[:end] if end < len(lines) else lines) + b"\n"
        given = b"\n" + data if self._torn else data
        taken = self._write_once(given)
        begun_anew, self._torn = self._torn, not given.endswith(b"\n", 0, taken)
        if taken == len(given):
            return end, 0
        # The line that was cut is lost; the next begins on a line of its own.
        lost = int(self._torn)
        return given.count(b"\n", 0, taken) - begun_anew + lost, lost

    def close(self) -> None:
        """The next write opens it anew."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def open(self) -> None:
        """Open it, if it is not."""
        if self._fd < 0:
            self._open()

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
        if self._path:
            self._fd = os.open(self._path, flags | os.O_CREAT, _MODE)
        else:
            # Opened anew: what is set on the one that is inherited holds for all its heirs.
            try:
                self._fd = os.open(f"/proc/self/fd/{_STANDARD_OUTPUT}", flags)
            except OSError:
                self._fd = os.dup(_STANDARD_OUTPUT)  # a socket, or another user's
        kind = os.fstat(self._fd).st_mode
        self._piece = select.PIPE_BUF if stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind) else 0
        self._torn = False

    def _end_of_piece(self, lines: list[bytes]) -> int:
        """How many lines go into one write."""
        if not self._piece:
            return len(lines)
        size, end = len(lines[0]) + 1 + self._torn, 1
        while end < len(lines) and size + len(lines[end]) < self._piece:
            size += len(lines[end]) + 1
            end += 1
        return end

    def _write_once(self, data: bytes) -> int:
        """How many bytes were taken."""
        while True:
            try:
                return os.write(self._fd, data)
            except BlockingIOError:  # an heir of standard output has set it so
                poll = select.poll()
                poll.register(self._fd, select.POLLOUT)
                poll.poll()


class LogWriter:
    """Writes in a thread of its own what it is given, in that order, until it is ended.

    retry_s: how soon again after what went wrong. written, lost: lines; done: bytes of both.
    failing: what the system says, empty while it works.
    """

    def __init__(self, path: str, retry_s: float) -> None:
        self.written = self.lost = self.done = 0
        self.failing = ""
        self._file = LogFile(path)
        self._retry_s = retry_s
        self._given: SimpleQueue[list[bytes] | None] = SimpleQueue()
        self._waiting: list[bytes] = []
        self._ending = False
        # A daemon: the worker's end does not wait for a disk.
        self._thread = Thread(target=self._run, name="access log", daemon=True)
        self._thread.start()

    def give(self, lines: list[bytes]) -> None:
        """Write these, after those given before."""
        self._given.put(lines)

    def reopen(self) -> None:
        """Write what is given from now on to a new file under the same name."""
        self._given.put(None)

    def end(self, limit_s: float) -> None:
        """Wait until what was given is written, or could not be at a last try, or for so long."""
        self._ending = True
        self._given.put([])
        self._thread.join(limit_s)

    # ── in the thread ─────────────────────────────────────────────────────────────────────────

    def _run(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())  # the loop's
        while not self._ending or not self._given.empty():
            try:
                self._take(self._given.get(timeout=self._retry_s if self._waiting else None))
            except Empty:
                self._take([])

    def _take(self, given: list[bytes] | None) -> None:
        if given:
            self._waiting += given
        try:
            self._write()
            if given is None:
                self._file.close()
                self._file.open()
            self.failing = ""
        except OSError as error:
            self.failing = os.strerror(error.errno or 0)
            if given is None:
                with contextlib.suppress(OSError):
                    self._file.close()

    def _write(self) -> None:
        lines = self._waiting
        while lines:
            count, lost = self._file.write(lines)
            self.done += sum(map(len, lines[:count])) + count
            self.written += count - lost
            self.lost += lost
            del lines[:count]
