"""A client's body on its way."""

import asyncio
from collections.abc import Iterable

from tests.support.clients import Connection


class Sending:
    """Sends a body while its answer is awaited: an early one ends the sending."""

    def __init__(
        self,
        connection: Connection,
        pieces: Iterable[bytes],
        *,
        chunked: bool,
        pause_s: float = 0.0,
    ) -> None:
        self._connection, self._pieces = connection, pieces
        self._chunked, self._pause_s = chunked, pause_s

    async def __aenter__(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._send(), name="body")

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _send(self) -> None:
        writer = self._connection.writer
        for piece in self._pieces:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if self._chunked else piece)
            await writer.drain()
            await asyncio.sleep(self._pause_s)
        if self._chunked:
            writer.write(b"0\r\n\r\n")
