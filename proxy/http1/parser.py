"""llhttp's callbacks fill one head and hand body chunks on. No leniency is switched on.

Rule: a parser speaks to its sink in the order of the bytes: head, body chunks, end; then the
next message. Trailers are dropped here.
"""

from typing import Protocol

import httptools

from proxy.http1 import fields
from proxy.http1.fields import FieldKinds
from proxy.http1.framing import content_length
from proxy.http1.head import RequestHead, ResponseHead

MAX_FIELDS = 100
_CHUNK_FRAME = 20  # 16 hex digits and two line ends, as a chunk may have without extensions
_PLAIN = fields.PLAIN


class RequestSink(Protocol):
    """Who gets a client's requests."""

    def request_head(self, head: RequestHead) -> None:
        """A head is complete."""

    def request_body(self, data: bytes) -> None:
        """A piece of its body."""

    def request_end(self) -> None:
        """The message is complete."""


class ResponseSink(Protocol):
    """Who gets an endpoint's responses, interim ones included."""

    def response_head(self, head: ResponseHead) -> None:
        """A head is complete."""

    def response_body(self, data: bytes) -> None:
        """A piece of its body."""

    def response_end(self) -> None:
        """The message is complete."""


class ParseError(Exception):
    """The bytes are not HTTP/1.1, or not in the strict reading."""


class TooManyFieldsError(ParseError):
    """More than MAX_FIELDS fields in one head."""


class _Message:
    """What both parsers know of the message under way.

    They count what a chunked body carries beside its content, for extensions and trailers have
    no bound of their own in llhttp.
    """

    __slots__ = ("_body", "_chunks", "_fed", "_is_1_1")

    def __init__(self) -> None:
        # The first line of a read said so; asking llhttp costs a formatted string.
        self._is_1_1 = False
        self._chunks = 0
        self._body = 0
        self._fed = 0

    @property
    def overhead(self) -> int:
        """Bytes of the chunked body under way that are neither content nor plain chunk sizes."""
        return self._fed - self._body - _CHUNK_FRAME * self._chunks if self._chunks else 0

    def on_chunk_header(self) -> None:
        self._chunks += 1

    def _begin_chunks(self) -> None:
        self._chunks = 1
        self._body = self._fed = 0


class RequestParser(_Message):
    """Requests from one client connection.

    Where an Upgrade is offered, llhttp stops after the head even if a body follows (as in an
    h2c offer with POST): that body is counted off here.
    """

    __slots__ = ("_head", "_kinds", "_llhttp", "_sink", "_uncounted")

    def __init__(self, kinds: FieldKinds, sink: RequestSink) -> None:
        super().__init__()
        self._kinds = kinds
        self._sink = sink
        self._head: RequestHead | None = None
        self._uncounted = 0
        self._llhttp = httptools.HttpRequestParser(self)

    def feed(self, data: bytes) -> int:
        """Parse on. -1 if all was taken, else how much was: an Upgrade was offered there."""
        if self._uncounted:
            return self._feed_body(data, 0)
        if self._chunks:
            self._fed += len(data)
        elif self._head is None:
            end = data.find(b"\r\n")
            self._is_1_1 = data[end - 9 : end] == b" HTTP/1.1"
        try:
            self._llhttp.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            return self._offered(data, int(upgrade.args[0]))
        except httptools.HttpParserError as error:
            cause = error.__context__
            if isinstance(cause, TooManyFieldsError):
                raise cause from None
            if cause is not None and not isinstance(cause, httptools.HttpParserError):
                raise cause from None  # a fault of ours, not of the client
            raise ParseError(str(error)) from None
        return -1

    def _offered(self, data: bytes, offset: int) -> int:
        return self._feed_body(data, offset) if self._uncounted else offset

    def _feed_body(self, data: bytes, offset: int) -> int:
        piece = data[offset : offset + self._uncounted]
        self._uncounted -= len(piece)
        if piece:
            self._sink.request_body(piece)
        if self._uncounted:
            return -1
        self._sink.request_end()
        return offset + len(piece)

    def on_url(self, url: bytes) -> None:
        head = self._head
        if head is None:
            self._head = RequestHead(url)
        else:
            head.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        head = self._head
        if head is None or head.method:
            return  # a trailer: dropped
        kind = self._kinds[name]
        if kind == _PLAIN:
            head.lines.append(name + b": " + value + b"\r\n")
            return
        value = value.rstrip(b" \t")
        if kind == fields.HOST:
            head.host = value
            head.hosts += 1
        else:
            _take_special(head, kind, name, value)

    def on_headers_complete(self) -> None:
        head = self._head
        if head is None:
            raise ParseError("a head without a request line")
        llhttp = self._llhttp
        head.method = llhttp.get_method()
        if len(head.lines) + head.specials > MAX_FIELDS:
            raise TooManyFieldsError
        if not self._is_1_1:
            _check_version(head, llhttp.get_http_version())
        self._is_1_1 = False
        if head.upgrade is not None and llhttp.should_upgrade():
            if head.transfer_encoding is not None:
                head.fault = "an upgrade is offered beside a chunked body"
            self._uncounted = max(head.content_length, 0)
        if head.transfer_encoding is not None:
            self._begin_chunks()
        self._sink.request_head(head)

    def on_body(self, data: bytes) -> None:
        self._body += len(data)
        self._sink.request_body(data)

    def on_message_complete(self) -> None:
        self._head = None
        self._chunks = 0
        if not self._uncounted:
            self._sink.request_end()


# Fields that may stand several times: their values are joined as one list (RFC 9110 §5.3).
_JOINED = {
    fields.CONNECTION: "connection",
    fields.TRANSFER_ENCODING: "transfer_encoding",
    fields.UPGRADE: "upgrade",
    fields.EXPECT: "expect",
    fields.FORWARDED_FOR: "forwarded_for",
}
# Fields that must stand once: of two, a reader behind us might believe the other.
_SINGLE = {
    fields.TENANT: "tenant",
    fields.AUTHORIZATION: "authorization",
    fields.REQUEST_ID: "request_id",
}


def _take_special(head: RequestHead, kind: int, name: bytes, value: bytes) -> None:
    """A field that the proxy reads itself."""
    head.specials += 1
    if kind in _JOINED:
        _join(head, _JOINED[kind], value)
    elif kind in _SINGLE:
        if getattr(head, _SINGLE[kind]) is not None:
            head.fault = f"two fields give the {_SINGLE[kind]}"
        setattr(head, _SINGLE[kind], value)
        if kind == fields.AUTHORIZATION:
            head.lines.append(name + b": " + value + b"\r\n")
    elif kind == fields.CONTENT_LENGTH:
        _take_length(head, value)
    elif kind == fields.FORWARDED:
        head.forwarded.append(name + b": " + value + b"\r\n")


def _join(head: RequestHead | ResponseHead, attribute: str, value: bytes) -> None:
    before = getattr(head, attribute)
    setattr(head, attribute, value if before is None else before + b", " + value)


def _check_version(head: RequestHead | ResponseHead, version: str) -> None:
    if version != "1.1":
        head.minor = 0
        if version != "1.0":
            head.fault = "a protocol version other than 1.0 and 1.1"


def _take_length(head: RequestHead | ResponseHead, value: bytes) -> None:
    head.content_length = content_length(value)
    if head.content_length < 0:
        head.fault = "Content-Length is not a number"


class ResponseParser(_Message):
    """Responses on one connection to an endpoint. begun: whether a message is under way.

    After a response to HEAD that names a length, llhttp waits for a body that never comes: the
    connection calls `renew`, for httptools has no way to tell it.
    """

    __slots__ = ("_head", "_kinds", "_llhttp", "_sink", "begun")

    def __init__(self, kinds: FieldKinds, sink: ResponseSink) -> None:
        super().__init__()
        self._kinds = kinds
        self._sink = sink
        self.begun = False
        self._head: ResponseHead | None = None
        self._llhttp = httptools.HttpResponseParser(self)

    def renew(self) -> None:
        """Expect a new response, whatever the one before it promised."""
        self._head = None
        self._chunks = 0
        self.begun = False
        self._llhttp = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> int:
        """Parse on. -1 if all was taken, else how much was: the protocol was switched there."""
        if self._chunks:
            self._fed += len(data)
        elif not self.begun:
            self._is_1_1 = data.startswith(b"HTTP/1.1 ")
        try:
            self._llhttp.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            return int(upgrade.args[0])
        except httptools.HttpParserError as error:
            cause = error.__context__
            if cause is not None and not isinstance(cause, httptools.HttpParserError | ParseError):
                raise cause from None  # a fault of ours, not of the endpoint
            raise ParseError(str(error)) from None
        return -1

    def on_message_begin(self) -> None:
        self.begun = True

    def on_status(self, reason: bytes) -> None:
        head = self._head
        if head is None:
            head = self._head = ResponseHead()
        head.reason += reason

    def on_header(self, name: bytes, value: bytes) -> None:
        head = self._head
        if head is None:
            head = self._head = ResponseHead()
        elif head.status:
            return  # a trailer: dropped
        kind = self._kinds[name]
        if kind == _PLAIN:
            head.lines.append(name + b": " + value + b"\r\n")
            return
        value = value.rstrip(b" \t")
        if kind == fields.CONTENT_LENGTH:
            _take_length(head, value)
        elif kind in _JOINED:
            _join(head, _JOINED[kind], value)
        elif kind == fields.KEEP_ALIVE:
            head.keep_alive_field = value

    def on_headers_complete(self) -> None:
        head = self._head
        if head is None:
            head = self._head = ResponseHead()
        llhttp = self._llhttp
        head.status = llhttp.get_status_code()
        if len(head.lines) > MAX_FIELDS:
            raise TooManyFieldsError
        if not self._is_1_1:
            _check_version(head, llhttp.get_http_version())
        self._is_1_1 = False
        if head.transfer_encoding is not None:
            self._begin_chunks()
        self._sink.response_head(head)

    def on_body(self, data: bytes) -> None:
        self._body += len(data)
        self._sink.response_body(data)

    def on_message_complete(self) -> None:
        self._head = None
        self._chunks = 0
        self.begun = False
        self._sink.response_end()
