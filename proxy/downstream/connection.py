"""A client's connection: bytes in, one exchange at a time, answers out in order.

Rules:
1. Requests that arrive while one is under way (pipelining, RFC 9112 §9.3.2) wait their turn,
   unparsed in `_stash` if it can be known where they begin; what follows a chunked body in one
   read is parsed already and waits in `_waiting`. No more than one read of either is held.
2. No request begins while the client does not take what was written to it.
3. A connection is closed by sending what is owed, then an end of file, then reading on for a
   while: closing at once would reset the connection under an answer that the client has not
   read yet (RFC 9112 §9.6).
"""

import asyncio
import socket
import struct
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol, cast

from proxy import telemetry
from proxy.downstream.flow import Gate
from proxy.http1 import reply as replies
from proxy.http1.head import RequestHead
from proxy.http1.parser import ParseError, RequestParser, TooManyFieldsError
from proxy.http1.reply import LocalReply, render
from proxy.services import Services
from proxy.tunnel import Tunnel, Upgraded

_CHUNKED_SLICE = 16 * 1024
_HEAD_END = b"\r\n\r\n"
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_PIPELINED = 1
_BACKPRESSURE = 2
_NO_CONNECTION = 4


class Exchange(Protocol):
    """What carries a request out; see `proxy.forward`."""

    @property
    def wants_switch(self) -> bool: ...
    def begin(self, head: RequestHead) -> None: ...
    def request_body(self, data: bytes) -> None: ...
    def request_end(self) -> None: ...
    def request_broken(self, refusal: LocalReply) -> None: ...
    def expire(self) -> None: ...
    def client_lost(self) -> None: ...
    def client_writable(self, *, writable: bool) -> None: ...
    def tunnel_closed(self) -> None: ...


class Waiting:
    """A pipelined request, as far as it has been read."""

    __slots__ = ("body", "complete", "head")

    def __init__(self, head: RequestHead) -> None:
        self.head = head
        self.body: list[bytes] = []
        self.complete = False


class ClientConnection(asyncio.Protocol):
    """See the module.

    deadline: monotonic seconds by which something must have happened; idle_since: when the last
    exchange ended. peer: the client's
    address. peer_lines: the X-Forwarded fields that tell it. trusted: it lies in a trusted
    network.
    """

    __slots__ = (
        "_body_left",
        "_busy",
        "_closing",
        "_ended",
        "_exchange",
        "_gate",
        "_head_bytes",
        "_head_tail",
        "_in_body",
        "_lost",
        "_on_lost",
        "_parser",
        "_scheduled",
        "_services",
        "_stash",
        "_tunnel",
        "_waiting",
        "_writable",
        "deadline",
        "idle_since",
        "peer",
        "peer_lines",
        "transport",
        "trusted",
    )

    def __init__(
        self,
        services: Services,
        exchange: "Callable[[Services, ClientConnection], Exchange]",
        peer: "Peer",
        on_lost: "Callable[[ClientConnection], None]",
    ) -> None:
        self._services = services
        self.peer, self.peer_lines, self.trusted = peer.address, peer.lines, peer.trusted
        self._exchange = exchange(services, self)
        self._on_lost = on_lost
        self._parser = RequestParser(services.kinds, self)
        self._busy = False
        self._in_body = False
        self._closing = False
        self._ended = False
        self._lost = False
        self._scheduled = False
        self._writable = True
        self._head_bytes = 0
        self._head_tail = b""
        self._body_left = 0
        self._stash = b""
        self._waiting: deque[Waiting] = deque()
        self._tunnel: Tunnel | None = None
        self._gate: Gate = cast("Gate", None)
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.idle_since = services.now
        self.deadline = services.now + services.settings.timeouts.head_s

    # ── asyncio ───────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._gate = Gate(self.transport)
        self.transport.set_write_buffer_limits(self._services.settings.limits.write_buffer_bytes)

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        if self._stash:
            self._stash += data
        else:
            self._feed(data)

    def eof_received(self) -> bool:
        """A client may end its side after its last request and still wait for the answer."""
        if self._closing or not self._busy or self._in_body:
            return False
        self._ended = True
        return True

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        self._closing = self._lost = True
        self._waiting.clear()
        self._exchange.client_lost()
        self._on_lost(self)

    def pause_writing(self) -> None:
        self._writable = False
        self._exchange.client_writable(writable=False)

    def resume_writing(self) -> None:
        self._writable = True
        self._exchange.client_writable(writable=True)
        if self._closing and not self._busy:
            self._linger_from_now()
        elif not self._busy:
            self._schedule_next()

    # ── reading ───────────────────────────────────────────────────────────────────────────────

    @property
    def _must_wait(self) -> bool:
        """Whether the next bytes belong to a request whose turn has not come."""
        if self._busy:
            return bool(self._waiting) or not self._in_body
        return self._scheduled or not self._writable

    def _feed(self, data: bytes) -> None:
        """Parse, but nothing of a request whose turn has not come."""
        while data and not self._closing:
            if self._must_wait:
                self._stash = data
                self._gate.close(_PIPELINED)
                return
            size = self._part_size(data)
            if not size:
                return
            part = data if size >= len(data) else data[:size]
            try:
                taken = self._parser.feed(part)
            except ParseError as error:
                self._unreadable(error)
                return
            if self._parser.overhead > self._services.settings.limits.chunk_overhead_bytes:
                self._refuse(replies.CHUNK_OVERHEAD)
                return
            if taken >= 0:
                if self._exchange.wants_switch:
                    self._stash = data[taken:]
                    self._gate.close(_PIPELINED)
                    return
                size = taken
            data = data[size:]

    def _part_size(self, data: bytes) -> int:
        """How much may be parsed at once: a head, or what is left of a body; 0: no more."""
        if self._in_body:
            return self._body_left if self._body_left > 0 else _CHUNKED_SLICE
        tail = self._head_tail
        end = (tail + data).find(_HEAD_END) if tail else data.find(_HEAD_END)
        size = len(data) if end < 0 else end + len(_HEAD_END) - len(tail)
        if not self._head_bytes:
            self.deadline = self._services.now + self._services.settings.timeouts.head_s
        self._head_bytes += size
        if self._head_bytes > self._services.settings.limits.head_bytes:
            self._refuse(replies.HEAD_TOO_LARGE)
            return 0
        if end < 0:
            self._head_tail = (tail + data)[-3:]
        return size

    def _unreadable(self, error: ParseError) -> None:
        if self._closing:
            return  # refused already: what follows was not going to be read
        too_many = isinstance(error, TooManyFieldsError)
        self._refuse(replies.HEAD_TOO_LARGE if too_many else replies.BAD_REQUEST)

    def _refuse(self, refusal: LocalReply) -> None:
        """Answer what can't be read, if no other answer is owed before it; read no more."""
        if self._waiting or (self._busy and not self._in_body):
            self._closing = True
        elif self._busy:
            self._closing = True
            self._exchange.request_broken(refusal)
        else:
            self.write(render(refusal, self._services.next_request_id(), keep_alive=False))
            self._services.block.finished(telemetry.LOCAL, refusal.status, 0)
            self._linger()

    # ── the parser ────────────────────────────────────────────────────────────────────────────

    def request_head(self, head: RequestHead) -> None:
        self._head_bytes = 0
        self._head_tail = b""
        if self._closing:
            return
        self._in_body = True
        self._body_left = head.content_length
        if self._busy:
            self._waiting.append(Waiting(head))
        else:
            self._begin(head)

    def request_body(self, data: bytes) -> None:
        self._body_left -= len(data)
        if self._closing:
            return
        if self._waiting:
            self._waiting[-1].body.append(data)
        else:
            self._exchange.request_body(data)

    def request_end(self) -> None:
        self._in_body = False
        if self._closing:
            return
        if self._waiting:
            self._waiting[-1].complete = True
        else:
            self._exchange.request_end()

    # ── the exchange ──────────────────────────────────────────────────────────────────────────

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    def pause(self) -> None:
        self._gate.close(_BACKPRESSURE)

    def resume(self) -> None:
        self._gate.open(_BACKPRESSURE)

    def hold(self) -> None:
        self._gate.close(_NO_CONNECTION)

    def release(self) -> None:
        self._gate.open(_NO_CONNECTION)

    def exchange_done(self, *, keep_alive: bool) -> None:
        services = self._services
        self._busy = False
        self._gate.open(_BACKPRESSURE)
        # Requests that were read before a refusal are still answered.
        if not keep_alive or (self._closing and not self._waiting):
            self._linger()
            return
        timeouts = services.settings.timeouts
        self.idle_since = services.now
        self.deadline = services.now + (
            timeouts.head_s if self._head_bytes else timeouts.keep_alive_s
        )
        if self._waiting or self._stash:
            self._schedule_next()
        elif self._ended:
            self._linger()
        else:
            self._gate.open(_PIPELINED)

    @property
    def _nothing_left(self) -> bool:
        """Whether every request that was read has been answered."""
        return not (self._busy or self._waiting or self._stash)

    def _begin(self, head: RequestHead) -> None:
        self._busy = True
        self._exchange.begin(head)

    def _schedule_next(self) -> None:
        """Go on soon. Not now: an exchange that ends at once would come back here, deeper."""
        if not self._scheduled and (self._waiting or self._stash):
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        """Begin the request that waited longest; then parse on, if its turn has come."""
        self._scheduled = False
        if self._lost or self._busy or not self._writable:
            return
        if self._waiting:
            waiting = self._waiting.popleft()
            self._begin(waiting.head)
            self._hand_on(waiting)
        if self._stash and not self._closing and not self._must_wait:
            data, self._stash = self._stash, b""
            self._gate.open(_PIPELINED)
            self._feed(data)
        if self._ended and self._nothing_left:
            self._linger()

    def _hand_on(self, waiting: Waiting) -> None:
        """What was read of the request already, unless it was answered by its head alone."""
        for data in waiting.body:
            if self._busy:
                self._exchange.request_body(data)
        if waiting.complete and self._busy:
            self._exchange.request_end()

    def abort(self) -> None:
        """Reset the connection: an end of file would make a broken answer look whole.

        (An answer without a length to an HTTP/1.0 client ends with the connection.)
        """
        self._closing = True
        if not self.transport.is_closing():
            with suppress(OSError):
                self.transport.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE
                )
        self.transport.abort()

    def open_tunnel(self, endpoint: Upgraded, group: int, rest: bytes) -> None:
        early, self._stash = self._stash, b""
        self._tunnel = Tunnel(self._services, self.transport, endpoint, group, self._tunnel_closed)
        if rest:
            self.write(rest)
        if early:
            endpoint.transport.write(early)
        self._gate.open(_PIPELINED)

    def _tunnel_closed(self) -> None:
        self._closing = True
        self._exchange.tunnel_closed()
        self._on_lost(self)

    # ── the worker ────────────────────────────────────────────────────────────────────────────

    def sweep(self, now: float) -> None:
        """Act on a deadline that has passed. now: monotonic seconds."""
        tunnel = self._tunnel
        if tunnel is not None:
            tunnel.sweep(now)
        elif now < self.deadline:
            return
        elif self._busy:
            self._exchange.expire()
        elif self._closing:
            self.abort()
        elif self._head_bytes:
            self._refuse(replies.HEAD_TIMEOUT)
        else:
            self.close()

    def drain(self, idle_since: float) -> None:
        """Close the connection if it has been idle since before this time; monotonic seconds.

        One that is busy, or was just used, may have its next request on the way already: that
        is answered with `Connection: close`.
        """
        idle = not self._busy and not self._head_bytes and self._tunnel is None
        if idle and not self._closing and self.idle_since <= idle_since:
            self.close()

    def close(self) -> None:
        """Close after the last byte is sent, a tunnel at both ends; cut what is under way."""
        if self._busy and self._tunnel is None:
            self.abort()
            return
        self._closing = True
        if self._tunnel is not None:
            self._tunnel.close()
        else:
            self.transport.close()

    def _linger(self) -> None:
        self._closing = True
        self._waiting.clear()
        self._stash = b""
        self._linger_from_now()
        self._gate.open(_PIPELINED | _BACKPRESSURE | _NO_CONNECTION)
        if self._ended:
            self.transport.close()
        elif not self.transport.is_closing():
            self.transport.write_eof()

    def _linger_from_now(self) -> None:
        """A slow client gets its time to take the answer; then a while to end the connection."""
        timeouts = self._services.settings.timeouts
        unsent = self.transport.get_write_buffer_size()
        limit_s = timeouts.write_idle_s if unsent else timeouts.linger_s
        self.deadline = self._services.now + limit_s


class Peer:
    """Who connected. address: as text. lines: the X-Forwarded fields that tell it."""

    __slots__ = ("address", "lines", "trusted")

    def __init__(self, address: str, *, trusted: bool) -> None:
        self.address = address.encode()
        self.trusted = trusted
        self.lines = b"X-Forwarded-For: %b\r\nX-Forwarded-Proto: http\r\n" % self.address
