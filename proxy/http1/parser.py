"""Heads from bytes (RFC 9112 §2 to §5), strictly: what isn't in the grammar is refused.

Rules: a head is read when it is complete, from its bytes without the empty line that ends it;
lines end in CRLF and in nothing else. What two readers could take differently is refused, never
repaired. Nothing is kept from one message to the next but the readings of whole lines.
"""

import re
from typing import Final

from proxy.http1 import fields
from proxy.http1.fields import (
    CONNECTION,
    CONTENT_LENGTH,
    HOST,
    KEEP_ALIVE,
    MAX_FIELDS,
    MAX_REMEMBERED,
    MAX_REMEMBERED_BYTES,
    PLAIN,
    SECRET,
    TENANT,
    TRANSFER_ENCODING,
    UPGRADE,
    Field,
    FieldReader,
    Malformed,
    is_token,
)
from proxy.http1.framing import (
    BAD_FRAMING,
    BAD_HOST,
    SPECIAL_METHODS,
    WEBSOCKET_ONLY,
    check_request,
    check_response,
)
from proxy.http1.head import RequestHead, ResponseHead
from proxy.http1.reply import (
    BAD_REQUEST,
    HEAD_TOO_LARGE,
    UNKNOWN_METHOD,
    VERSION_REFUSED,
    LocalReply,
)
from proxy.http1.trace import DROPPED

_VERSION = re.compile(rb"HTTP/([0-9])\.[0-9]")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([0-9]{3})(?: ([\t\x20-\x7e\x80-\xff]*))?")
_LONE_LINE_END = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)|\0")

METHODS: Final = frozenset(
    b"GET HEAD POST PUT PATCH DELETE OPTIONS CONNECT TRACE "
    b"ACL BASELINE-CONTROL BIND CHECKIN CHECKOUT COPY LABEL LINK LOCK MERGE MKACTIVITY MKCALENDAR "
    b"MKCOL MKREDIRECTREF MKWORKSPACE MOVE ORDERPATCH PROPFIND PROPPATCH PURGE QUERY REBIND REPORT "
    b"SEARCH UNBIND UNCHECKOUT UNLINK UNLOCK UPDATE UPDATEREDIRECTREF VERSION-CONTROL".split()
)
"""IANA's registry of HTTP methods, and PURGE, which caches know."""


class RequestLine:
    """A request line as read. text: as it is sent on, in HTTP/1.1. refusal: why it can't be.

    special: not what most are, a method of no special meaning and a path, in HTTP/1.1.
    """

    __slots__ = ("method", "minor", "refusal", "special", "target", "text")

    def __init__(self, method: bytes, target: bytes, minor: int, text: bytes) -> None:
        self.method = method
        self.target = target
        self.minor = minor
        self.text = text
        self.refusal: LocalReply | None = None
        self.special = minor == 0 or target[:1] != b"/" or method in SPECIAL_METHODS


class RequestParser:
    """Reads the heads of requests. reader: what the fields mean. upgrades: see check_request."""

    __slots__ = ("_reader", "_request_lines", "_upgrades")

    def __init__(self, reader: FieldReader, upgrades: frozenset[bytes] = WEBSOCKET_ONLY) -> None:
        self._reader = reader
        self._upgrades = upgrades
        self._request_lines: dict[bytes, RequestLine] = {}

    def head(self, text: bytes) -> RequestHead:  # noqa: C901, PLR0912, PLR0915 - one loop, which every request runs
        """A whole head. Malformed if it is none; its `refusal` says what else is wrong."""
        lines = text.split(b"\r\n")
        first = lines.pop(0)
        if len(lines) > MAX_FIELDS:
            raise Malformed(HEAD_TOO_LARGE)
        request_line = self._request_lines.get(first)
        if request_line is None:
            request_line = self._remembered(first)
        head = RequestHead()
        head.line = request_line.text
        head.method = request_line.method
        head.target = request_line.target
        head.special = head.told = head.has_body = False
        head.keep_alive = True
        head.hosts = 0
        head.tenant = None
        head.content_length = -1
        if request_line.special:
            head.special = True
            head.minor = request_line.minor
            head.refusal = request_line.refusal
        reader = self._reader
        passed_on: list[bytes] = []
        head.lines = passed_on
        plain, special = reader.plain, reader.special
        for line in lines:
            if line in plain:
                passed_on.append(line)
                continue
            field = special.get(line)
            if field is None:
                field = reader.read(line)
            kind = field.kind
            if kind == TENANT and head.tenant is None:
                head.tenant = field.value
            elif kind == HOST:
                if head.hosts != 0 or field.number == 0:
                    _refuse(head, BAD_HOST)
                head.hosts += 1
                head.host = field.value
                head.host_lines = field.text
            elif kind == PLAIN:
                passed_on.append(field.text)
            elif kind == CONNECTION and field.number == 1 and head.options is None:
                head.options = field.options  # what HTTP/1.1 does anyway
            else:
                _take(head, field)
        if head.special or head.hosts != 1:
            head.special = True
            check_request(head, self._upgrades)
        elif head.content_length > 0:
            head.has_body = True
        return head

    def _remembered(self, line: bytes) -> RequestLine:
        """Read it; remember it unless it is long or has a query, where secrets are put."""
        request_line = read_request_line(line)
        if len(line) <= MAX_REMEMBERED_BYTES and b"?" not in line:
            if len(self._request_lines) >= MAX_REMEMBERED:
                self._request_lines.clear()
            self._request_lines[line] = request_line
        return request_line


def check_part(text: bytes, start: int) -> None:
    """What is there, from `start` on, of a head that isn't complete.

    Malformed if no rest can mend it.
    """
    if _LONE_LINE_END.search(text, start) is not None:
        raise Malformed(BAD_REQUEST, "a line end that is not CRLF")


def check_first(text: bytes) -> None:
    """The first line of a head that isn't complete, or the start of it. Malformed."""
    line, ended, _ = text.partition(b"\r\n")
    if ended:
        read_request_line(line)
    elif text and text != b"\r" and not is_token(text[:1]):
        raise Malformed(BAD_REQUEST, "a request line out of form")


def read_request_line(line: bytes) -> RequestLine:
    """RFC 9112 §3: method SP target SP version. Malformed."""
    parts = line.split(b" ")
    if len(parts) != 3:
        raise Malformed(BAD_REQUEST, "a request line out of form")
    method, target, version = parts
    request_line = RequestLine(method, target, 1, line)
    if version != b"HTTP/1.1":
        _old_version(version)
        request_line.minor = 0
        request_line.special = True
        request_line.text = b"%b %b HTTP/1.1" % (method, target)
    if method not in METHODS:
        if not is_token(method):
            raise Malformed(BAD_REQUEST, "the method is no token")
        request_line.refusal = UNKNOWN_METHOD
        request_line.special = True
    text = target.decode("latin-1")
    if not (text.isascii() and text.isprintable()) or not target or b"#" in target:
        raise Malformed(BAD_REQUEST, "the request target can't be read")
    return request_line


def _old_version(version: bytes) -> None:
    """Nothing if it is HTTP/1.0, else Malformed."""
    found = _VERSION.fullmatch(version)
    if found is None or found[1] == b"0":
        raise Malformed(BAD_REQUEST, "the protocol version can't be read")
    if found[1] != b"1":
        raise Malformed(VERSION_REFUSED)
    if version != b"HTTP/1.0":
        raise Malformed(BAD_REQUEST, "a protocol version other than 1.0 and 1.1")


def _take(head: RequestHead, field: Field) -> None:
    """A field that the proxy reads itself, but for those that nearly every request has."""
    kind, value = field.kind, field.value
    if kind == CONTENT_LENGTH:
        if field.number < 0 or head.content_length not in {-1, field.number}:
            _refuse(head, BAD_FRAMING)
        head.content_length = field.number
        head.length_line = field.text
    elif kind == CONNECTION:
        head.special = True
        head.options = field.options if head.options is None else head.options | field.options
    elif kind == SECRET:
        head.lines.append(field.text)
    elif kind == fields.AUTHORIZATION:
        _once(head, head.authorization)
        head.authorization = value
        head.lines.append(field.text)
    elif kind == TRANSFER_ENCODING:
        head.special = True
        head.transfer_encoding = _joined(head.transfer_encoding, value)
    else:
        _take_rare(head, field)


def _take_rare(head: RequestHead, field: Field) -> None:
    kind, value = field.kind, field.value
    if kind == TENANT:
        _once(head, head.tenant)
    elif kind == fields.REQUEST_ID:
        _once(head, head.request_id)
        head.told = True
        head.request_id = value
    elif kind == UPGRADE:
        head.special = True
        head.upgrade = _joined(head.upgrade, value)
    elif kind == fields.EXPECT:
        head.special = True
        head.expect = _joined(head.expect, value)
    elif kind == fields.FORWARDED_FOR:
        head.told = True
        head.forwarded_for = _joined(head.forwarded_for, value)
    elif kind == fields.FORWARDED:
        head.told = True
        if head.forwarded is None:
            head.forwarded = []
        head.forwarded.append(field.text)
    else:
        _take_observed(head, field)


def _take_observed(head: RequestHead, field: Field) -> None:
    """What is read for the sake of traces, logs and timings."""
    kind, value = field.kind, field.value
    if kind == fields.TRACEPARENT:
        # W3C Trace Context §3.2: it stands there once, or means nothing.
        head.told = True
        head.traceparent = value if head.traceparent is None else DROPPED
    elif kind == fields.TRACESTATE:
        head.tracestate = _joined(head.tracestate, value)
    elif kind == fields.TIMING:
        head.timing = value == b"1"
    elif kind == fields.AGENT:
        head.user_agent = value
        head.lines.append(field.text)


_TWICE: Final = LocalReply(400, "bad-field", "a field that must stand once stands twice")


def _once(head: RequestHead, before: bytes | None) -> None:
    """Of two such fields a reader behind us might believe the other."""
    if before is not None:
        _refuse(head, _TWICE)


def _refuse(head: RequestHead, refusal: LocalReply) -> None:
    head.special = True
    if head.refusal is None:
        head.refusal = refusal


def _joined(before: bytes | None, value: bytes) -> bytes:
    """Several fields of one name are one list (RFC 9110 §5.3)."""
    return value if before is None else b"%b, %b" % (before, value)


class StatusLine:
    """A status line as read. text: as it is sent on, in HTTP/1.1."""

    __slots__ = ("bodiless", "minor", "special", "status", "text")

    def __init__(self, minor: int, status: int, text: bytes) -> None:
        self.bodiless = status < 200 or status in {204, 304}
        self.special = minor == 0 or not 200 <= status <= 599
        self.minor = minor
        self.status = status
        self.text = text


class ResponseParser:
    """Reads the heads of responses. reader: what the fields mean."""

    __slots__ = ("_reader", "_status_lines")

    def __init__(self, reader: FieldReader) -> None:
        self._reader = reader
        self._status_lines: dict[bytes, StatusLine] = {}

    def head(self, text: bytes) -> ResponseHead:  # noqa: C901 - see above
        """A whole head. Malformed if it is none; its `fault` says what else is wrong."""
        lines = text.split(b"\r\n")
        first = lines.pop(0)
        if len(lines) > MAX_FIELDS:
            raise Malformed(BAD_REQUEST, "too many fields")
        status_line = self._status_lines.get(first)
        if status_line is None:
            status_line = self._status_line(first)
        head = ResponseHead()
        head.line = status_line.text
        head.status = status_line.status
        head.bodiless = status_line.bodiless
        head.special = status_line.special
        head.keep_alive = True
        head.content_length = -1
        head.fault = ""
        head.keep_alive_field = None
        if status_line.special:
            head.minor = status_line.minor
        reader = self._reader
        passed_on: list[bytes] = []
        head.lines = passed_on
        plain, special = reader.plain, reader.special
        for line in lines:
            if line in plain:
                passed_on.append(line)
                continue
            field = special.get(line)
            if field is None:
                field = reader.read(line)
            kind = field.kind
            if kind == PLAIN:
                passed_on.append(field.text)
            elif kind == CONTENT_LENGTH and head.content_length == -1:
                head.content_length = field.number
                head.length_line = field.text
                if field.number < 0:
                    head.special = True
            elif kind == CONNECTION and field.number == 1 and head.options is None:
                head.options = field.options  # what HTTP/1.1 does anyway
            else:
                _take_of_response(head, field)
        if head.special:
            check_response(head)
        return head

    def _status_line(self, line: bytes) -> StatusLine:
        """RFC 9112 §4; the space after the code may be missing where there is no reason."""
        found = _STATUS_LINE.fullmatch(line)
        if found is None:
            raise Malformed(BAD_REQUEST, "a status line out of form")
        text = b"HTTP/1.1 %b %b" % (found[2], found[3] or b"")
        status_line = StatusLine(int(found[1]), int(found[2]), text)
        if len(self._status_lines) >= MAX_REMEMBERED:
            self._status_lines.clear()
        if len(line) <= MAX_REMEMBERED_BYTES:
            self._status_lines[line] = status_line
        return status_line


def _take_of_response(head: ResponseHead, field: Field) -> None:
    kind, value = field.kind, field.value
    if kind == SECRET:
        head.lines.append(field.text)
    elif kind == fields.EVENTS:
        head.events = True
        head.lines.append(field.text)
    elif kind == CONNECTION:
        head.special = True
        head.options = field.options if head.options is None else head.options | field.options
    elif kind == CONTENT_LENGTH:
        if head.content_length != field.number:
            head.fault = "two lengths that differ"
    elif kind == TRANSFER_ENCODING:
        head.special = True
        head.transfer_encoding = _joined(head.transfer_encoding, value)
    elif kind == KEEP_ALIVE:
        head.keep_alive_field = value
    elif kind == UPGRADE:
        head.special = True
        head.upgrade = _joined(head.upgrade, value)
