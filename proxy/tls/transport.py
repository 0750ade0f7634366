"""TLS connections: made by uvloop, paused at their sockets.

uvloop's TLS transport has a flaw that a proxy meets: paused, it reads on, up to 256 KiB, and
when the far side ends meanwhile it closes and drops what it has read (MagicStack/uvloop, pull
request 661). A slow client of an endpoint that ends at once would lose the end of its answer.
So reading is paused below TLS: what was read is handed on at once, and the end is seen in its
turn. That needs the socket's own transport, which uvloop hands to nobody but its SSLProtocol.

Rule: OpenSSL's memory of a connection, 30 KiB and more, goes when the connection does. Whoever
holds a `TlsTransport` longer, or in a cycle that waits for the collector, holds nothing of it.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any, cast

from uvloop.loop import SSLProtocol  # type: ignore[attr-defined] # not in its stubs

Ready = Callable[["TlsTransport"], asyncio.Protocol | None]
"""Given the transport of a connection that has shaken hands: its protocol; None refuses it."""


class _Gone(asyncio.Transport):
    """What is left of a connection after its end."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Nobody reads it."""

    def is_closing(self) -> bool:
        """It has."""
        return True

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Nothing more will come."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is buffered."""

    def get_write_buffer_size(self) -> int:
        """Nothing."""
        return 0

    def pause_reading(self) -> None:
        """Nothing is read."""

    def resume_reading(self) -> None:
        """Nothing is read."""

    def is_reading(self) -> bool:
        """It doesn't."""
        return False

    def close(self) -> None:
        """It is closed."""

    def abort(self) -> None:
        """It is closed."""


_GONE = _Gone()


class TlsTransport(asyncio.Transport):
    """A TLS connection. It ends both directions at once: there is no `write_eof`."""

    def __init__(self, tls: asyncio.Transport, beneath: asyncio.Transport) -> None:
        super().__init__()
        self._stand_for(tls, beneath)

    def let_go(self) -> None:
        """The connection is gone."""
        self._stand_for(_GONE, _GONE)

    def _stand_for(self, tls: asyncio.Transport, beneath: asyncio.Transport) -> None:
        self._tls = tls
        self._beneath = beneath
        # Called for each piece of a body: not by way of a method of ours.
        self.write = tls.write  # type: ignore[method-assign]
        self.is_closing = tls.is_closing  # type: ignore[method-assign]
        self.get_extra_info = tls.get_extra_info  # type: ignore[method-assign]
        self.set_protocol = tls.set_protocol  # type: ignore[method-assign]
        self.get_protocol = tls.get_protocol  # type: ignore[method-assign]
        self.set_write_buffer_limits = tls.set_write_buffer_limits  # type: ignore[method-assign]
        self.abort = tls.abort  # type: ignore[method-assign]

    def pause_reading(self) -> None:
        """Read no more; what was read has been handed on."""
        self._beneath.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        self._beneath.resume_reading()

    def is_reading(self) -> bool:
        """Whether it does."""
        return self._beneath.is_reading()

    def get_write_buffer_size(self) -> int:
        """What has not been sent, encrypted or not, in bytes."""
        return self._tls.get_write_buffer_size() + self._beneath.get_write_buffer_size()

    def can_write_eof(self) -> bool:
        """It can't."""
        return False

    def close(self) -> None:
        """Send what is owed and close_notify; then read, and drop it, until the far side ends."""
        self._tls.close()
        self._beneath.resume_reading()


class _Handshake(asyncio.Protocol):
    """Stands where the connection's protocol will, until the handshake is done."""

    def __init__(self, ready: Ready) -> None:
        self._ready: Ready | None = ready
        self.beneath: asyncio.Transport | None = None
        self.made: TlsTransport | None = None
        self.done = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The handshake is done; nothing has been read yet of what comes after it."""
        tls = cast("asyncio.Transport", transport)
        ready, self._ready = self._ready, None  # it may know the protocol, and that this
        if self.beneath is None or ready is None:
            raise RuntimeError("TLS without a connection beneath")
        made = TlsTransport(tls, self.beneath)
        protocol = ready(made)
        if protocol is None:
            tls.abort()
            return
        self.made, self.done = made, True
        tls.set_protocol(protocol)
        protocol.connection_made(made)


class _Tls(SSLProtocol):  # type: ignore[misc] # see the import
    """uvloop's, and who is beneath it."""

    __slots__ = ("_handshake",)

    def __init__(self, handshake: _Handshake, **given: Any) -> None:
        super().__init__(app_protocol=handshake, **given)
        self._handshake = handshake

    def connection_made(self, transport: asyncio.Transport) -> None:
        """The connection beneath is there: shake hands."""
        self._handshake.beneath = transport
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        """The connection beneath is gone."""
        super().connection_lost(error)
        if self._handshake.made is not None:
            # The protocol hears of it a step later, and finds a transport that is closed.
            self._handshake.made.let_go()
        self._handshake.beneath = self._handshake.made = None


async def accept(
    accepted: socket.socket, context: ssl.SSLContext, ready: Ready, *, limit_s: float, end_s: float
) -> None:
    """Shake hands with a client. OSError, as TLS's own errors are, when it can't be done.

    limit_s: how long it may take. end_s: how long a connection may take to end, seconds.
    """
    loop = asyncio.get_running_loop()

    async def connect(protocol: asyncio.Protocol) -> None:
        await loop.connect_accepted_socket(lambda: protocol, accepted)

    await _shake_hands(
        connect,
        context,
        ready,
        server_side=True,
        ssl_handshake_timeout=limit_s,
        ssl_shutdown_timeout=end_s,
    )


async def connect(
    address: tuple[str, int], context: ssl.SSLContext, server_name: str, ready: Ready
) -> None:
    """Connect to a server and shake hands. OSError, ValueError; whoever asks limits the time."""
    loop = asyncio.get_running_loop()

    async def connect(protocol: asyncio.Protocol) -> None:
        await loop.create_connection(lambda: protocol, *address)

    await _shake_hands(connect, context, ready, server_hostname=server_name)


async def _shake_hands(
    connect: Callable[[asyncio.Protocol], Coroutine[Any, Any, None]],
    context: ssl.SSLContext,
    ready: Ready,
    **given: Any,
) -> None:
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()
    handshake = _Handshake(ready)
    protocol = _Tls(handshake, loop=loop, sslcontext=context, waiter=waiter, **given)
    try:
        await connect(protocol)
        await waiter
        if not handshake.done:
            raise ConnectionResetError("the connection ended within its handshake")  # noqa: TRY301
    except BaseException:
        if handshake.beneath is not None:
            handshake.beneath.abort()
        if waiter.done() and not waiter.cancelled():
            waiter.exception()  # taken note of: what is raised here comes first
        raise
    finally:
        # An error knows this frame, and would be known by it.
        del waiter, handshake, protocol
