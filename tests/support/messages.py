"""What came over a wire, read by an own strict reading of RFC 9112: not the one under test."""

import re
from dataclasses import dataclass

_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ([^\r\n\0]*)")
_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) [^\r\n]*")
_REQUEST_LINE = re.compile(rb"[A-Z]+ [!-~]+ HTTP/1\.1")
_CHUNK_SIZE = re.compile(rb"[0-9a-f]{1,16}")


@dataclass(frozen=True)
class Message:
    """A request or a response. chunks: the sizes of its chunks, None if it was not chunked."""

    line: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes
    chunks: tuple[int, ...] | None

    @property
    def status(self) -> int:
        return int(self.line.split(b" ", 2)[1])

    @property
    def method(self) -> bytes:
        return self.line.split(b" ", 1)[0]

    @property
    def target(self) -> bytes:
        return self.line.split(b" ")[1]

    def all(self, name: str) -> list[bytes]:
        """The values of a field, in order."""
        wanted = name.lower().encode()
        return [value for key, value in self.fields if key.lower() == wanted]

    def __contains__(self, name: str) -> bool:
        return bool(self.all(name))

    def __getitem__(self, name: str) -> bytes:
        values = self.all(name)
        assert len(values) == 1, f"{name} stands {len(values)} times in {self.fields}"
        return values[0]


def ask(*fields: bytes, method: bytes = b"GET", target: bytes = b"/", host: bytes = b"h") -> bytes:
    """A request's head by one valid Host and these field lines."""
    lines = [method + b" " + target + b" HTTP/1.1", b"Host: " + host, *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def post(body: bytes, *fields: bytes, target: bytes = b"/") -> bytes:
    """A POST with its body's length."""
    return ask(b"Content-Length: %d" % len(body), *fields, method=b"POST", target=target) + body


def chunked(*chunks: bytes) -> bytes:
    """A chunked body, with its last chunk."""
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


def take_message(buffer: bytearray, method: bytes, *, until_close: bool = False) -> Message | None:
    """Take one message from the buffer's beginning; None if it is not whole.

    method: of the request that a response answers; empty for a request. until_close: the
    connection has ended, so a response may have ended with it.
    """
    head, found, rest = bytes(buffer).partition(b"\r\n\r\n")
    if not found:
        return None
    line, fields = _head(head)
    grammar = _STATUS_LINE if method else _REQUEST_LINE
    assert grammar.fullmatch(line), line
    lengths = [value for name, value in fields if name.lower() == b"content-length"]
    codings = [value for name, value in fields if name.lower() == b"transfer-encoding"]
    assert len(lengths) + len(codings) <= 1, fields
    if method and _has_no_body(method, int(line[9:12])):
        taken = Message(line, fields, b"", None)
    elif codings:
        assert codings == [b"chunked"]
        body = _chunks(rest)
        if body is None:
            return None
        chunks, rest = body
        taken = Message(line, fields, b"".join(chunks), tuple(map(len, chunks)))
    elif lengths:
        length = int(lengths[0])
        if len(rest) < length:
            return None
        taken = Message(line, fields, rest[:length], None)
        rest = rest[length:]
    elif method:
        if not until_close:
            return None
        taken = Message(line, fields, rest, None)
        rest = b""
    else:
        taken = Message(line, fields, b"", None)
    buffer[:] = rest
    return taken


def _has_no_body(method: bytes, status: int) -> bool:
    return method == b"HEAD" or status < 200 or status in {204, 304}


def _head(head: bytes) -> tuple[bytes, tuple[tuple[bytes, bytes], ...]]:
    line, *field_lines = head.split(b"\r\n")
    fields = []
    for field_line in field_lines:
        match = _FIELD.fullmatch(field_line)
        assert match is not None, field_line
        fields.append((match[1], match[2]))
    return line, tuple(fields)


def _chunks(rest: bytes) -> tuple[list[bytes], bytes] | None:
    """The chunks without the last, and what follows; strictly without extensions or trailers."""
    chunks: list[bytes] = []
    while True:
        size, found, rest = rest.partition(b"\r\n")
        if not found:
            return None
        assert _CHUNK_SIZE.fullmatch(size), size
        length = int(size, 16)
        if len(rest) < length + 2:
            return None
        assert rest[length : length + 2] == b"\r\n"
        if length == 0:
            return chunks, rest[2:]
        chunks.append(rest[:length])
        rest = rest[length + 2 :]
