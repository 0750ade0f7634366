"""An own strict reading of RFC 9112: what came over a wire, as messages.

It is the judge, so it repairs nothing: what two readers could take differently is a fault.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(rb"(%b) ([!-~]+) HTTP/(1\.[01])" % _TOKEN)
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9]) [\t -~\x80-\xff]*")
_BARE_STATUS_LINE = len("HTTP/1.1 200")
_FIELD = re.compile(
    rb"(%b):[ \t]*((?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?)[ \t]*" % _TOKEN
)
_EXTENSION = rb"[ \t]*;[ \t]*%b(?:=(?:%b|\"[\t !#-\[\]-~]*\"))?" % (_TOKEN, _TOKEN)
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})((?:%b)*)" % _EXTENSION)
_LENGTH = re.compile(rb"[0-9]{1,18}")

Fields = tuple[tuple[bytes, bytes], ...]


class UnreadableError(ValueError):
    """These bytes are not a message; the text says why."""


@dataclass(frozen=True, slots=True)
class Message:
    """A request or an answer. line: its first line. whole: whether its body came to its end."""

    line: bytes
    fields: Fields
    body: bytes = b""
    whole: bool = True
    trailers: Fields = ()

    @property
    def method(self) -> bytes:
        """Of a request."""
        return self.line.split(b" ")[0]

    @property
    def target(self) -> bytes:
        """Of a request."""
        return self.line.split(b" ")[1]

    @property
    def status(self) -> int:
        """Of an answer."""
        return int(self.line[9:12])

    def all(self, name: str) -> list[bytes]:
        """The values of a field, in order."""
        wanted = name.lower().encode()
        return [value for key, value in self.fields if key.lower() == wanted]

    @property
    def closes(self) -> bool:
        """Whether it says that the connection ends after it (RFC 9112 §9.3)."""
        options = b",".join(self.all("Connection")).lower()
        if b"close" in options:
            return True
        old = b"HTTP/1.0" in self.line
        return old and b"keep-alive" not in options


@dataclass(frozen=True, slots=True)
class Reading:
    """What a stream holds. rest: the bytes of a message that is not whole. fault: why not more."""

    messages: tuple[Message, ...]
    rest: bytes
    fault: str = ""


def read_requests(data: bytes, *, repairs: bool = False) -> Reading:
    """All requests of a stream.

    repairs: allow what a recipient may repair: empty lines before a request (RFC 9112 §2.2),
    and one Content-Length said twice (RFC 9110 §8.6).
    """
    messages: list[Message] = []
    rest = data
    try:
        while rest := _from_line(rest) if repairs else rest:
            taken = _take(rest, None, ended=False, repairs=repairs)
            if taken is None:
                break
            messages.append(taken[0])
            rest = taken[1]
    except UnreadableError as error:
        return Reading(tuple(messages), rest, str(error))
    return Reading(tuple(messages), rest)


def _from_line(data: bytes) -> bytes:
    while data.startswith(b"\r\n"):
        data = data[2:]
    return data


def read_answers(
    data: bytes,
    methods: Sequence[bytes],
    *,
    ended: bool,
    reset: bool = False,
    repairs: bool = False,
) -> Reading:
    """All answers of a stream, interim ones included.

    methods: of the requests answered, the last one for all that follow. ended: the connection
    has ended, so that a body may have ended with it, or have been cut short. reset: and not by
    an end of file, so that nothing ended with it. repairs: as for requests, and a status line
    may end without the space before its empty reason.
    """
    messages: list[Message] = []
    rest, finals = data, 0
    try:
        while rest:
            method = methods[min(finals, len(methods) - 1)]
            taken = _take(rest, method, ended=ended, repairs=repairs)
            if taken is None:
                break
            messages.append(taken[0])
            rest = taken[1]
            finals += messages[-1].status >= 200
            if reset and _ends_with_connection(messages[-1]):
                messages[-1] = replace(messages[-1], whole=False)
            if messages[-1].status == 101:
                break
    except UnreadableError as error:
        return Reading(tuple(messages), rest, str(error))
    return Reading(tuple(messages), rest)


def _ends_with_connection(answer: Message) -> bool:
    """Whether nothing but the end of the connection ends its body."""
    framed = answer.all("Content-Length") or answer.all("Transfer-Encoding")
    return answer.status >= 200 and answer.status not in {204, 304} and not framed


def head_of(data: bytes) -> Message | None:
    """The head that a stream of requests begins with, None while it is not whole."""
    head, found, _ = data.partition(b"\r\n\r\n")
    if not found:
        return None
    line, fields = _head(head)
    if _REQUEST_LINE.fullmatch(line) is None:
        raise UnreadableError(f"request line {line[:60]!r}")
    return Message(line, fields, whole=False)


def _take(
    data: bytes, method: bytes | None, *, ended: bool, repairs: bool = False
) -> tuple[Message, bytes] | None:
    """The first message and what follows it; None if it is not whole. method: None = a request."""
    head, found, rest = data.partition(b"\r\n\r\n")
    if not found:
        _check_beginning(data)
        return None
    line, fields = _head(head)
    grammar = _REQUEST_LINE if method is None else _STATUS_LINE
    if repairs and method is not None and len(line) == _BARE_STATUS_LINE:
        line += b" "
    if grammar.fullmatch(line) is None:
        raise UnreadableError(f"first line {line[:60]!r}")
    message = Message(line, fields)
    if method is None:
        _check_host(message)
    length, chunked = _framing(message, repairs=repairs)
    if (method is None and length is None and not chunked) or _is_bodiless(message, method):
        return message, rest
    if chunked:
        return _chunked(message, rest, ended=ended)
    if length is not None and len(rest) >= length:
        return replace(message, body=rest[:length]), rest[length:]
    # An answer without a length lasts as long as the connection.
    return (replace(message, body=rest, whole=length is None), b"") if ended else None


def _is_bodiless(message: Message, method: bytes | None) -> bool:
    """RFC 9112 §6.3 rules 1 and 2."""
    if method is None:
        return False
    return method == b"HEAD" or message.status < 200 or message.status in {204, 304}


def _check_beginning(data: bytes) -> None:
    if data[:1] in {b"\r", b"\n", b" ", b"\t"}:
        raise UnreadableError("white space before the first line")


def _head(head: bytes) -> tuple[bytes, Fields]:
    line, *field_lines = head.split(b"\r\n")
    return line, _fields(field_lines)


def _fields(lines: Sequence[bytes]) -> Fields:
    fields = []
    for line in lines:
        match = _FIELD.fullmatch(line)
        if match is None:
            raise UnreadableError(f"field line {line[:60]!r}")
        fields.append((match[1], match[2]))
    return tuple(fields)


def _check_host(message: Message) -> None:
    hosts = message.all("Host")
    if len(hosts) > 1 or (not hosts and not message.line.endswith(b"1.0")):
        raise UnreadableError(f"{len(hosts)} Host fields")


def _framing(message: Message, *, repairs: bool) -> tuple[int | None, bool]:
    """Content-Length, and whether the body is chunked (RFC 9112 §6.3)."""
    lengths, codings = message.all("Content-Length"), message.all("Transfer-Encoding")
    if repairs and len({each.lstrip(b"0") for each in lengths}) == 1:
        lengths = lengths[:1]
    if len(lengths) + len(codings) > 1:
        raise UnreadableError("two fields give the length of the body")
    if codings:
        if codings[0].lower() != b"chunked" or b"HTTP/1.0" in message.line:
            raise UnreadableError(f"Transfer-Encoding {codings[0][:40]!r}")
        return None, True
    if lengths and _LENGTH.fullmatch(lengths[0]) is None:
        raise UnreadableError(f"Content-Length {lengths[0][:40]!r}")
    return (int(lengths[0]) if lengths else None), False


def _chunked(message: Message, rest: bytes, *, ended: bool) -> tuple[Message, bytes] | None:
    body: list[bytes] = []
    while True:
        line, found, after = rest.partition(b"\r\n")
        if not found:
            break
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            raise UnreadableError(f"chunk size {line[:40]!r}")
        size = int(match[1], 16)
        if size == 0:
            return _trailed(message, b"".join(body), after, ended=ended)
        if len(after) < size + 2:
            body.append(after[:size])
            break
        if after[size : size + 2] != b"\r\n":
            raise UnreadableError("a chunk that does not end where it says")
        body.append(after[:size])
        rest = after[size + 2 :]
    broken = Message(message.line, message.fields, b"".join(body), whole=False)
    return (broken, b"") if ended else None


def _trailed(
    message: Message, body: bytes, rest: bytes, *, ended: bool
) -> tuple[Message, bytes] | None:
    """The message, when the empty line after its last chunk and its trailers is here."""
    if rest.startswith(b"\r\n"):
        return Message(message.line, message.fields, body), rest[2:]
    section, found, after = rest.partition(b"\r\n\r\n")
    if found:
        trailers = _fields(section.split(b"\r\n"))
        return Message(message.line, message.fields, body, trailers=trailers), after
    return (Message(message.line, message.fields, body, whole=False), b"") if ended else None
