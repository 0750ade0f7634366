"""The raw endpoint behind each proxy: it records every byte, and plays a script.

One run of a row is a *take*. Requests are numbered within it, over all connections, in the order
in which they became whole; the n-th gets the n-th answer of the script, and any after it OK.
Everything a thread touches lies behind one condition.
"""

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Final

from conformance.cutting import Cut, whole
from conformance.reading import Message, UnreadableError, head_of, read_requests

OK: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_LAST: Final = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
PROBE: Final = b"/conformance-probe"
"""The target of the question whether a connection is still served: never part of a script."""
KEEP, CLOSE, RESET = "keep", "close", "reset"
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_CONTINUE: Final = b"HTTP/1.1 100 "
_SETTLE_S: Final = 0.5
_LARGE: Final = 65536


@dataclass(frozen=True, slots=True)
class Answer:
    """What one request gets.

    at_head: sent when its head is here; a 100 only to a request that expects it. at_end: sent when it is whole. later: more, each after a
    pause in seconds. then: what becomes of the connection.
    """

    at_end: bytes = OK
    at_head: bytes = b""
    later: tuple[tuple[float, bytes], ...] = ()
    then: str = KEEP


Script = tuple[Answer, ...]


@dataclass(slots=True)
class Line:
    """A connection of the take. data: all that came; parsed: how much of it was whole requests."""

    sock: socket.socket
    number: int
    data: bytearray = field(default_factory=bytearray)
    parsed: int = 0
    fault: str = ""
    ended: bool = False
    tunnel: bool = False
    promised: "Answer | None" = None
    needed: int = 0

    def may_be_whole(self) -> bool:
        """Whether it is worth the while to parse: a long body is not parsed at every read."""
        waiting = len(self.data) - self.parsed
        if waiting < _LARGE or self.promised is None:
            return True
        return waiting >= self.needed if self.needed else self.data.endswith(b"\r\n\r\n")

    @property
    def rest(self) -> bytes:
        """What is not a whole request."""
        return b"" if self.tunnel else bytes(self.data[self.parsed :])

    def cut(self) -> None:
        """Reset it."""
        with suppress(OSError):
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        _close(self.sock)


def _close(sock: socket.socket) -> None:
    """Close in a way that wakes up the thread that reads."""
    linger = (
        struct.unpack("ii", sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8))
        if sock.fileno() >= 0
        else (0, 0)
    )
    if linger[0] == 0:
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
    with suppress(OSError):
        sock.close()


class Take:
    """What one run left at the endpoint."""

    def __init__(self, script: Script, cut: Cut) -> None:
        self.script = script
        self.cut = cut
        self.requests: list[Message] = []
        self.lines: list[Line] = []
        self.marks: dict[int, int] = {}
        self.overlapped = False
        self.given = 0
        self.open_requests = 0
        self.sending = 0

    def streams(self) -> list[bytes]:
        """The bytes of each connection that had any."""
        found = [bytes(line.data[self.marks[line.number] :]) for line in self.lines]
        return [stream for stream in found if stream]

    def faults(self) -> list[str]:
        """What could not be read of them."""
        return [line.fault for line in self.lines if line.fault]

    def rests(self) -> list[bytes]:
        """What came and was not a whole request."""
        return [line.rest for line in self.lines if line.rest and not line.fault]


class Recorder:
    """Listens on loopback, one thread a connection. port: where."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listening.getsockname()[1]
        self._changed = threading.Condition()
        self._lines: list[Line] = []
        self._take = Take((), whole)
        self._numbers = 0
        threading.Thread(target=self._accept, name="endpoint", daemon=True).start()

    def close(self) -> None:
        """Listen no more, and end all connections."""
        _close(self._listening)
        with self._changed:
            for line in self._lines:
                line.cut()

    @contextmanager
    def take(self, script: Script, cut: Cut) -> Iterator[Take]:
        """Record a run. Afterwards no connection is left with half a request on it."""
        with self._changed:
            take = self._take = Take(script, cut)
            take.lines = [line for line in self._lines if not line.ended and not line.tunnel]
            take.marks = {line.number: len(line.data) for line in take.lines}
        try:
            yield take
        finally:
            self._settle(take)

    def wait_for(self, happened: Callable[[Take], bool], limit_s: float) -> bool:
        """Whether it happened within the limit."""
        with self._changed:
            return self._changed.wait_for(lambda: happened(self._take), limit_s)

    def open_lines(self) -> int:
        """How many connections there are, idle ones for the most part."""
        with self._changed:
            return sum(not line.ended for line in self._lines)

    def end_lines(self) -> None:
        """End those that are left: connections of a pool that the probe did not take."""
        with self._changed:
            for line in self._lines:
                _close(line.sock)

    def say(self, line: Line, data: bytes) -> None:
        """Send something that nobody asked for."""
        with suppress(OSError):
            line.sock.sendall(data)

    def _settle(self, take: Take) -> None:
        def at_rest() -> bool:
            half = any(line.rest and not line.ended for line in take.lines)
            return not half and not take.sending

        with self._changed:
            self._changed.wait_for(at_rest, _SETTLE_S)
            for line in take.lines:
                if (line.rest or line.tunnel or take.open_requests) and not line.ended:
                    line.cut()
            self._lines = [line for line in self._lines if not line.ended]

    # ── connections ───────────────────────────────────────────────────────────────────────────

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listening.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._changed:
                self._numbers += 1
                line = Line(sock, self._numbers)
                self._lines.append(line)
                self._take.lines.append(line)
                self._take.marks[line.number] = 0
                self._changed.notify_all()
            threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: Line) -> None:
        try:
            while data := line.sock.recv(65536):
                self._arrived(line, data)
        except OSError:
            pass
        finally:
            with self._changed:
                line.ended = True
                self._changed.notify_all()
            _close(line.sock)

    def _arrived(self, line: Line, data: bytes) -> None:
        with self._changed:
            line.data += data
            take = self._take
            todo = [] if line.tunnel else self._read(line, take)
            take.sending += bool(todo)
            self._changed.notify_all()
        if line.tunnel and not todo:
            line.sock.sendall(data)  # a tunnel's far end echoes
            return
        for step in todo:
            if not self._play(line, take, *step):
                break
        if todo:
            with self._changed:
                take.sending -= 1
                self._changed.notify_all()

    def _read(self, line: Line, take: Take) -> list[tuple[Answer, bool, bool]]:
        """Note what is whole; gives (answer, its head's part too, its end's part too)."""
        if line.fault or not line.may_be_whole():
            return []
        found = read_requests(line.rest)
        line.parsed = len(line.data) - len(found.rest)
        line.fault = found.fault
        todo = []
        for message in found.messages:
            promised, line.promised = line.promised, None
            answer = promised or self._next(message, take)
            todo.append((answer, promised is None, True))
            if message.target != PROBE:
                take.requests.append(message)
        if line.fault:
            bad = Answer(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", then=CLOSE)
            return [*todo, (bad, True, True)]
        head = self._head(line)
        if head is not None and line.promised is None:
            line.promised = self._next(head, take)
            todo.append((line.promised, True, False))
            lengths = head.all("Content-Length")
            line.needed = int(lengths[0]) if lengths and lengths[0].isdigit() else 0
        return todo

    def _head(self, line: Line) -> Message | None:
        try:
            return head_of(line.rest)
        except UnreadableError as error:
            line.fault = str(error)
            return None

    def _next(self, message: Message, take: Take) -> Answer:
        answer = self._given(message, take)
        if answer.at_head.startswith(_CONTINUE) and not message.all("Expect"):
            return replace(answer, at_head=b"")
        return answer

    def _given(self, message: Message, take: Take) -> Answer:
        take.open_requests += 1
        take.overlapped = take.overlapped or take.open_requests > 1
        if message.target == PROBE:
            return Answer(_LAST, then=CLOSE)
        take.given += 1
        return take.script[take.given - 1] if take.given <= len(take.script) else Answer()

    def _play(self, line: Line, take: Take, answer: Answer, head: bool, end: bool) -> bool:
        """Send what is due. Whether the connection goes on."""
        if head:
            self._send(line, take.cut(answer.at_head))
        rest = bool(answer.at_end or answer.later)
        if not (end if rest or not answer.at_head else head):
            return True
        self._send(line, take.cut(answer.at_end))
        with self._changed:
            line.tunnel = answer.at_end.startswith(b"HTTP/1.1 101")
        for pause_s, data in answer.later:
            time.sleep(pause_s)
            self._send(line, [data])
        with self._changed:
            take.open_requests -= bool(answer.at_head or rest)
        if answer.then == RESET:
            line.cut()
        elif answer.then == CLOSE:
            with suppress(OSError):
                line.sock.shutdown(socket.SHUT_WR)
        return answer.then == KEEP

    def _send(self, line: Line, pieces: list[bytes]) -> None:
        with suppress(OSError):
            for piece in pieces:
                line.sock.sendall(piece)
                if len(pieces) > 1:
                    time.sleep(0.00002)
