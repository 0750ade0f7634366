"""What comes before a client's first request: the PROXY header, then TLS.

Rules: the header is taken from the socket byte for byte, by looking before reading, so that
what follows it is left to TLS or HTTP. A connection being prepared counts among the worker's
connections: it is bounded, drained and ended as the others are.
"""

import asyncio
import socket

from proxy.downstream.proxy_protocol import Header, HeaderError, parse


class Preparing:
    """A connection whose client has not got to HTTP yet; `task` ends in time by itself."""

    __slots__ = ("task",)

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None

    def sweep(self, now: float) -> None:
        """Nothing: its time-outs are the loop's."""

    def drain(self, idle_since: float) -> None:
        """Nothing: its request may be on the way."""

    def close(self) -> None:
        """Give it up."""
        if self.task is not None:
            self.task.cancel()

    def device(self) -> str:
        """None yet."""
        return ""

    def lasting(self) -> None:
        """Nothing is under way yet."""

    def end(self) -> None:
        """Nothing: it goes where the table leads once it has got so far."""


async def read_header(accepted: socket.socket, limit_s: float, limit_bytes: int) -> Header:
    """The PROXY header. HeaderError, TimeoutError, OSError."""
    read = b""
    async with asyncio.timeout(limit_s):
        while True:
            await _readable(accepted)
            try:
                seen = accepted.recv(limit_bytes - len(read), socket.MSG_PEEK)
            except (BlockingIOError, InterruptedError):
                continue
            if not seen:
                raise HeaderError("the connection ended")
            header = parse(read + seen, limit_bytes)
            # Without an end in sight all that was seen is the header's: not looked at again.
            accepted.recv(len(seen) if header is None else header.size - len(read))
            if header is not None:
                return header
            read += seen


async def _readable(accepted: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()

    def tell() -> None:
        if not readable.done():
            readable.set_result(None)

    loop.add_reader(accepted.fileno(), tell)
    try:
        await readable
    finally:
        loop.remove_reader(accepted.fileno())
