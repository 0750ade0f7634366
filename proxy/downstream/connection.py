"""A client's connection: bytes in, one exchange at a time, answers out in order.

Rules:
1. Nothing is read of a request while one is under way (pipelining, RFC 9112 §9.3.2): its bytes
   wait in `_unread`, no more than one read of them.
2. No request begins while the client does not take what was written to it.
3. A connection is closed by sending what is owed, then an end of file, then reading on for a
   while: closing at once would reset the connection under an answer that the client has not
   read yet (RFC 9112 §9.6). Over TLS the transport's `close` is just that: what is owed, then
   close_notify, then what still comes is read and dropped until the client ends too.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Final, cast

from proxy.downstream.flow import Gate
from proxy.downstream.peer import Peer
from proxy.exchange.drains import Lasting
from proxy.exchange.services import Services
from proxy.exchange.tunnel import Tunnel
from proxy.http1 import reply as replies
from proxy.http1.chunks import ChunkedBody
from proxy.http1.fields import Malformed
from proxy.http1.parser import check_first, check_part
from proxy.http1.reply import LocalReply, render
from proxy.observability.telemetry import LOCAL, Group
from proxy.parties import Client, Exchange, Upgraded
from proxy.routing.lasting import EVENTS, REQUEST, TUNNEL, WEBSOCKET
from proxy.tls.session import Secure

# What the next bytes are.
_HEAD: Final = 0  # a request's head, or the rest of it
_BODY: Final = 1  # the body of the request under way
_TURN: Final = 2  # a request that waits its turn, or the protocol that an Upgrade offered
_CLOSING: Final = 3  # nothing that is read
_TUNNEL: Final = 4  # the tunnel's

_HEAD_END: Final = b"\r\n\r\n"
_CR: Final = 0x0D
_GONE: Final = Exchange()  # in the place of one's own, so that nothing waits for the collector
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_LINE_BESIDE_TARGET: Final = 64  # method and version take less

# Why the client is not read.
_PIPELINED: Final = 1
_BACKPRESSURE: Final = 2
_NO_CONNECTION: Final = 4


class ClientConnection(Client):
    """See the module. idle_since: when the last exchange ended; monotonic seconds."""

    __slots__ = (
        "_body_left",
        "_busy",
        "_chunks",
        "_ended",
        "_exchange",
        "_gate",
        "_lost",
        "_on_lost",
        "_scheduled",
        "_searched",
        "_services",
        "_state",
        "_tunnel",
        "_unread",
        "_writable",
        "idle_since",
    )

    def __init__(
        self,
        services: Services,
        exchange: "Callable[[Services, ClientConnection], Exchange]",
        peer: Peer,
        on_lost: "Callable[[ClientConnection], None]",
        secure: Secure | None = None,
    ) -> None:
        super().__init__(peer.address, peer.lines, peer.trusted, secure)
        self._services = services
        self._exchange = exchange(services, self)
        self._on_lost = on_lost
        self._state = _HEAD
        self._busy = False
        self._ended = False
        self._lost = False
        self._scheduled = False
        self._writable = True
        self._unread = b""
        self._searched = 0
        self._body_left = 0
        self._chunks: ChunkedBody | None = None
        self._tunnel: Tunnel | None = None
        self._gate: Gate
        self.idle_since = services.now
        self.deadline = services.now + services.bounds.head_s

    # ── asyncio ───────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.write = self.transport.write
        self._gate = Gate(self.transport)
        self.transport.set_write_buffer_limits(self._services.settings.limits.write_buffer_bytes)

    def data_received(self, data: bytes) -> None:
        if self._unread:
            data = self._unread + data
            self._unread = b""
        if self._state == _HEAD and self._writable:
            data = self._read_head(data)
        if data:
            self._read(data)

    def eof_received(self) -> bool:
        """A client may end its side after its last request and still wait for the answer.

        Not over TLS: neither uvloop nor asyncio keeps a connection open after close_notify.
        """
        if not self._busy or self._state in {_BODY, _CLOSING} or self.secure is not None:
            return False
        if not self._exchange.may_be_answered():
            return False
        self._ended = True
        return True

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        self._state = _CLOSING
        self._lost = True
        self._unread = b""
        self.write = self.transport.write  # TLS has let go of what it was
        self._exchange.client_lost()
        self._exchange = _GONE
        self._on_lost(self)

    def pause_writing(self) -> None:
        self._writable = False
        self._exchange.client_writable(False)

    def resume_writing(self) -> None:
        self._writable = True
        if self._lost:
            return
        self._exchange.client_writable(True)
        if self._busy:
            return
        if self._state == _CLOSING:
            self._linger_from_now()
        else:
            self._schedule_next()

    # ── reading ───────────────────────────────────────────────────────────────────────────────

    def _read(self, data: bytes) -> None:
        """Read on, but nothing of a request whose turn has not come."""
        while data:
            state = self._state
            if state == _HEAD and self._writable:
                data = self._read_head(data)
            elif state == _BODY:
                data = self._read_body(data)
            elif state == _CLOSING:
                return
            else:
                self._unread = data
                self._gate.close(_PIPELINED)
                return

    def _read_head(self, data: bytes) -> bytes:
        """Begin with a request whose head is whole; what follows the head."""
        end = data.find(_HEAD_END, self._searched)
        if end < 0:
            self._keep_part(data)
            return b""
        self._searched = 0
        text, rest = data[:end], data[end + 4 :]
        services = self._services
        if data[0] == _CR:
            # RFC 9112 §2.2: an empty line before a request line is let by.
            if not text:
                return rest
            while text.startswith(b"\r\n"):
                text = text[2:]
        if end > services.bounds.head_bytes:
            self._refuse(replies.HEAD_TOO_LARGE)
            return b""
        try:
            head = services.requests.head(text)
        except Malformed as malformed:
            self._refuse(malformed.reply)
            return b""
        if head.has_body:
            self._state = _BODY
            self._body_left = head.content_length
            if head.chunked:
                self._chunks = ChunkedBody(services.bounds.chunk_overhead_bytes)
        else:
            self._state = _TURN
        self._busy = True
        self._exchange.begin(head)
        return rest

    def _keep_part(self, data: bytes) -> None:
        """Wait for the rest of a head, unless it can't become one any more."""
        bounds = self._services.bounds
        if data == b"\r\n":
            self._searched = 0
            return
        if not self._searched:
            self.deadline = self._services.now + self._services.bounds.head_s
        if len(data) > bounds.head_bytes:
            self._refuse(replies.HEAD_TOO_LARGE)
            return
        try:
            check_part(data, self._searched)
            if data.find(b"\r\n", 2, self._searched) < 0:
                check_first(data.removeprefix(b"\r\n"))
                if len(data) > bounds.request_line_bytes + _LINE_BESIDE_TARGET:
                    self._check_line_end(data, bounds.request_line_bytes + _LINE_BESIDE_TARGET)
        except Malformed as malformed:
            self._refuse(malformed.reply)
            return
        self._searched = max(len(data) - 3, 1)
        self._unread = data

    def _check_line_end(self, data: bytes, limit: int) -> None:
        if data.find(b"\r\n", 2, limit) < 0:
            raise Malformed(replies.LINE_TOO_LONG)

    def _read_body(self, data: bytes) -> bytes:
        """Hand the body on; what follows it."""
        chunks = self._chunks
        if chunks is not None:
            return self._read_chunks(chunks, data)
        left = self._body_left
        piece = data if len(data) <= left else data[:left]
        self._body_left = left - len(piece)
        if self._body_left == 0:
            self._state = _TURN
        self._exchange.request_body(piece)
        if self._state == _TURN:
            self._exchange.request_end()
        return data[len(piece) :]

    def _read_chunks(self, chunks: ChunkedBody, data: bytes) -> bytes:
        try:
            position = chunks.feed(data, 0)
        except Malformed as malformed:
            self._state = _CLOSING
            self._exchange.request_broken(malformed.reply)
            return b""
        if chunks.done:
            self._state = _TURN
            self._chunks = None
        if chunks.pieces:
            self._exchange.request_body(chunks.take())
        if self._state == _TURN:
            self._exchange.request_end()
        return data[position:]

    def _refuse(self, refusal: LocalReply) -> None:
        """Answer what can't be read as a request; read no more."""
        request_id = self._services.next_request_id()
        reply = render(refusal, request_id, keep_alive=False)
        self.write(reply)
        self._services.block.groups[LOCAL].finished(refusal.status, 0)
        log = self._services.observing.log
        if log is not None:
            log.refused(self.peer, request_id, refusal)
        self._linger()

    # ── the exchange ──────────────────────────────────────────────────────────────────────────

    def pause(self) -> None:
        self._gate.close(_BACKPRESSURE)

    def resume(self) -> None:
        self._gate.open(_BACKPRESSURE)

    def hold(self) -> None:
        self._gate.close(_NO_CONNECTION)

    def release(self) -> None:
        self._gate.open(_NO_CONNECTION)

    def exchange_done(self, keep_alive: bool) -> None:
        services = self._services
        self._busy = False
        if self._gate.reasons:
            self._gate.open(_BACKPRESSURE)
        if not keep_alive or self._state == _CLOSING:
            self._linger()
            return
        self._state = _HEAD
        self.idle_since = services.now
        self.deadline = services.now + services.bounds.keep_alive_s
        if self._unread:
            self._schedule_next()
        elif self._ended:
            self._linger()

    def _schedule_next(self) -> None:
        """Go on soon. Not now: an exchange that ends at once would come back here, deeper."""
        if self._unread and not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        """Read the request that waits, if its turn has come."""
        self._scheduled = False
        if self._busy or not self._writable or self._state != _HEAD:
            return
        data, self._unread = self._unread, b""
        self._read(data)
        if self._state == _HEAD or not self._unread:
            self._gate.open(_PIPELINED)
        if self._ended and self._state == _HEAD:
            self._linger()  # the rest of a head will not come

    def abort(self) -> None:
        """Reset the connection: an end of file would make a broken answer look whole.

        (An answer without a length to an HTTP/1.0 client ends with the connection.)
        """
        self._state = _CLOSING
        if not self.transport.is_closing():
            self.cut = True
            with suppress(OSError):
                self.transport.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE
                )
        self.transport.abort()

    def open_tunnel(self, endpoint: Upgraded, group: Group, rest: bytes, framed: bool) -> None:
        early, self._unread = self._unread, b""
        self._state = _TUNNEL
        self._gate.open(_PIPELINED)
        tunnel = self._tunnel = Tunnel(
            self._services,
            self.transport,
            endpoint,
            group,
            self._tunnel_closed,
            idle_s=self._services.bounds.tunnel_idle_s,
            framed=framed,
        )
        if rest:
            tunnel.endpoint.data_received(rest)
        if early:
            tunnel.client.data_received(early)

    def _tunnel_closed(self) -> None:
        self._state = _CLOSING
        tunnel = self._tunnel
        received, sent = (0, 0) if tunnel is None else (tunnel.client.taken, tunnel.endpoint.taken)
        self._exchange.tunnel_closed(received, sent)
        self._exchange = _GONE
        self._tunnel = None
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
        elif self._state == _CLOSING and self.transport.get_write_buffer_size():
            self.abort()
        elif self._state == _CLOSING:
            self.transport.abort()  # no reset: the kernel may still have some of the answer
        elif self._unread:
            self._refuse(replies.HEAD_TIMEOUT)
        else:
            self.close()

    def drain(self, idle_since: float) -> None:
        """Close the connection if it has been idle since before this time; monotonic seconds.

        One that is busy, or was just used, may have its next request on the way already: that
        is answered with `Connection: close`.
        """
        idle = self._state == _HEAD and not self._unread
        if idle and self.idle_since <= idle_since:
            self.close()

    def close(self) -> None:
        """Close after the last byte is sent, WebSockets with a word; cut what is under way."""
        words = self._services.settings.tunnels
        if self._tunnel is not None or self._busy:
            self._end(words.close_code, words.close_reason)
        else:
            self._state = _CLOSING
            self.deadline = self._services.now + self._services.settings.timeouts.linger_s
            self.transport.close()  # over TLS it waits for the client's end, too

    def lasting(self) -> Lasting | None:
        """What is under way in a slot; None: nothing."""
        route = self._exchange.under_way()
        if route is None:
            return None
        tenant, tunnel = route.labels[0] or None, self._tunnel
        events = self._exchange.events()
        if events is not None:
            idle_since = self.deadline - self._services.bounds.answer_idle_s
            return Lasting(EVENTS, route.slot, tenant, idle_since, may_end=not events.ending)
        if tunnel is None:
            return Lasting(REQUEST, route.slot, tenant, self._services.now, may_end=False)
        kind = WEBSOCKET if tunnel.is_framed else TUNNEL
        return Lasting(kind, route.slot, tenant, tunnel.idle_since, may_end=tunnel.is_open)

    def device(self) -> str | None:
        """The device that what lasts here is from; empty: nothing names it.

        None: the client has ended its side of a stream. It may only have closed the connection:
        that is seen no sooner than something is written to it.
        """
        return None if self._ended and self._tunnel is None else self._exchange.device()

    def end(self) -> None:
        """Its slot is drained: what is under way begins anew elsewhere."""
        words = self._services.settings.tunnels
        self._end(words.drain_close_code, words.drain_close_reason)

    def _end(self, code: int, reason: str) -> None:
        """Close a tunnel, WebSockets with a word; cut a request that is under way.

        A stream of events ends after a whole one; asked for it again, it is cut.
        """
        events = self._exchange.events()
        if self._tunnel is not None:
            last_message = self._services.settings.tunnels.last_message
            self._tunnel.close_frames(code, reason, last_message)
        elif events is not None and not events.ending:
            self._exchange.end_events()
        elif self._busy:
            self.abort()

    def _linger(self) -> None:
        self._state = _CLOSING
        self._unread = b""
        self._linger_from_now()
        self._gate.open(_PIPELINED | _BACKPRESSURE | _NO_CONNECTION)
        if self._ended or self.secure is not None:
            self.transport.close()
        elif not self.transport.is_closing():
            self.transport.write_eof()

    def _linger_from_now(self) -> None:
        """A slow client gets its time to take the answer; then a while to end the connection."""
        bounds = self._services.bounds
        unsent = self.transport.get_write_buffer_size()
        limit_s = bounds.write_idle_s if unsent else bounds.linger_s
        self.deadline = self._services.now + limit_s
