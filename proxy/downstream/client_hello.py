"""The server name that a TLS client asks for, read from its ClientHello and not answered.

RFC 8446 §4.1.2, §5.1 and RFC 6066 §3 in the strict reading: what two readers could take
differently is refused. Nothing is decrypted; the bytes go on as they came.
"""

import re
from typing import Final

MAX_BYTES: Final = 16 * 1024
"""Of a ClientHello with its record headers. Those of today's browsers take about 2 KB."""
_MAX_RECORD: Final = 16 * 1024
_MAX_RECORDS: Final = 16  # it is read anew with each piece that comes
_RECORD_HEAD: Final = 5
_HANDSHAKE: Final = 22
_CLIENT_HELLO: Final = 1
_SERVER_NAME: Final = 0
_HOST_NAME: Final = 0
_NAME = re.compile(rb"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?")


class IncompleteError(Exception):
    """More has to come."""


class HelloError(Exception):
    """These bytes begin no TLS, or no ClientHello that can be read."""


class _Cursor:
    """Reads a structure whose end is known. HelloError: it ends too soon."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def ends(self) -> bool:
        return self._at == len(self._data)

    def take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        if len(taken) < size:
            raise HelloError("a field reaches beyond its structure")
        self._at += size
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, length_size: int) -> bytes:
        return self.take(self.number(length_size))


def server_name(data: bytes) -> str | None:
    """The name in lower case without a last dot; None if the client names none.

    data: all that has come so far. IncompleteError: ask again with more. HelloError: see there.
    """
    hello = _Cursor(_hello(data))
    hello.take(2 + 32)  # legacy_version, random
    hello.vector(1)  # legacy_session_id
    hello.vector(2)  # cipher_suites
    hello.vector(1)  # legacy_compression_methods
    if hello.ends():
        return None
    extensions = _Cursor(hello.vector(2))
    if not hello.ends():
        raise HelloError("bytes after the extensions")
    found: str | None = None
    while not extensions.ends():
        kind, body = extensions.number(2), extensions.vector(2)
        if kind == _SERVER_NAME:
            if found is not None:
                raise HelloError("two server_name extensions")
            found = _name(body)
    return found


def _name(body: bytes) -> str:
    """RFC 6066 §3: a list, of which only host_name is known, and that once."""
    extension = _Cursor(body)
    names = _Cursor(extension.vector(2))
    kind, name = names.number(1), names.vector(2)
    if kind != _HOST_NAME or not names.ends() or not extension.ends():
        raise HelloError("a server_name that isn't one host name")
    if _NAME.fullmatch(name) is None:
        raise HelloError("a server name that is none")
    return name.decode("ascii").lower().removesuffix(".")


def _hello(data: bytes) -> bytes:
    """The ClientHello's body, joined from its records."""
    joined = b""
    at = 0
    for _ in range(_MAX_RECORDS):
        head = data[at : at + _RECORD_HEAD]
        _check_record(head)
        if len(head) < _RECORD_HEAD:
            break
        at += _RECORD_HEAD
        size = int.from_bytes(head[3:], "big")
        joined += data[at : at + size]
        at += size
        end = _end(joined)
        if 0 < end <= len(joined):
            return joined[4:end]
        if at > len(data):
            break
    else:
        raise HelloError("a ClientHello in too many records")
    if len(data) >= MAX_BYTES:
        raise HelloError("a ClientHello over the limit")
    raise IncompleteError


def _check_record(head: bytes) -> None:
    """RFC 8446 §5.1, as far as the record's header has come."""
    if head[:1] not in {b"", bytes((_HANDSHAKE,))} or head[1:2] not in {b"", b"\x03"}:
        raise HelloError("no TLS handshake")
    if len(head) == _RECORD_HEAD and not 0 < int.from_bytes(head[3:], "big") <= _MAX_RECORD:
        raise HelloError("a record of a length that can't be")


def _end(joined: bytes) -> int:
    """Where the message that begins here ends (RFC 8446 §4); 0 while that isn't known."""
    if joined and joined[0] != _CLIENT_HELLO:
        raise HelloError("no ClientHello")
    end = 4 + int.from_bytes(joined[1:4], "big") if len(joined) >= 4 else 0
    if end > MAX_BYTES:
        raise HelloError("a ClientHello over the limit")
    return end
