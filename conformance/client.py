"""The raw client: sends pieces, reads answers, and finds out what became of its connection."""

import select
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Self

from conformance.reading import Message, Reading, read_answers
from conformance.recorder import PROBE

CLOSED, RESET, KEPT, OPEN = "closed", "reset", "kept", "open"
"""kept: it answered one more request. open: it neither ended nor answered."""
_GAP_S: Final = 0.00002
_GRACE_S: Final = 0.4
PROBE_REQUEST: Final = b"GET %b HTTP/1.1\r\nHost: probe.test\r\n\r\n" % PROBE


@dataclass(frozen=True, slots=True)
class Saw:
    """What the client got. answers: interim ones and one cut short included; fault: what could
    not be read. seconds: from the last byte sent to the last answer or the end.
    """  # noqa: D205 - one sentence a field

    answers: tuple[Message, ...]
    fate: str
    seconds: float
    raw: bytes
    fault: str = ""

    @property
    def finals(self) -> tuple[Message, ...]:
        """Without the interim answers."""
        return tuple(answer for answer in self.answers if answer.status >= 200)


class Client:
    """One connection. methods: of the requests that it will send."""

    def __init__(self, port: int, methods: Sequence[bytes] = (b"GET",)) -> None:
        self._methods = list(methods)
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setblocking(False)
        self.raw = bytearray()
        self.ended = ""
        self._since = time.monotonic()
        self._last = self._since
        self._took: float | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, pieces: Sequence[bytes], *, gap_s: float = _GAP_S) -> None:
        """Send them one by one, reading what comes meanwhile; stop when the proxy has ended."""
        for piece in pieces:
            left = memoryview(piece)
            while left and not self.ended:
                readable, writable, _ = select.select([self.sock], [self.sock], [], 5)
                if readable:
                    self._read()
                if not readable and not writable:
                    break
                if writable:
                    try:
                        left = left[self.sock.send(left) :]
                    except BlockingIOError:
                        continue
                    except OSError:
                        self.ended = RESET
            if len(pieces) > 1:
                self._wait(gap_s)
        self._since = self._last = time.monotonic()

    def half_close(self) -> None:
        """End our direction."""
        self.sock.shutdown(socket.SHUT_WR)

    def read(self) -> Reading:
        """The answers so far."""
        return read_answers(
            bytes(self.raw), self._methods, ended=bool(self.ended), reset=self.ended == RESET
        )

    def wait_answers(self, count: int, limit_s: float) -> bool:
        """Whether so many final answers have come, or the connection has ended, in time."""
        return self.wait(lambda: self._finals() >= count, limit_s)

    def wait_bytes(self, data: bytes, limit_s: float) -> bool:
        """Whether these have come."""
        return self.wait(lambda: data in self.raw, limit_s)

    def wait_end(self, limit_s: float) -> bool:
        """Whether the connection has ended in time."""
        return self.wait(lambda: False, limit_s)

    def wait(self, happened: Callable[[], bool], limit_s: float) -> bool:
        """Read on until it happened or the connection ended; whether one of them did."""
        deadline = time.monotonic() + limit_s
        while not happened():
            if self.ended:
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._wait(left)
        return True

    def fate(self, limit_s: float) -> str:
        """What became of the connection, by asking one thing more if it doesn't end."""
        reading = self.read()
        if not self.ended and reading.messages and not reading.fault:
            last = reading.messages[-1]
            if last.status == 101:
                return KEPT
            if not last.closes:
                return self._probe(limit_s)
            self.wait_end(limit_s)
        return self.ended or OPEN

    def _probe(self, limit_s: float) -> str:
        finals = self._finals()
        self._methods += self._methods[-1:] * (finals - len(self._methods))
        self._methods = [*self._methods[:finals], b"GET"]
        before, self._took = len(self.raw), self._last - self._since
        self.send([PROBE_REQUEST])
        self.wait_answers(finals + 1, limit_s)
        answered = [each for each in self.read().messages if each.status >= 200][finals:]
        del self.raw[before:]
        if answered:
            return KEPT if answered[0].status == 200 else OPEN
        return self.ended or OPEN

    def saw(self, fate: str) -> Saw:
        """What there is to judge."""
        reading = self.read()
        took = self._last - self._since if self._took is None else self._took
        return Saw(reading.messages, fate, took, bytes(self.raw), reading.fault)

    def _finals(self) -> int:
        return sum(answer.status >= 200 or answer.status == 101 for answer in self.read().messages)

    def _wait(self, limit_s: float) -> None:
        readable, _, _ = select.select([self.sock], [], [], limit_s)
        if readable:
            self._read()

    def _read(self) -> None:
        try:
            data = self.sock.recv(262_144)
        except BlockingIOError:
            return
        except OSError:
            self.ended = RESET
            self._last = time.monotonic()
            return
        self._last = time.monotonic()
        if not data:
            self.ended = CLOSED
            # A closed end stays readable: nothing more is to be waited for.
            return
        self.raw += data


def exchange(
    port: int, pieces: Sequence[bytes], methods: Sequence[bytes], count: int, limit_s: float
) -> Saw:
    """Send, wait for so many final answers, and find out the connection's fate."""
    with Client(port, methods) as client:
        client.send(pieces)
        client.wait_answers(count, limit_s)
        fate = client.fate(min(limit_s, 1.0) if limit_s > _GRACE_S else limit_s)
        return client.saw(fate)
