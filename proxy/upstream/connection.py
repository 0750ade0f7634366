"""One connection to an endpoint: its responses go to the exchange that holds it.

Rules: a connection is held by one exchange at a time, or idle in its pool. The end of an answer
is told only after all bytes of a read were looked at: what follows it in the same read belongs
to nobody, and must not meet the connection's next holder. Bytes that nobody asked for, or that
are not HTTP/1.1 in the strict reading, end the connection.
"""

import asyncio
import re
from collections.abc import Callable
from typing import Final, cast

from proxy.http1.chunks import ChunkedBody
from proxy.http1.fields import Malformed
from proxy.http1.head import ResponseHead
from proxy.http1.parser import ResponseParser, check_part
from proxy.http1.reply import BAD_ANSWER
from proxy.last_words import unread
from proxy.parties import Exchange

_TIMEOUT = re.compile(rb"(?:^|[,; ])timeout=([0-9]{1,6})(?:$|[,; ])")
_HEAD_END: Final = b"\r\n\r\n"

# What the next bytes are.
_IDLE: Final = 0  # unasked
_HEAD: Final = 1  # of an answer's head
_LENGTH: Final = 2  # of a body that has a length
_CHUNKS: Final = 3  # of a chunked body
_UNTIL_CLOSE: Final = 4  # of a body that lasts until the connection ends
_SWITCHED: Final = 5  # of another protocol


class Owner:
    """The pool, as its connections see it."""

    __slots__ = ()

    def opened(self) -> None:
        """A connection is made."""
        raise NotImplementedError

    def lost(self, connection: "EndpointConnection") -> None:
        """A connection is gone."""
        raise NotImplementedError


class AnswerLimits:
    """head_bytes: of an answer's head with its interim ones, and of its chunk extensions and
    trailers. interim_answers: how many.
    """  # noqa: D205 - one sentence a field

    __slots__ = ("head_bytes", "interim_answers")

    def __init__(self, head_bytes: int, interim_answers: int) -> None:
        self.head_bytes = head_bytes
        self.interim_answers = interim_answers


class EndpointConnection:
    """See the module; an asyncio protocol.

    made: whether there ever was a connection; then its owner hears of its end too.
    holder: the exchange that it serves. reused: whether it served another before. owes_answer:
    a request was sent and its answer is not complete. keep_alive: it may serve another after.
    closed: it takes no more.
    """

    __slots__ = (
        "_answer_begun",
        "_chunks",
        "_ended",
        "_head_bytes",
        "_interims",
        "_left",
        "_limits",
        "_method",
        "_owner",
        "_parser",
        "_searched",
        "_state",
        "_unread",
        "closed",
        "holder",
        "idle_limit_s",
        "idle_since",
        "keep_alive",
        "made",
        "owes_answer",
        "reused",
        "transport",
        "write",
    )

    def __init__(
        self, parser: ResponseParser, owner: Owner, idle_limit_s: float, limits: AnswerLimits
    ) -> None:
        self._owner = owner
        self._parser = parser
        self._limits = limits
        self._state = _IDLE
        self._method = b""
        self._unread = b""
        self._searched = 0
        self._left = 0
        self._chunks: ChunkedBody | None = None
        self._ended = False
        self._head_bytes = 0
        self._interims = 0
        self._answer_begun = False
        self.transport: asyncio.Transport
        self.write: Callable[[bytes], None]
        self.holder: Exchange | None = None
        self.closed = False
        self.made = False
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

    def begin(self, holder: Exchange, method: bytes, head: bytes) -> None:
        """Send a request's head for this holder."""
        self.holder = holder
        self._method = method
        self._state = _HEAD
        self._head_bytes = 0
        self._interims = 0
        self._answer_begun = False
        self.owes_answer = True
        self.write(head)

    def close(self) -> None:
        """Drop the connection now; the holder hears nothing more of it."""
        self.holder = None
        if not self.closed:
            self.transport.abort()

    # ── asyncio ───────────────────────────────────────────────────────────────────────────────

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.write = self.transport.write
        self.made = True
        self._owner.opened()

    def data_received(self, data: bytes) -> None:
        holder = self.holder
        if holder is None or not self.owes_answer:
            self._unasked()
            return
        self._answer_begun = True
        if self._unread:
            data = self._unread + data
            self._unread = b""
        try:
            rest = self._read_head(holder, data) if self._state == _HEAD else data
            if rest:
                rest = self._read(holder, rest)
        except Malformed as malformed:
            self._fault(str(malformed))
            return
        if self.holder is None:
            return
        if self._state == _IDLE:
            if rest:
                self.keep_alive = False
            self.owes_answer = False
            holder.response_end()
        elif self._state != _SWITCHED:
            holder.flush()

    def eof_received(self) -> None:
        """The endpoint ends: the transport closes, and `connection_lost` follows.

        Over TLS only close_notify comes here, an end of file without it does not.
        """
        self._ended = True
        self.keep_alive = False
        if self.holder is None:
            self.closed = True  # for those who would take it until then

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True
        if error is not None and self.holder is not None and self.owes_answer:
            for data in unread(self.transport):
                if self.owes_answer:
                    self.data_received(data)
        self.write = self.transport.write  # TLS has let go of what it was
        self._owner.lost(self)
        holder, self.holder = self.holder, None
        if holder is None:
            return
        # RFC 9112 §9.8: without close_notify an answer that ends with its connection is cut short.
        if self._state == _UNTIL_CLOSE and self._ended and error is None:
            self.owes_answer = False
            holder.response_end()
        else:
            holder.upstream_lost()

    def pause_writing(self) -> None:
        if self.holder is not None:
            self.holder.upstream_writable(False)

    def resume_writing(self) -> None:
        if self.holder is not None:
            self.holder.upstream_writable(True)

    # ── reading ───────────────────────────────────────────────────────────────────────────────

    def _read(self, holder: Exchange, data: bytes) -> bytes:
        """Read on; what follows the answer's end. Malformed."""
        while data and self.holder is not None:
            state = self._state
            if state == _HEAD:
                data = self._read_head(holder, data)
            elif state == _LENGTH:
                data = self._read_length(holder, data)
            elif state == _CHUNKS:
                data = self._read_chunks(holder, data)
            elif state == _UNTIL_CLOSE:
                holder.response_body(data)
                return b""
            elif state == _SWITCHED:
                return b""
            else:
                return data
        return data

    def _read_head(self, holder: Exchange, data: bytes) -> bytes:
        end = data.find(_HEAD_END, self._searched)
        if end < 0:
            if self._head_bytes + len(data) > self._limits.head_bytes:
                raise Malformed(BAD_ANSWER, "a head over the limit")
            check_part(data, self._searched)
            self._searched = max(len(data) - 3, 0)
            self._unread = data
            return b""
        self._searched = 0
        self._head_bytes += end
        if self._head_bytes > self._limits.head_bytes:
            raise Malformed(BAD_ANSWER, "a head over the limit")
        head = self._parser.head(data[:end])
        if head.fault:
            raise Malformed(BAD_ANSWER, head.fault)
        rest = data[end + 4 :]
        if head.status >= 200:
            return self._final_head(holder, head, rest)
        if head.status == 101:
            self._state = _SWITCHED
            holder.switched(head, rest)
        else:
            self._interims += 1
            if self._interims > self._limits.interim_answers:
                raise Malformed(BAD_ANSWER, "too many interim answers")
            holder.interim(head)
        return rest

    def _final_head(self, holder: Exchange, head: ResponseHead, rest: bytes) -> bytes:
        """Begin the answer, with what is here of its body; what follows that."""
        self.keep_alive = head.keep_alive
        if head.keep_alive_field is not None:
            self._learn_timeout(head.keep_alive_field)
        body = b""
        if head.bodiless or head.content_length == 0 or self._method == b"HEAD":
            self._state = _IDLE
        elif head.content_length > 0:
            size = len(rest)
            if size < head.content_length:
                self._state = _LENGTH
                self._left = head.content_length - size
                body, rest = rest, b""
            elif size == head.content_length:
                self._state = _IDLE
                body, rest = rest, b""
            else:
                self._state = _IDLE
                body, rest = rest[: head.content_length], rest[head.content_length :]
        elif head.chunked:
            self._state = _CHUNKS
            self._chunks = ChunkedBody(self._limits.head_bytes)
        else:
            self._state = _UNTIL_CLOSE
            self.keep_alive = False
        holder.response_head(head, body)
        return rest

    def _read_length(self, holder: Exchange, data: bytes) -> bytes:
        left = self._left
        piece = data if len(data) <= left else data[:left]
        self._left = left - len(piece)
        if self._left == 0:
            self._state = _IDLE
        holder.response_body(piece)
        return data[len(piece) :]

    def _read_chunks(self, holder: Exchange, data: bytes) -> bytes:
        chunks = self._chunks
        if chunks is None:
            raise RuntimeError("a chunked body without its reader")
        position = chunks.feed(data, 0)
        if chunks.done:
            self._state = _IDLE
            self._chunks = None
        if chunks.pieces:
            holder.response_body(chunks.take())
        return data[position:]

    # ── own steps ─────────────────────────────────────────────────────────────────────────────

    def _learn_timeout(self, value: bytes) -> None:
        """`Keep-Alive: timeout=5`: ours ends a second sooner, so that the race is rarely run."""
        found = _TIMEOUT.search(value)
        if found is not None:
            self.idle_limit_s = min(self.idle_limit_s, max(int(found[1]) - 1.0, 0.0))

    def _unasked(self) -> None:
        self.keep_alive = False
        if self.holder is None:
            self.closed = True
            self.transport.abort()

    def _fault(self, reason: str) -> None:
        holder, self.holder = self.holder, None
        self.transport.abort()
        if holder is not None:
            holder.upstream_fault(reason)
