"""A WebSocket client of a few lines, on blocking sockets (which locust's gevent makes cooperate)."""

import base64
import os
import socket
import time
from collections import deque
from collections.abc import Mapping
from contextlib import suppress

from bench.switch.frames import CLOSE, TEXT, code_of, frame, take

_READ = 65_536


class SocketError(Exception):
    """It could not be opened, or ended without a close frame."""


class Closed(Exception):  # noqa: N818 - no error: it is how a WebSocket should end
    """The other side said goodbye. code: of its close frame."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Socket:
    """An open WebSocket. SocketError and OSError when it can't be opened."""

    def __init__(
        self, address: tuple[str, int], path: str, fields: Mapping[str, str], wait_s: float
    ) -> None:
        self._connection = socket.create_connection(address, wait_s)
        self._buffer = bytearray()
        self._frames: deque[tuple[int, bytes]] = deque()
        self._wait_s = wait_s
        try:
            self._open(address, path, fields)
        except BaseException:
            self._connection.close()
            raise

    def _open(self, address: tuple[str, int], path: str, fields: Mapping[str, str]) -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        own = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        self._connection.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {address[0]}:{address[1]}\r\nConnection: Upgrade\r\n"
            f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
            f"{own}\r\n".encode()
        )
        while b"\r\n\r\n" not in self._buffer:
            self._read()
        head, _, rest = bytes(self._buffer).partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101 "):
            raise SocketError(f"no upgrade: {head[:40]!r}")
        self._buffer = bytearray(rest)

    def say(self, text: bytes) -> None:
        """Send a message, under 126 bytes."""
        self._connection.sendall(frame(TEXT, text, masked=True))

    def listen(self) -> None:
        """Return at the next message. Closed; SocketError."""
        while True:
            self._frames.extend(take(self._buffer))
            while self._frames:
                opcode, payload = self._frames.popleft()
                if opcode == CLOSE:
                    self._connection.sendall(frame(CLOSE, payload[:2], masked=True))
                    raise Closed(code_of(payload))
                if opcode == TEXT:
                    return
            self._read()

    def rest(self, seconds: float) -> None:
        """Read what comes for so long. Closed; SocketError.

        Who only sleeps finds its connection reset, and the close frame lost, when it speaks again.
        """
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            self._connection.settimeout(left)
            with suppress(TimeoutError):
                self.listen()
        self._connection.settimeout(self._wait_s)

    def close(self) -> None:
        """End it."""
        self._connection.close()

    def _read(self) -> None:
        data = self._connection.recv(_READ)
        if not data:
            raise SocketError("ended without a close frame")
        self._buffer += data
