"""Where the lines of a log go: a file, or standard output. Never waited for.

Rules: several workers write to one file, so what is written is whole lines at its end
(O_APPEND), in one call; to a pipe no more than it takes in one piece (PIPE_BUF). What can't be
written waits in the buffer, and a line that does not fit into it is dropped and counted: a full
disk or a closed pipe costs lines, never a request.
"""

import errno
import logging
import os
import select
import socket
import stat
from contextlib import suppress

log = logging.getLogger("turnout.access")

_MODE = 0o640
_NOT_READY = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR}
_STANDARD_OUTPUT = 1
_WRITE_BYTES = 64 * 1024  # more is not left waiting for the sweep: it would leave the caches


class LogSink:
    """One log's buffer and file. path: empty for standard output. limit: of the buffer, in bytes.

    written, dropped: lines, since the start.
    """

    __slots__ = (
        "_fd",
        "_lines",
        "_path",
        "_piece",
        "_said",
        "_size",
        "_socket",
        "_torn",
        "_write_at",
        "dropped",
        "limit",
        "written",
    )

    def __init__(self, path: str, limit: int) -> None:
        self._path = path
        self.limit = limit
        self._write_at = _WRITE_BYTES
        self._lines: list[bytes] = []
        self._size = 0
        self._fd = -1
        self._socket: socket.socket | None = None
        self._piece = 0  # bytes that one write may have; 0: any number
        self._torn = False  # the last write ended within a line
        self._said = ""
        self.written = 0
        self.dropped = 0

    def __repr__(self) -> str:
        return (
            f"<LogSink {self._path or 'stdout'} waiting={len(self._lines)} dropped={self.dropped}>"
        )

    def add(self, line: bytes) -> None:
        """One line without its line end; dropped if there is no room."""
        size = self._size + len(line) + 1
        if size > self.limit:
            self.dropped += 1
            return
        self._size = size
        self._lines.append(line)
        if size > self._write_at:
            self.flush()
            self._write_at = self._size + _WRITE_BYTES

    def flush(self) -> None:
        """Write what waits, as far as that can be done now."""
        if not self._lines:
            return
        self._write_at = _WRITE_BYTES
        try:
            if self._fd < 0:
                self._open()
            self._write()
        except OSError as error:
            self._say(error)

    def reopen(self) -> None:
        """Write to a new file under the same name from now on (the old one was moved away)."""
        self.flush()
        self._close()
        with suppress(OSError):
            self._open()

    def close(self) -> None:
        """Write what can be written; the rest is dropped."""
        self.flush()
        self.dropped += len(self._lines)
        self._lines.clear()
        self._size = 0
        self._close()

    # ── own steps ─────────────────────────────────────────────────────────────────────────────

    def _open(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC
        if self._path:
            self._fd = os.open(self._path, flags | os.O_CREAT, _MODE)
        elif stat.S_ISSOCK(os.fstat(_STANDARD_OUTPUT).st_mode):
            self._socket = socket.socket(fileno=os.dup(_STANDARD_OUTPUT))
            self._fd = self._socket.fileno()
        else:
            # Opened anew: O_NONBLOCK on the one that is inherited would hold for all its heirs.
            try:
                self._fd = os.open(f"/proc/self/fd/{_STANDARD_OUTPUT}", flags)
            except PermissionError:
                self._fd = os.dup(_STANDARD_OUTPUT)  # it is another user's; see `_write_once`
        kind = os.fstat(self._fd).st_mode
        self._piece = select.PIPE_BUF if stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind) else 0
        self._torn = False

    def _close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        elif self._fd >= 0:
            os.close(self._fd)
        self._fd = -1

    def _write(self) -> None:
        done = 0
        try:
            while done < len(self._lines):
                count = self._write_some(done)
                done += count
                if count == 0:
                    return
        finally:
            self._size -= sum(map(len, self._lines[:done])) + done
            del self._lines[:done]

    def _write_some(self, start: int) -> int:
        """With one write, from a line on; how many lines need no more."""
        end = self._end_of_piece(start)
        lines = self._lines[start:end] if start or end < len(self._lines) else self._lines
        data = b"\n".join(lines) + b"\n"
        given = b"\n" + data if self._torn else data
        taken = self._write_once(given)
        if taken == 0:
            return 0
        count = end - start
        begun_anew, self._torn = self._torn, not given.endswith(b"\n", 0, taken)
        if taken < len(given):
            # The line that was cut is lost; the next begins on a line of its own.
            count = given.count(b"\n", 0, taken) - begun_anew + self._torn
            self.dropped += self._torn
            self.written -= self._torn
        self.written += count
        if self._said:
            log.warning("the access log is written again; %d lines were dropped", self.dropped)
            self._said = ""
        return count

    def _end_of_piece(self, start: int) -> int:
        """Which lines, from one on, go into one write."""
        lines = self._lines
        if not self._piece:
            return len(lines)
        size, end = len(lines[start]) + 1 + self._torn, start + 1
        while end < len(lines) and size + len(lines[end]) < self._piece:
            size += len(lines[end]) + 1
            end += 1
        return end

    def _write_once(self, data: bytes) -> int:
        """How many bytes were taken; 0: none can be now."""
        try:
            if self._socket is not None:
                return self._socket.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            if self._piece and not _is_ready(self._fd):
                return 0
            return os.write(self._fd, data)
        except OSError as error:
            if error.errno in _NOT_READY:
                return 0
            raise

    def _say(self, error: OSError) -> None:
        """Once for each cause, until it works again."""
        cause = os.strerror(error.errno or 0)
        if cause != self._said:
            self._said = cause
            log.error("the access log can't be written: %s", cause)


def _is_ready(fd: int) -> bool:
    """Whether a pipe takes a piece now; also if it is broken, which writing then tells."""
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    return bool(poll.poll(0))
