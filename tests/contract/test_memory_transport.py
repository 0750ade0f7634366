"""The transport of the playbooks against uvloop's: the same protocol must hear the same."""

import asyncio
import socket
from collections.abc import Callable
from typing import cast

import pytest
import uvloop

from tests.support.memory_transport import Dialled, MemoryLoop, MemoryTransport


class Diary(asyncio.Protocol):
    """Notes all that it hears. keep_open: what eof_received returns."""

    def __init__(self, *, keep_open: bool = False) -> None:
        self.heard: list[str] = []
        self._keep_open = keep_open
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.heard.append("made")

    def data_received(self, data: bytes) -> None:
        self.heard.append(f"data {data.decode()}")

    def eof_received(self) -> bool:
        self.heard.append("eof")
        return self._keep_open

    def connection_lost(self, error: Exception | None) -> None:
        self.heard.append("lost")

    def pause_writing(self) -> None:
        self.heard.append("pause")

    def resume_writing(self) -> None:
        self.heard.append("resume")


class Far:
    """The far side: what a script may do."""

    def send(self, data: bytes) -> None: ...
    def end(self) -> None: ...
    def read_all(self) -> None: ...


class MemoryFar(Far):
    def __init__(self, transport: MemoryTransport) -> None:
        self._transport = transport
        transport.stall()

    def send(self, data: bytes) -> None:
        self._transport.deliver(data)

    def end(self) -> None:
        self._transport.deliver(None)

    def read_all(self) -> None:
        self._transport.flow()
        self._transport.stall()


class SocketFar(Far):
    def __init__(self, far: socket.socket) -> None:
        self._far = far

    def send(self, data: bytes) -> None:
        self._far.sendall(data)

    def end(self) -> None:
        self._far.shutdown(socket.SHUT_WR)

    def read_all(self) -> None:
        while True:
            try:
                if not self._far.recv(1 << 20):
                    return
            except BlockingIOError:
                return


Step = Callable[[Diary, Far], object]


def in_memory(diary: Diary, steps: list[Step]) -> list[str]:
    loop = MemoryLoop(lambda _host, _port: Dialled(lambda _transport: None))
    transport = MemoryTransport(loop, diary)
    far = MemoryFar(transport)
    loop.call_soon(diary.connection_made, transport)
    loop.settle()
    for step in steps:
        loop.call_soon(step, diary, far)
        loop.settle()
    transport.abort()
    loop.settle()
    loop.discard()
    return diary.heard


async def passes() -> None:
    """A socket pair's far side is readable at once: the loop only has to look."""
    for _ in range(10):
        await asyncio.sleep(0)


def on_uvloop(diary: Diary, steps: list[Step]) -> list[str]:
    async def play() -> None:
        near, there = socket.socketpair()
        near.setblocking(False)
        there.setblocking(False)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(lambda: diary, sock=near)
        for step in steps:
            step(diary, SocketFar(there))
            await passes()
        transport.abort()
        await passes()
        there.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(play())
    return diary.heard


def raises(action: Callable[[], object]) -> str:
    try:
        action()
    except RuntimeError:
        return "raised"
    return "fine"


def abort_and_note(near: Diary, _: Far) -> None:
    near.transport.abort()
    near.heard.append("aborted")


def close_and_write(near: Diary, _: Far) -> None:
    near.transport.close()
    near.heard.append(raises(lambda: near.transport.write(b"x")))


def write_and_note(near: Diary, _: Far) -> None:
    near.transport.write(BIG)
    near.heard.append("written")


BIG = b"x" * 4_000_000
SCRIPTS: dict[str, list[Step]] = {
    "data": [lambda _, far: far.send(b"a"), lambda _, far: far.send(b"b")],
    "end": [lambda _, far: far.send(b"a"), lambda _, far: far.end()],
    "paused": [
        lambda near, _: near.transport.pause_reading(),
        lambda _, far: far.send(b"a"),
        lambda near, _: near.heard.append("now"),
        lambda near, _: near.transport.resume_reading(),
    ],
    "paused twice": [
        lambda near, _: near.transport.pause_reading(),
        lambda near, _: near.transport.pause_reading(),
        lambda _, far: far.send(b"a"),
        lambda near, _: near.transport.resume_reading(),
        lambda near, _: near.transport.resume_reading(),
    ],
    "close": [
        lambda near, _: near.transport.close(),
        lambda near, _: near.heard.append(str(near.transport.is_closing())),
    ],
    "abort": [lambda near, _: near.transport.abort(), lambda near, _: near.transport.abort()],
    "lost comes later": [abort_and_note],
    "write after close": [
        lambda near, _: near.transport.close(),
        lambda near, _: near.heard.append(raises(lambda: near.transport.write(b"x"))),
    ],
    "write while closing": [close_and_write],
    "write after the end": [
        lambda near, _: near.transport.write_eof(),
        lambda near, _: near.heard.append(raises(lambda: near.transport.write(b"x"))),
    ],
    "pause after close": [
        lambda near, _: near.transport.close(),
        lambda near, _: near.heard.append(raises(near.transport.pause_reading)),
        lambda near, _: near.heard.append(raises(near.transport.resume_reading)),
    ],
    "pause comes from within write": [write_and_note],
}


@pytest.mark.parametrize("keep_open", [False, True])
@pytest.mark.parametrize("name", SCRIPTS)
def test_a_protocol_hears_the_same_from_both(name: str, *, keep_open: bool) -> None:
    steps = SCRIPTS[name]
    assert in_memory(Diary(keep_open=keep_open), steps) == on_uvloop(
        Diary(keep_open=keep_open), steps
    )
