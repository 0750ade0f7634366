"""Heads as they are sent on: rebuilt from what was parsed, never copied.

Rule: hop-by-hop fields and the fields that Turnout sets itself never got into `lines`; what is
said here of framing and of the connection is true of the next hop, not of the last.
"""

from typing import Final

from proxy.http1.framing import response_has_body
from proxy.http1.head import RequestHead, ResponseHead

CHUNKED_LINE: Final = b"Transfer-Encoding: chunked\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"

# How the end of an answer's body is told to the client (RFC 9112 §6.3).
BY_LENGTH: Final = 0
BY_CHUNKS: Final = 1
BY_CLOSE: Final = 2
WITHOUT_BODY: Final = 3


def request(head: RequestHead, own_lines: bytes, request_id: bytes) -> bytes:
    """A request's head for the endpoint. own_lines: the tenant's and the forwarded fields."""
    parts = [head.method, b" ", head.target, b" HTTP/1.1\r\nHost: ", head.host, b"\r\n"]
    parts += head.lines
    parts += (own_lines, b"X-Request-ID: ", request_id, b"\r\nVia: 1.1 turnout\r\n")
    if head.chunked:
        parts.append(CHUNKED_LINE)
    elif head.content_length >= 0:
        parts.append(b"Content-Length: %d\r\n" % head.content_length)
    if head.upgrade is not None:
        parts.append(b"Connection: Upgrade\r\nUpgrade: %b\r\n" % head.upgrade)
    if head.expect is not None:
        parts.append(b"Expect: 100-continue\r\n")
    parts.append(b"\r\n")
    return b"".join(parts)


def forwarded_lines(head: RequestHead, peer: bytes, peer_lines: bytes, *, believed: bool) -> bytes:
    """The X-Forwarded fields: a believed peer's account with the peer added (RFC 7239 §5.2).

    peer: its address. peer_lines: what we say of it ourselves.
    """
    if not believed or (head.forwarded_for is None and not head.forwarded):
        return b"%bX-Forwarded-Host: %b\r\n" % (peer_lines, head.host)
    before = head.forwarded_for
    chain = peer if before is None else before + b", " + peer
    given = {line[: line.index(b":")].lower() for line in head.forwarded}
    lines = [b"X-Forwarded-For: %b\r\n" % chain, *head.forwarded]
    if b"x-forwarded-proto" not in given:
        lines.append(b"X-Forwarded-Proto: http\r\n")
    if b"x-forwarded-host" not in given:
        lines.append(b"X-Forwarded-Host: %b\r\n" % head.host)
    return b"".join(lines)


def body_end(asked: RequestHead, head: ResponseHead) -> int:
    """How this client is told where this answer's body ends: one of the constants above."""
    if head.content_length >= 0:
        return BY_LENGTH
    if not response_has_body(asked.method, head):
        return WITHOUT_BODY
    return BY_CHUNKS if asked.minor == 1 else BY_CLOSE


def response(
    asked: RequestHead, head: ResponseHead, own_lines: bytes, end: int, *, keep_alive: bool
) -> list[bytes]:
    """An answer's head for the client, in pieces. own_lines: the slot's and the request id's."""
    parts = [b"HTTP/1.1 %d %b\r\n" % (head.status, head.reason)]
    parts += head.lines
    parts.append(own_lines)
    if end == BY_LENGTH:
        parts.append(b"Content-Length: %d\r\n" % head.content_length)
    elif end == BY_CHUNKS or (end == WITHOUT_BODY and head.chunked):
        parts.append(CHUNKED_LINE)
    if head.status == 426 and head.upgrade is not None:
        parts.append(b"Upgrade: %b\r\n" % head.upgrade)  # RFC 9110 §15.5.22 requires it
    if not keep_alive:
        parts.append(b"Connection: close\r\n\r\n")
    elif asked.minor == 0:
        parts.append(b"Connection: keep-alive\r\n\r\n")
    else:
        parts.append(b"\r\n")
    return parts
