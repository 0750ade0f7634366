"""A faulty way from one client to one server: cut, held in either direction, slow, or led elsewhere.

Rules: what is held is neither lost nor answered; it arrives when the link is mended, if its
connection is still there, as after a real partition. A client of a held link can connect: its
kernel would only try for longer.
"""

import asyncio
from dataclasses import dataclass, field

UP, DOWN = "up", "down"
"""From the client to the server, and back."""
_PIECE = 65_536


@dataclass
class Link:
    """target: the server's port. Make it with `open`. held: the directions in which nothing passes."""

    target: int
    port: int = 0
    is_cut: bool = False
    delay_s: float = 0.0
    _held: set[str] = field(default_factory=set)
    _passes: dict[str, asyncio.Event] = field(default_factory=dict)
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _server: asyncio.Server | None = None

    async def open(self, host: str = "127.0.0.1") -> None:
        """Listen on a port of its own."""
        self._passes = {way: asyncio.Event() for way in (UP, DOWN)}
        self.mend()
        self._server = await asyncio.start_server(self._join, host, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        self.mend()
        self.drop()

    def cut(self) -> None:
        """Connections break, and new ones too."""
        self.is_cut = True
        self.drop()

    def hold(self, *ways: str) -> None:
        """Nothing passes this way, and nobody is told."""
        for way in ways:
            self._passes[way].clear()

    def slow(self, delay_s: float) -> None:
        """Each piece is late by so much, either way."""
        self.delay_s = delay_s

    def mend(self) -> None:
        """All passes again, also what was held."""
        self.is_cut, self.delay_s = False, 0.0
        for each in self._passes.values():
            each.set()

    def lead(self, target: int) -> None:
        """To another server from now on; connections break."""
        self.target = target
        self.drop()

    def drop(self) -> None:
        """Break all connections."""
        for writer in list(self._open):
            writer.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            if not self.is_cut:
                await self._relay(reader, writer)
        except* OSError:
            pass  # one side is gone
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, on = await asyncio.open_connection("127.0.0.1", self.target)
        self._open.add(on)
        try:
            async with asyncio.TaskGroup() as ways:
                ways.create_task(self._copy(reader, on, UP), name="up")
                ways.create_task(self._copy(back, writer, DOWN), name="down")
        finally:
            self._open.discard(on)
            on.transport.abort()

    async def _copy(self, source: asyncio.StreamReader, to: asyncio.StreamWriter, way: str) -> None:
        while data := await source.read(_PIECE):
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            await self._passes[way].wait()
            if to.transport.is_closing():
                return
            to.write(data)
            await to.drain()
        await self._passes[way].wait()
        if not to.transport.is_closing():
            to.write_eof()
