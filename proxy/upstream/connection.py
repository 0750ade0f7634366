"""One connection to an endpoint: its responses go to the exchange that holds it.

Rules: a connection is held by one exchange at a time, or idle in its pool. The end of an answer
is told only after all bytes of a read were parsed: what follows it in the same read belongs to
nobody, and must not meet the connection's next holder. Bytes that nobody asked for, or that are
not HTTP/1.1 in the strict reading, end the connection.
"""

import asyncio
import re
from dataclasses import dataclass
from typing import Protocol, cast

from proxy.http1.fields import FieldKinds
from proxy.http1.framing import check_response, ends_with_connection
from proxy.http1.head import ResponseHead
from proxy.http1.parser import ParseError, ResponseParser

_TIMEOUT = re.compile(rb"(?:^|[,; ])timeout=([0-9]{1,6})(?:$|[,; ])")


class Holder(Protocol):
    """The exchange, as the connection to the endpoint sees it."""

    def interim(self, head: ResponseHead) -> None:
        """A 1xx response other than 101."""

    def response_head(self, head: ResponseHead) -> None:
        """The final response begins."""

    def response_body(self, data: bytes) -> None:
        """A piece of its body."""

    def response_end(self) -> None:
        """It is complete."""

    def flush(self) -> None:
        """All bytes of a read were parsed."""

    def switched(self, head: ResponseHead, rest: bytes) -> None:
        """101: from here on the bytes are not HTTP; `rest` is what came with it."""

    def upstream_lost(self) -> None:
        """The connection ended before the response did."""

    def upstream_fault(self, reason: str) -> None:
        """The endpoint's bytes can't be passed on; the connection is closed."""

    def upstream_writable(self, *, writable: bool) -> None:
        """Whether more of the request may be written."""


class Owner(Protocol):
    """The pool, as its connections see it."""

    def opened(self) -> None:
        """A connection is made."""

    def lost(self, connection: "EndpointConnection") -> None:
        """A connection is gone."""


@dataclass(frozen=True, slots=True)
class AnswerLimits:
    """head_bytes: of an answer's head with its interim ones, and of its chunk extensions and
    trailers. interim_answers: how many.
    """  # noqa: D205 - one sentence a field

    head_bytes: int
    interim_answers: int


class EndpointConnection(asyncio.Protocol):
    """See the module.

    holder: the exchange that it serves. reused: whether it served another before. owes_answer:
    a request was sent and its answer is not complete. keep_alive: it may serve another after.
    """

    __slots__ = (
        "_answer_begun",
        "_bodiless",
        "_complete",
        "_final",
        "_head_bytes",
        "_interims",
        "_limits",
        "_method",
        "_owner",
        "_parser",
        "_switching",
        "_until_close",
        "closed",
        "holder",
        "idle_limit_s",
        "idle_since",
        "keep_alive",
        "owes_answer",
        "reused",
        "transport",
    )

    def __init__(
        self, kinds: FieldKinds, owner: Owner, idle_limit_s: float, limits: AnswerLimits
    ) -> None:
        self._owner = owner
        self._parser = ResponseParser(kinds, self)
        self._method = b""
        self._final = False
        self._complete = False
        self._bodiless = False
        self._until_close = False
        self._head_bytes = 0
        self._interims = 0
        self._answer_begun = False
        self._limits = limits
        self._switching: ResponseHead | None = None
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.holder: Holder | None = None
        self.closed = False
        self.keep_alive = True
        self.owes_answer = False
        self.reused = False
        self.idle_since = 0.0
        self.idle_limit_s = idle_limit_s

    def __repr__(self) -> str:
        state = "closed" if self.closed else "held" if self.holder else "idle"
        return f"<EndpointConnection {state} keep_alive={self.keep_alive} reused={self.reused}>"

    @property
    def may_be_repeated(self) -> bool:
        """Whether the endpoint may have closed it before it saw the request (RFC 9110 §9.2.2)."""
        return self.reused and not self._answer_begun

    def begin(self, holder: Holder, method: bytes, head: bytes) -> None:
        """Send a request's head for this holder."""
        self.holder = holder
        self._method = method
        self._final = False
        self._complete = False
        self._bodiless = False
        self._until_close = False
        self._head_bytes = 0
        self._interims = 0
        self._answer_begun = False
        self.owes_answer = True
        self.transport.write(head)

    def close(self) -> None:
        """Drop the connection now; the holder hears nothing more of it."""
        self.holder = None
        if not self.closed:
            self.transport.abort()

    # ── asyncio ───────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._owner.opened()

    def data_received(self, data: bytes) -> None:
        if self.holder is None or not self.owes_answer:
            self._unasked()
            return
        self._answer_begun = True
        try:
            taken = self._parser.feed(data)
        except ParseError as error:
            if not self._complete:
                self._fault(str(error) or "too many fields")
                return
            self.keep_alive = False
            taken = -1
        if self._complete:
            self._end()
        elif taken >= 0 and self._switching is not None and self.holder is not None:
            self.holder.switched(self._switching, data[taken:])
        elif self.holder is not None:
            self.holder.flush()
            self._check_limits(len(data))

    def eof_received(self) -> None:
        """The endpoint ends: the transport closes, and `connection_lost` follows."""

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        self._owner.lost(self)
        holder, self.holder = self.holder, None
        if holder is None:
            return
        if self._until_close and error is None:
            self.owes_answer = False
            holder.response_end()
        else:
            holder.upstream_lost()

    def pause_writing(self) -> None:
        if self.holder is not None:
            self.holder.upstream_writable(writable=False)

    def resume_writing(self) -> None:
        if self.holder is not None:
            self.holder.upstream_writable(writable=True)

    # ── the parser ────────────────────────────────────────────────────────────────────────────

    def response_head(self, head: ResponseHead) -> None:
        holder = self.holder
        if holder is None or self._complete:
            self.keep_alive = False
            return
        fault = check_response(head)
        if fault:
            self._fault(fault)
        elif head.status == 101:
            self._switching = head
        elif head.status < 200:
            self._interim(head, holder)
        else:
            self._final_head(head, holder)

    def response_body(self, data: bytes) -> None:
        if self._complete:
            self.keep_alive = False
        elif self.holder is not None and self._final:
            self.holder.response_body(data)

    def response_end(self) -> None:
        # An interim response ends too, but the answer is still owed.
        if self._final:
            self._complete = True

    # ── own steps ─────────────────────────────────────────────────────────────────────────────

    def _interim(self, head: ResponseHead, holder: Holder) -> None:
        self._interims += 1
        if self._interims > self._limits.interim_answers:
            self._fault("too many interim answers")
        else:
            holder.interim(head)

    def _final_head(self, head: ResponseHead, holder: Holder) -> None:
        self._final = True
        self.keep_alive = head.keep_alive
        if head.keep_alive_field is not None:
            self._learn_timeout(head.keep_alive_field)
        self._until_close = ends_with_connection(self._method, head)
        if self._until_close:
            self.keep_alive = False
        # llhttp knows no HEAD: it would wait for the body that the fields announce.
        self._bodiless = self._complete = self._method == b"HEAD"
        holder.response_head(head)

    def _check_limits(self, size: int) -> None:
        if not self._final:
            self._head_bytes += size
        if self._head_bytes > self._limits.head_bytes:
            self._fault("a head over the limit")
        elif self._parser.overhead > self._limits.head_bytes:
            self._fault("chunk extensions and trailers over the limit")

    def _learn_timeout(self, value: bytes) -> None:
        """`Keep-Alive: timeout=5`: ours ends a second sooner, so that the race is rarely run."""
        found = _TIMEOUT.search(value)
        if found is not None:
            self.idle_limit_s = min(self.idle_limit_s, max(int(found[1]) - 1.0, 0.0))

    def _end(self) -> None:
        if self._bodiless:
            self._parser.renew()
        elif self._parser.begun:
            self.keep_alive = False
        self.owes_answer = False
        if self.holder is not None:
            self.holder.response_end()

    def _unasked(self) -> None:
        self.keep_alive = False
        if self.holder is None:
            self.transport.abort()

    def _fault(self, reason: str) -> None:
        holder, self.holder = self.holder, None
        self.transport.abort()
        if holder is not None:
            holder.upstream_fault(reason)
