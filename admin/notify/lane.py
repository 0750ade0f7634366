"""A target's own thread and bounded queue: one that hangs costs nobody else anything.

Rules:
1. `put` never waits: with a full queue the message is lost, and counted.
2. A message that isn't sent in time is given up. What sends it can't be stopped, so it is left to
   end; until it has, the next one waits for it, in its own time. So a target has two threads at most.
3. Threads are daemons: an admin that ends doesn't wait for a target that hangs.
"""

import queue
import threading
from collections.abc import Callable
from time import monotonic

import structlog

from admin.notify.templates import Message

log = structlog.get_logger(__name__)
SENT, FAILED, LATE, DROPPED = OUTCOMES = ("sent", "failed", "late", "dropped")
"""What becomes of a message: all but `sent` are losses. dropped: its queue was full."""
Count = Callable[[str, str], None]
"""Gets the target's name and one of OUTCOMES; called in any thread."""
Prepare = Callable[[], None]
"""What has to be done before the first message is sent; its time is nobody's."""
Send = Callable[[Message], None]
"""Sends a message, in a thread of its own; raises if that fails."""


class Lane:
    """See the module. send: see `Send`. most: messages that wait. timeout_s: seconds for one."""

    def __init__(
        self,
        name: str,
        send: Send,
        count: Count,
        *,
        most: int,
        timeout_s: float,
        prepare: Prepare | None = None,
    ) -> None:
        self.name = name
        self._prepare = prepare
        self._send, self._count, self._timeout_s = send, count, timeout_s
        self._queue: queue.Queue[Message | None] = queue.Queue(most)
        self._thread: threading.Thread | None = None
        self._sending: threading.Thread | None = None

    def put(self, message: Message) -> None:
        """Send it some time soon, or lose it."""
        try:
            self._queue.put_nowait(message)
        except queue.Full:
            self._lose(DROPPED, "its queue is full")
            return
        if self._thread is None:
            self._thread = _started(self._run, f"notify-{self.name}")

    def close(self, deadline: float) -> None:
        """Wait until all is sent, or until then (monotonic seconds). Blocks: for a thread."""
        if self._thread is None:
            return
        try:
            self._queue.put(None, timeout=max(0.0, deadline - monotonic()))
        except queue.Full:
            return
        self._thread.join(max(0.0, deadline - monotonic()))

    def _run(self) -> None:
        try:
            if self._prepare:
                self._prepare()
        except Exception as error:  # noqa: BLE001 - then sending fails too, and is counted
            log.warning("notifications can't be sent", target=self.name, fault=type(error).__name__)
        while (message := self._queue.get()) is not None:
            self._deliver(message)

    def _deliver(self, message: Message) -> None:
        deadline = monotonic() + self._timeout_s
        if self._sending is not None:
            self._sending.join(self._timeout_s)
            if self._sending.is_alive():
                self._lose(LATE, "an earlier one has not ended")
                return
        failed: list[BaseException] = []
        ended = threading.Event()

        def sending() -> None:
            try:
                self._send(message)
            except Exception as error:  # noqa: BLE001 - whatever a target's library raises
                failed.append(error)
            ended.set()

        self._sending = _started(sending, f"notify-{self.name}-send")
        if not ended.wait(max(0.0, deadline - monotonic())):
            self._lose(LATE, f"not sent within {self._timeout_s:g} s")
        elif failed:
            # Messages of HTTP errors hold URLs, and those are secrets.
            self._lose(FAILED, type(failed[0]).__name__)
        else:
            self._count(self.name, SENT)

    def _lose(self, outcome: str, why: str) -> None:
        self._count(self.name, outcome)
        log.warning("a notification is lost", target=self.name, outcome=outcome, fault=why)


def _started(run: Callable[[], None], name: str) -> threading.Thread:
    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    return thread
