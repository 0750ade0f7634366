"""A connection to Redis: a command, its reply, the next command (RESP2).

The protocol: https://redis.io/docs/latest/develop/reference/protocol-spec/

Rules: one command at a time, whole with its reply within its limit. After any error but a
RefusedError the connection is of no use: a reply may still be on its way. Why not redis-py, see
docs/decisions/0022.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from proxy.store.address import Address

Word = bytes | str | int
Reply = bytes | int | list["Reply"] | None

_MAX_BULK: Final = 512 * 1024 * 1024  # proto-max-bulk-len of a server that nobody has set up
_MAX_ITEMS: Final = 1 << 20
_MAX_DEPTH: Final = 8


class StoreError(Exception):
    """The server can't be used: it is gone, or what it says is not RESP."""


class RefusedError(StoreError):
    """It has answered with an error. code: the first word of it, as in NOAUTH."""

    def __init__(self, said: bytes) -> None:
        super().__init__(said.decode("utf-8", "replace"))
        self.code = said.partition(b" ")[0].decode("ascii", "replace")


class Connection:
    """See the module. timeout_s: how long a reply may take."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout_s: float
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._timeout_s = timeout_s

    async def call(self, *words: Word, blocks_s: float = 0.0) -> Reply:
        """The reply to a command. StoreError, OSError, TimeoutError.

        blocks_s: how long the command has the server wait, beside the time for its reply.
        """
        try:
            async with asyncio.timeout(self._timeout_s + blocks_s):
                self._writer.write(encode(words))
                await self._writer.drain()
                return await self._reply(0)
        except asyncio.IncompleteReadError:
            raise StoreError("the connection was closed") from None
        except (asyncio.LimitOverrunError, ValueError):
            raise StoreError("the reply is not RESP") from None

    def close(self) -> None:
        """End it, whatever is under way."""
        self._writer.transport.abort()

    async def _reply(self, depth: int) -> Reply:
        line = await self._reader.readuntil(b"\r\n")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            raise RefusedError(rest)
        number = int(rest)
        if kind == b":":
            return number
        if kind == b"$" and number <= _MAX_BULK:
            return None if number < 0 else await self._bulk(number)
        if kind == b"*" and number <= _MAX_ITEMS and depth < _MAX_DEPTH:
            return None if number < 0 else [await self._reply(depth + 1) for _ in range(number)]
        raise ValueError("no reply of RESP2 begins so")

    async def _bulk(self, length: int) -> bytes:
        text = await self._reader.readexactly(length)
        if await self._reader.readexactly(2) != b"\r\n":
            raise ValueError("a string that is longer than it says")
        return text


def encode(words: tuple[Word, ...]) -> bytes:
    """A command as an array of bulk strings."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        text = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(text), text))
    return b"".join(parts)


@asynccontextmanager
async def connected(address: Address, timeout_s: float) -> AsyncIterator[Connection]:
    """A connection, logged in, until the block ends. StoreError, OSError, TimeoutError.

    timeout_s: for connecting (with TLS), and for each reply.
    """
    async with asyncio.timeout(timeout_s):
        if address.path:
            reader, writer = await asyncio.open_unix_connection(address.path)
        else:
            reader, writer = await asyncio.open_connection(
                address.host, address.port, ssl=address.context
            )
    connection = Connection(reader, writer, timeout_s)
    try:
        if address.login:
            await connection.call("AUTH", *address.login)
        if address.database:
            await connection.call("SELECT", address.database)
        yield connection
    finally:
        connection.close()
