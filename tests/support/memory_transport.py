"""A loop and transports without sockets, on which real protocols run in a test.

Rules: a transport behaves as uvloop's does (pause_writing comes from within `write`, writing to
one that is gone raises, an aborted one loses what was not flushed). Callbacks run one loop pass
at a time, so that a test can say what falls into the same pass. What a callback raises is kept
and raised again by `settle`.
"""

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, cast

END_OF_FILE = None
_MANY_PASSES = 100_000
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class MemoryLoop(asyncio.BaseEventLoop):
    """Runs callbacks and tasks; time stands still unless `advance` is called.

    dial: given a host and a port, the far side's decision about a new connection.
    """

    def __init__(self, dial: Callable[[str, int], "Dialled"]) -> None:
        super().__init__()
        self._selector = self
        self._clock = 1_000.0
        self._dial = dial
        self.faults: list[BaseException] = []
        self.set_exception_handler(self._keep_fault)

    def select(self, timeout: float | None) -> list[Any]:
        """No file is ever ready."""
        return []

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nothing sleeps in `select`."""

    def time(self) -> float:
        return self._clock

    def advance(self, seconds: float) -> None:
        self._clock += seconds

    def _keep_fault(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.faults.append(context.get("exception") or RuntimeError(context["message"]))

    def settle(self) -> None:
        """Run until nothing is left to do now; raise what a callback raised."""
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            for _ in range(_MANY_PASSES):
                if not self._has_work():
                    break
                self._run_once()
            else:
                raise AssertionError("the callbacks never come to rest")
        finally:
            asyncio._set_running_loop(before)
        if self.faults:
            raise self.faults.pop(0)

    def run_to_end(self, work: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine; it must need nothing from outside."""
        task = self.create_task(work)
        self.settle()
        task.result()

    def discard(self) -> None:
        """Close the loop, with what is left on it."""
        for task in asyncio.all_tasks(self):
            task.cancel()
        with contextlib.suppress(Exception):
            self.settle()
        self.close()

    def _has_work(self) -> bool:
        timers = self._scheduled
        return bool(self._ready) or bool(timers and timers[0].when() <= self._clock)

    async def create_connection(  # type: ignore[override] # as far as the pool uses it
        self, protocol_factory: Callable[[], asyncio.Protocol], host: str, port: int
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        """As asyncio's: the protocol hears of the connection a pass before the caller does."""
        dialled = self._dial(host, port)
        if dialled.decision is not None:
            await dialled.decision
        protocol = protocol_factory()
        transport = MemoryTransport(self, protocol)
        dialled.made(transport)
        self.call_soon(protocol.connection_made, transport)
        if dialled.early:
            transport.deliver(dialled.early)
        if dialled.resets:
            transport.reset()
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            transport.close()
            raise
        return transport, protocol

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _run_once: Callable[[], None]


class Dialled:
    """The far side's decision about a new connection.

    decision: None accepts at once; a future accepts, or refuses by its exception, when it is
    done. made: told of the transport. early: said before the caller of `create_connection` goes on.
    resets: cut before it does.
    """

    def __init__(
        self,
        made: Callable[["MemoryTransport"], None],
        decision: "asyncio.Future[None] | None" = None,
        early: bytes = b"",
        *,
        resets: bool = False,
    ) -> None:
        self.made = made
        self.decision = decision
        self.early = early
        self.resets = resets


class MemoryTransport(asyncio.Transport):
    """One connection, seen from the code under test; the far side is played by the test.

    arrived: what the far side has received and not yet looked at. aborted: cut by the code.
    resets: and so that the far side sees more than an end of file.
    lost: connection_lost has been called. ended: the code has ended its direction.
    """

    def __init__(self, loop: MemoryLoop, protocol: asyncio.BaseProtocol) -> None:
        super().__init__()
        self._loop: MemoryLoop = loop
        self._protocol = cast("asyncio.Protocol", protocol)
        self._inbox: deque[bytes | None] = deque()
        self._buffer = bytearray()
        self._high, self._low = 64 * 1024, 16 * 1024
        self._stalled = False
        self._writing_paused = False
        self._reading = True
        self._pumping = False
        self._closing = False
        self._readiness: tuple[socket.socket, socket.socket] | None = None
        self.arrived = bytearray()
        self.ended = False
        self.aborted = False
        self.resets = False
        self.lost = False

    # ── the code under test ───────────────────────────────────────────────────────────────────

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self.lost:
            raise RuntimeError("a write to a connection that is gone")
        if self.ended:
            raise RuntimeError("a write after write_eof()")
        if self.aborted or (self._closing and not self._buffer):
            return
        if not self._stalled:
            self.arrived += data
            return
        self._buffer += data
        if len(self._buffer) > self._high and not self._writing_paused:
            self._writing_paused = True
            self._protocol.pause_writing()

    def write_eof(self) -> None:
        if self.lost:
            raise RuntimeError("an end of file to a connection that is gone")
        self.ended = True

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            if not self._buffer:
                self._loop.call_soon(self._lose, None)

    def abort(self) -> None:
        self._closing = self.aborted = True
        self._buffer.clear()
        self._loop.call_soon(self._lose, None)

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        if not self._reading and not self._closing:
            self._reading = True
            self._pump_soon()

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = cast("asyncio.Protocol", protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def get_write_buffer_size(self) -> int:
        return len(self._buffer)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = 64 * 1024 if high is None else high
        self._low = self._high // 4 if low is None else low

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self if name == "socket" else default

    def fileno(self) -> int:
        """As a socket's: poll() says whether something has come that was not read."""
        self._close_readiness()
        self._readiness = socket.socketpair()
        if self._inbox:
            self._readiness[1].send(b"x")
        return self._readiness[0].fileno()

    def setsockopt(self, level: int, option: int, value: bytes) -> None:
        if (level, option) == (socket.SOL_SOCKET, socket.SO_LINGER):
            self.resets = value == _RESET_ON_CLOSE

    # ── the far side ──────────────────────────────────────────────────────────────────────────

    def deliver(self, item: bytes | None) -> None:
        """Bytes, or END_OF_FILE, reach this host; they are read when reading is not paused."""
        self._inbox.append(item)
        self._pump_soon()

    def deliver_unseen(self, item: bytes | None) -> None:
        """As `deliver`, but the loop has not looked yet."""
        self._inbox.append(item)

    def reset(self) -> None:
        """The far side cuts the connection."""
        self._inbox.clear()
        self._buffer.clear()
        self._closing = True
        self._loop.call_soon(self._lose, ConnectionResetError("reset by the test"))

    def stall(self) -> None:
        """The far side reads no more."""
        self._stalled = True

    def flow(self) -> None:
        """The far side reads again, all that was held."""
        self._stalled = False
        self.arrived += self._buffer
        self._buffer.clear()
        if self._writing_paused:
            self._writing_paused = False
            self._loop.call_soon(self._protocol.resume_writing)
        if self._closing:
            self._loop.call_soon(self._lose, None)

    def _pump_soon(self) -> None:
        if not self._pumping:
            self._pumping = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """One read a pass, as long as the code reads."""
        self._pumping = False
        if not self._inbox or not self._reading or self._closing:
            return
        item = self._inbox[0]
        if item is END_OF_FILE:
            # It stays: who reads on after the end meets it again.
            self._reading = False
            if not self._protocol.eof_received():
                self.close()
            return
        self._inbox.popleft()
        if self._inbox:
            self._pump_soon()
        self._protocol.data_received(item)

    def _lose(self, error: Exception | None) -> None:
        if not self.lost:
            self.lost = True
            self._close_readiness()
            self._protocol.connection_lost(error)
            self._close_readiness()

    def _close_readiness(self) -> None:
        if self._readiness is not None:
            for end in self._readiness:
                end.close()
            self._readiness = None
