"""Field lines (RFC 9112 §5): which ones the proxy reads, which it drops, how the rest go on.

Rules: a line is read once. Its reading is remembered by the line's own bytes, for most lines
come again and again (HTTP/2 has its table of fields for the same reason); what is remembered is
bounded in number and in length, and never holds a credential. Hop-by-hop fields (RFC 9110
§7.6.1) and the fields that Turnout sets itself never reach a head's `lines`.
"""

import re
from collections.abc import Mapping
from typing import Final

from proxy.http1.events import is_event_stream
from proxy.http1.reply import BAD_REQUEST, LocalReply

PLAIN: Final = 0
HOST: Final = 1
CONNECTION: Final = 2
CONTENT_LENGTH: Final = 3
TRANSFER_ENCODING: Final = 4
UPGRADE: Final = 5
EXPECT: Final = 6
TENANT: Final = 7
AUTHORIZATION: Final = 8
REQUEST_ID: Final = 9
FORWARDED_FOR: Final = 10
FORWARDED: Final = 11
KEEP_ALIVE: Final = 12
DROP: Final = 13
SECRET: Final = 14
"""Goes on like PLAIN, and is not remembered."""
TRACEPARENT: Final = 15
TRACESTATE: Final = 16
TIMING: Final = 17
AGENT: Final = 18
CONTENT_TYPE: Final = 19
"""Of names only: a line is PLAIN, or EVENTS."""
EVENTS: Final = 20

MAX_FIELDS: Final = 100
MAX_REMEMBERED: Final = 4096
MAX_REMEMBERED_BYTES: Final = 256
_MAX_LENGTH_DIGITS: Final = 18
_SPACE: Final = 0x20

TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_TOKEN = re.compile(TOKEN)
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_HOST = re.compile(
    rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{0,5})?"
)
_MAX_HOST: Final = 260
_KEEP_ALIVE: Final = frozenset({b"keep-alive"})
_NOT_REMEMBERED: Final = frozenset({AUTHORIZATION, REQUEST_ID, SECRET, TRACEPARENT, TRACESTATE})

_HOP_BY_HOP: Final[Mapping[bytes, int]] = {
    b"connection": CONNECTION,
    b"content-length": CONTENT_LENGTH,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"upgrade": UPGRADE,
    b"keep-alive": KEEP_ALIVE,
    b"proxy-connection": DROP,
    b"proxy-authenticate": DROP,
    b"proxy-authorization": DROP,
    b"proxy-authentication-info": DROP,
    b"te": DROP,
    b"trailer": DROP,
    b"http2-settings": DROP,
    b"x-turnout-slot": DROP,
}
_OF_REQUESTS: Final[Mapping[bytes, int]] = {
    b"host": HOST,
    b"expect": EXPECT,
    b"authorization": AUTHORIZATION,
    b"cookie": SECRET,
    b"x-request-id": REQUEST_ID,
    b"x-forwarded-for": FORWARDED_FOR,
    b"x-forwarded-proto": FORWARDED,
    b"x-forwarded-host": FORWARDED,
    b"x-forwarded-port": FORWARDED,
    b"x-real-ip": FORWARDED,
    b"forwarded": FORWARDED,
}
_NONE: Final[Mapping[bytes, int]] = {}
_OF_RESPONSES: Final[Mapping[bytes, int]] = {
    b"x-request-id": DROP,
    b"set-cookie": SECRET,
    b"content-type": CONTENT_TYPE,
}


class Malformed(Exception):  # noqa: N818 - what the message is, as in h11's LocalProtocolError
    """The message can't be read in the strict reading. reply: what its sender gets."""

    def __init__(self, reply: LocalReply, reason: str = "") -> None:
        super().__init__(reason or reply.detail)
        self.reply = reply


class Field:
    """One field line as read.

    kind: what the proxy does with it. value: without white space around it. text: the line as it
    goes on (of Host: with X-Forwarded-Host after it;
    of Content-Length: in its canonical form). number: of Content-Length, -2 if it is
    none; of Host 1 if it is valid, else 0; of Connection 1 if it says keep-alive and nothing
    else. options: of Connection, lower case.
    """

    __slots__ = ("kind", "number", "options", "text", "value")

    def __init__(self, kind: int, text: bytes, value: bytes) -> None:
        self.kind = kind
        self.text = text
        self.value = value
        self.number = 0
        self.options: frozenset[bytes] = frozenset()
        if kind == CONTENT_LENGTH:
            self.number = content_length(value)
            self.text = b"Content-Length: %d" % self.number
        elif kind == HOST:
            self.number = int(is_host(value))
            self.text = host_lines(value)
        elif kind == CONNECTION:
            self.options = connection_options(value)
            self.number = int(self.options == _KEEP_ALIVE)
        elif kind == CONTENT_TYPE:
            self.kind = EVENTS if is_event_stream(value) else PLAIN


class FieldReader:
    """Reads the field lines of all messages of one kind.

    plain: lines that go on as they came. special: line → Field, for the others. Who reads a head
    looks into these two first, and calls `read` for a line that is in neither.
    """

    def __init__(self, kinds: Mapping[bytes, int]) -> None:
        self.plain: set[bytes] = set()
        self.special: dict[bytes, Field] = {}
        self._kinds = dict(kinds)
        self._names: dict[bytes, int] = {}

    def read(self, line: bytes) -> Field:
        """One line without its line end. Malformed if it is no field line."""
        name, colon, rest = line.partition(b":")
        kind = self._names.get(name, -1)
        if kind < 0:
            kind = self._new_name(name)
        # Most values are printable ASCII, which is told faster than by the pattern.
        if not colon or not (rest.decode("latin-1").isprintable() or is_value(rest)):
            raise Malformed(BAD_REQUEST, "a field line out of form")
        value = rest.strip(b" \t")
        canonical = len(rest) == len(value) + 1 and rest[0] == _SPACE
        field = Field(kind, line if canonical else b"%b: %b" % (name, value), value)
        if len(line) <= MAX_REMEMBERED_BYTES and kind not in _NOT_REMEMBERED:
            self._remember(line, field)
        return field

    def _new_name(self, name: bytes) -> int:
        """What is done with fields of this name, as it is spelt. Malformed if it is no token."""
        if _TOKEN.fullmatch(name) is None:
            raise Malformed(BAD_REQUEST, "a field line out of form")
        kind = self.kind(name)
        if len(name) <= MAX_REMEMBERED_BYTES:
            if len(self._names) >= MAX_REMEMBERED:
                self._names.clear()
            self._names[name] = kind
        return kind

    def _remember(self, line: bytes, field: Field) -> None:
        if len(self.plain) + len(self.special) >= MAX_REMEMBERED:
            # Lines that come only once must not keep others from being remembered.
            self.plain.clear()
            self.special.clear()
        if field.kind == PLAIN and field.text == line:
            self.plain.add(line)
        else:
            self.special[line] = field

    def kind(self, name: bytes) -> int:
        """What is done with fields of this name.

        `X_Tenant_ID` is read as X-Tenant-ID by CGI-like servers: such aliases are dropped.
        """
        lower = name.lower()
        dashed = lower.replace(b"_", b"-")
        kind = self._kinds.get(dashed, PLAIN)
        if kind == CONTENT_TYPE:
            return kind if dashed == lower else PLAIN
        if kind == PLAIN and dashed.startswith(b"x-forwarded-"):
            kind = self._kinds.get(b"x-forwarded-proto", PLAIN)
        return DROP if kind != PLAIN and dashed != lower else kind


def request_fields(
    tenant_header: str,
    own_header: str = "x-client-cert-subject",
    more: Mapping[bytes, int] = _NONE,
) -> FieldReader:
    """The fields of requests. tenant_header: the name of the header that names the tenant.

    own_header: one more that only Turnout sets. more: name, lower case → kind, of those that the
    settings make special.
    """
    own = {own_header.lower().encode(): DROP, tenant_header.lower().encode(): TENANT}
    return FieldReader({**_HOP_BY_HOP, **more, **_OF_REQUESTS, **own})


def response_fields() -> FieldReader:
    """The fields of responses."""
    return FieldReader({**_HOP_BY_HOP, **_OF_RESPONSES})


def is_token(text: bytes) -> bool:
    """Whether it is a token (RFC 9110 §5.6.2)."""
    return _TOKEN.fullmatch(text) is not None


def is_value(text: bytes) -> bool:
    """Whether it is a field's value, white space around it included (RFC 9110 §5.5)."""
    return _VALUE.fullmatch(text) is not None


def content_length(value: bytes) -> int:
    """A Content-Length's value, -2 if it is not 1 to 18 digits."""
    return int(value) if value.isdigit() and len(value) <= _MAX_LENGTH_DIGITS else -2


def is_host(host: bytes) -> bool:
    """RFC 3986 §3.2.2: a name or address with an optional port; empty only where it is absent."""
    return len(host) <= _MAX_HOST and _HOST.fullmatch(host) is not None


def host_lines(host: bytes) -> bytes:
    """Host and X-Forwarded-Host as they are sent on."""
    return b"Host: %b\r\nX-Forwarded-Host: %b" % (host, host)


def connection_options(value: bytes) -> frozenset[bytes]:
    """The options of a Connection field, lower case (RFC 9110 §7.6.1)."""
    options = [token.strip(b" \t") for token in value.lower().split(b",")]
    return frozenset(option for option in options if option)


def without(lines: list[bytes], named: frozenset[bytes]) -> list[bytes]:
    """The lines but for those with these names, lower case."""
    return [line for line in lines if line[: line.index(b":")].lower() not in named]
