"""A log's lines on their way to the thread that writes them. Never waited for.

Rules: what can't be written now waits, here and with the thread, and a line for which there is no
room is dropped and counted: a full disk, one that hangs, or a closed pipe costs lines, never a
request. How they are written: `proxy.observability.log_file`.
"""

import logging

from proxy.observability.log_file import LogWriter

log = logging.getLogger("turnout.access")

_BATCH_BYTES = 64 * 1024  # more does not wait for the sweep: it would leave the caches
_FULL = "it is not taken as fast as it comes"


class LogSink:
    """One log's buffer. path: empty for standard output. limit: of the buffer, in bytes.

    flush_s: how soon what failed is tried again. close_s: how long the end may take.
    written, dropped: lines, since the start.
    """

    __slots__ = (
        "_batch",
        "_close_s",
        "_dropped",
        "_dropped_before",
        "_flush_s",
        "_full_until",
        "_given_bytes",
        "_given_lines",
        "_lines",
        "_path",
        "_said",
        "_size",
        "_writer",
        "limit",
    )

    def __init__(self, path: str, limit: int, flush_s: float = 1.0, close_s: float = 1.0) -> None:
        self._path = path
        self._flush_s = flush_s
        self._close_s = close_s
        self.limit = limit
        self._batch = min(_BATCH_BYTES, limit // 2)
        self._lines: list[bytes] = []
        self._size = 0
        self._given_lines = self._given_bytes = 0
        self._dropped = self._dropped_before = 0
        self._full_until = 0  # of the bytes given, how many must be written to have room again
        self._writer: LogWriter | None = None
        self._said = ""

    def __repr__(self) -> str:
        waits = self._given_lines - self.written + len(self._lines)
        return f"<LogSink {self._path or 'stdout'} waiting={waits} dropped={self.dropped}>"

    @property
    def written(self) -> int:
        """Lines that the file has taken."""
        return 0 if self._writer is None else self._writer.written

    @property
    def dropped(self) -> int:
        """Lines that it never will have."""
        return self._dropped + (0 if self._writer is None else self._writer.lost)

    def add(self, line: bytes) -> None:
        """One line without its line end; dropped if there is no room."""
        size = self._size + len(line) + 1
        if size > self._batch:
            self._hand_over()
            size = self._size + len(line) + 1
            if size > self._batch:
                self._dropped += 1
                return
        self._size = size
        self._lines.append(line)

    def flush(self) -> None:
        """Have what waits written as soon as that can be."""
        self._hand_over()
        self._tell()

    def reopen(self) -> None:
        """Write to a new file under the same name from now on (the old one was moved away)."""
        self._hand_over()
        writer = self._started()
        if writer is not None:
            writer.reopen()

    def close(self) -> None:
        """Write what can be written within `close_s`; the rest is dropped."""
        writer = self._started() if self._lines else self._writer
        if writer is not None:
            self._give(writer)
            writer.end(self._close_s)
            self._tell()
            self._drop(self._given_lines - writer.written - writer.lost)
        elif self._lines:
            self._drop(len(self._lines))

    # ── own steps ─────────────────────────────────────────────────────────────────────────────

    def _hand_over(self) -> None:
        """Give the thread what is here, if no more waits there than may."""
        writer = self._started() if self._lines else None
        if writer is None or self._waiting(writer) + self._size > self.limit - self._batch:
            return
        self._give(writer)

    def _give(self, writer: LogWriter) -> None:
        self._given_lines += len(self._lines)
        self._given_bytes += self._size
        writer.give(self._lines)
        self._lines = []
        self._size = 0

    def _drop(self, count: int) -> None:
        """At the end."""
        self._dropped += count
        if count:
            log.warning("the last %d lines of the access log are dropped", count)

    def _waiting(self, writer: LogWriter) -> int:
        """Bytes that the thread has and has not written."""
        return self._given_bytes - writer.done

    def _started(self) -> LogWriter | None:
        if self._writer is None:
            try:
                self._writer = LogWriter(self._path, self._flush_s)
            except RuntimeError as error:
                self._say(str(error))
        return self._writer

    def _tell(self) -> None:
        """What goes wrong, or does no more."""
        writer = self._writer
        if writer is None:
            return
        if self._dropped > self._dropped_before:
            self._dropped_before = self._dropped
            self._full_until = self._given_bytes
        self._say(writer.failing or (_FULL if writer.done < self._full_until else ""))

    def _say(self, cause: str) -> None:
        """Once for each cause, until it works again."""
        if cause == self._said:
            return
        self._said = cause
        if cause:
            log.error("the access log can't be written: %s", cause)
        else:
            log.warning("the access log is written again; %d lines were dropped", self.dropped)
