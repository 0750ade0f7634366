"""Both slots' endpoint: `python -m bench.switch.endpoint BLUE_PORT GREEN_PORT`.

It answers each request with its slot, the tenant and the path that arrived, so that the load knows
who answered whom. WebSockets are accepted, told the slot in the 101, and echoed; a close frame is
answered with one.
"""

import asyncio
import signal
import sys
from collections.abc import Sequence
from functools import partial
from typing import cast

import uvloop

from bench.switch.frames import CLOSE, TEXT, frame, take
from bench.websockets import accept_of
from proxy.routing.model import Slot

SLOT_FIELD = "X-Slot"
BACKLOG = 1024


class Serving(asyncio.Protocol):
    """One connection to one slot. It takes no bodies."""

    def __init__(self, slot: Slot) -> None:
        self._slot = slot
        self._buffer = bytearray()
        self._upgraded = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Where the answers go."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Heads, or frames."""
        self._buffer += data
        while not self._upgraded and (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._buffer[:end])
            del self._buffer[: end + 4]
            self._answer(head)
        if self._upgraded:
            self._echo()

    def _answer(self, head: bytes) -> None:
        line, *lines = head.split(b"\r\n")
        fields = {
            name.lower(): value.strip()
            for name, _, value in (each.partition(b":") for each in lines)
        }
        key = fields.get(b"sec-websocket-key")
        if key is not None:
            self._upgraded = True
            self._transport.write(_switching(self._slot, key))
            return
        tenant = fields.get(b"x-tenant-id", b"-")
        body = b" ".join((str(self._slot).encode(), tenant, line.split(b" ")[1]))
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        )

    def _echo(self) -> None:
        for opcode, payload in take(self._buffer):
            if opcode == CLOSE:
                self._transport.write(frame(CLOSE, payload[:2], masked=False))
                self._transport.close()
                return
            if opcode == TEXT:
                self._transport.write(frame(TEXT, payload, masked=False))


def _switching(slot: Slot, key: bytes) -> bytes:
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Accept: %s\r\n%s: %s\r\n\r\n"
    ) % (accept_of(key), SLOT_FIELD.encode(), str(slot).encode())


async def _serve(ports: Sequence[int]) -> None:
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, told.set)
    for slot, port in zip(Slot, ports, strict=True):
        await loop.create_server(partial(Serving, slot), "127.0.0.1", port, backlog=BACKLOG)
    await told.wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve([int(port) for port in sys.argv[1:]]))
