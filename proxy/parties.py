"""The parties of an exchange, as they see each other.

Abstract classes in place of protocols, for calls through them are plain calls when the data
plane is compiled. Neither side's package imports the other: each sees the exchange, and the
exchange sees them, by what stands here.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from proxy.http1.events import EventStream
from proxy.http1.head import RequestHead, ResponseHead
from proxy.http1.reply import LocalReply
from proxy.observability.telemetry import Group
from proxy.router import Route
from proxy.tls.session import Secure


class Upgraded(Protocol):
    """The endpoint's connection, once it speaks another protocol than HTTP."""

    transport: asyncio.Transport

    def connection_lost(self, error: Exception | None) -> None:
        """It is gone."""


class Client:
    """The client's connection, as the exchange sees it.

    peer: its address. peer_lines: the X-Forwarded fields that tell it. trusted: it lies in a
    trusted network. secure: what TLS says of the client; None without TLS. write: the transport's
    own, which spares a look-up a call. deadline: monotonic seconds by which something must have
    happened. cut: it was the proxy that ended the connection.
    """

    __slots__ = (
        "cut",
        "deadline",
        "peer",
        "peer_lines",
        "secure",
        "transport",
        "trusted",
        "write",
    )

    def __init__(
        self, peer: bytes, peer_lines: bytes, trusted: bool, secure: Secure | None = None
    ) -> None:
        self.peer = peer
        self.peer_lines = peer_lines
        self.trusted = trusted
        self.secure = secure
        self.cut = False
        self.deadline = 0.0
        self.transport: asyncio.Transport
        self.write: Callable[[bytes], None]

    def pause(self) -> None:
        """Take no more of the request for now."""
        raise NotImplementedError

    def resume(self) -> None:
        """Go on taking the request."""
        raise NotImplementedError

    def hold(self) -> None:
        """Take no more of the request until there is a connection for it."""
        raise NotImplementedError

    def release(self) -> None:
        """There is one."""
        raise NotImplementedError

    def exchange_done(self, keep_alive: bool) -> None:
        """The answer is complete: next request, or close once it is sent."""
        raise NotImplementedError

    def abort(self) -> None:
        """Cut the connection, so that the client sees that the answer broke off."""
        raise NotImplementedError

    def open_tunnel(self, endpoint: Upgraded, group: Group, rest: bytes, framed: bool) -> None:
        """Join both connections: bytes from here on. framed: they are WebSockets."""
        raise NotImplementedError


class Exchange:
    """What carries a request out; see `proxy.exchange.forward`."""

    __slots__ = ()

    # ── as the client's connection sees it ────────────────────────────────────────────────────

    def begin(self, head: RequestHead) -> None:
        """A request's head is here; its body and end follow if it has one."""
        raise NotImplementedError

    def request_body(self, data: bytes) -> None:
        """A piece of the request's body."""
        raise NotImplementedError

    def request_end(self) -> None:
        """The request's body has been read to its end."""
        raise NotImplementedError

    def request_broken(self, refusal: LocalReply) -> None:
        """The rest of the request can't be read: refuse it if that can still be said."""
        raise NotImplementedError

    def expire(self) -> None:
        """Nothing came in time."""
        raise NotImplementedError

    def client_lost(self) -> None:
        """The client is gone: nothing more is sent on its behalf."""
        raise NotImplementedError

    def may_be_answered(self) -> bool:
        """Whether a client that ends its side of the connection may still be answered."""
        raise NotImplementedError

    def client_writable(self, writable: bool) -> None:
        """The client takes more of the answer, or no more for now."""
        raise NotImplementedError

    def tunnel_closed(self, received: int, sent: int) -> None:
        """Both sides of the tunnel are gone. received, sent: bytes, of the client's side."""
        raise NotImplementedError

    def under_way(self) -> Route | None:
        """Where it is under way, or stands in line; None: nowhere. Asked while a slot is drained."""
        return None

    def events(self) -> EventStream | None:
        """The stream of events that is being relayed; None: it isn't one."""
        return None

    def device(self) -> str:
        """The device that the tunnel, or the stream of events, is from; empty: nothing names it."""
        return ""

    def end_events(self) -> None:
        """End that stream where no event is under way."""
        raise NotImplementedError

    # ── as the endpoint's connection sees it ──────────────────────────────────────────────────

    def interim(self, head: ResponseHead) -> None:
        """A 1xx response other than 101."""
        raise NotImplementedError

    def response_head(self, head: ResponseHead, body: bytes) -> None:
        """The final response begins. body: what is here of it already, if it has a length."""
        raise NotImplementedError

    def response_body(self, data: bytes) -> None:
        """A piece of its body."""
        raise NotImplementedError

    def response_end(self) -> None:
        """It is complete."""
        raise NotImplementedError

    def flush(self) -> None:
        """All bytes of a read were parsed."""
        raise NotImplementedError

    def switched(self, head: ResponseHead, rest: bytes) -> None:
        """101: from here on the bytes are not HTTP; `rest` is what came with it."""
        raise NotImplementedError

    def upstream_lost(self) -> None:
        """The connection ended before the response did."""
        raise NotImplementedError

    def upstream_fault(self, reason: str) -> None:
        """The endpoint's bytes can't be passed on; the connection is closed."""
        raise NotImplementedError

    def upstream_writable(self, writable: bool) -> None:
        """Whether more of the request may be written."""
        raise NotImplementedError
