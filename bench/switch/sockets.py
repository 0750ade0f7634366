"""The load's WebSockets: each is opened, kept busy with echoes, and opened anew when it ends."""

import asyncio
import base64
import os
import time
from collections.abc import Callable
from typing import Any, cast

from bench.switch.answers import slot_of
from bench.switch.frames import CLOSE, TEXT, code_of, frame, take
from bench.switch.history import What

ECHO_EVERY_S = 0.25
"""Each sends a message so often; one that is not echoed by the next has lost its connection."""
RETRY_S = 0.02
"""After an attempt that failed. After an end the next attempt is made at once."""
_MESSAGE = frame(TEXT, b"hi", masked=True)


class Socket(asyncio.Protocol):
    """One WebSocket, over all of its connections. told: gets each event as a row."""

    def __init__(
        self, number: int, tenant: int, name: bytes, port: int, told: Callable[[list[Any]], None]
    ) -> None:
        self._number, self._tenant, self._name, self._port = number, tenant, name, port
        self._told = told
        self._loop = asyncio.get_running_loop()
        self._stopping = False
        self._timer: asyncio.TimerHandle | None = None
        self._connecting: asyncio.Task[None] | None = None
        self.opened = self._loop.create_future()
        self._reset()

    def _reset(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._slot = ""
        self._open = self._awaiting_echo = False
        self._code = 0

    def open(self) -> None:
        """Connect, and go on until `stop`."""
        if not self._stopping:
            self._connecting = self._loop.create_task(self._connect())

    def stop(self) -> None:
        """End it without a word to the record."""
        self._stopping = True
        self._cancel_timer()
        if self._connecting is not None:
            self._connecting.cancel()
        if self._transport is not None:
            self._transport.abort()

    async def _connect(self) -> None:
        try:
            await self._loop.create_connection(lambda: self, "127.0.0.1", self._port)
        except OSError:
            self._tell(What.REFUSED)
            self._timer = self._loop.call_later(RETRY_S, self.open)

    # ── asyncio's callbacks ───────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self._reset()
        self._transport = cast("asyncio.Transport", transport)
        key = base64.b64encode(os.urandom(16))
        self._transport.write(
            b"GET /socket HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\nX-Tenant-ID: %s\r\n\r\n"
            % (key, self._name)
        )
        self._timer = self._loop.call_later(ECHO_EVERY_S * 20, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        """The 101, then frames."""
        self._buffer += data
        if not self._open and not self._read_head():
            return
        for opcode, payload in take(self._buffer):
            if opcode == TEXT:
                self._awaiting_echo = False
            elif opcode == CLOSE:
                self._close(payload)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """It ended: say how, and begin anew."""
        self._cancel_timer()
        self._transport = None
        if self._stopping:
            return
        if not self._open:
            self._tell(What.REFUSED)
            self._timer = self._loop.call_later(RETRY_S, self.open)
            return
        if not self._code:
            self._tell(What.LOST)
        self.open()

    # ── what it does ──────────────────────────────────────────────────────────────────────────

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(self._buffer[:end])
        del self._buffer[: end + 4]
        if not head.startswith(b"HTTP/1.1 101 "):
            self._abort()
            return False
        self._slot, self._open = slot_of(head), True
        self._tell(What.OPENED)
        if not self.opened.done():
            self.opened.set_result(None)
        self._send()
        return True

    def _send(self) -> None:
        """A message, if the one before was echoed."""
        self._cancel_timer()
        if self._awaiting_echo:
            self._abort()
        elif self._transport is not None:
            self._awaiting_echo = True
            self._transport.write(_MESSAGE)
            self._timer = self._loop.call_later(ECHO_EVERY_S, self._send)

    def _close(self, payload: bytes) -> None:
        """A close frame: answer it, and end the connection (RFC 6455 section 5.5.1)."""
        if self._transport is None or self._code:
            return
        self._code = code_of(payload)
        self._tell(What.CLOSED)
        self._transport.write(frame(CLOSE, payload[:2], masked=True))
        self._transport.close()

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tell(self, what: What) -> None:
        self._told([what, time.monotonic(), self._number, self._tenant, self._slot, self._code])
