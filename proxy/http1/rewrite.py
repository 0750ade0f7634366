"""Heads as they are sent on: rebuilt from what was parsed, never copied.

Rule: hop-by-hop fields and the fields that Turnout sets itself never got into `lines`; what is
said here of framing and of the connection is true of the next hop, not of the last.
"""

from typing import Final

from proxy.http1 import trace
from proxy.http1.head import RequestHead, ResponseHead

LAST_CHUNK: Final = b"0\r\n\r\n"
_CHUNKED_LINE: Final = b"Transfer-Encoding: chunked"

# How the end of an answer's body is told to the client (RFC 9112 §6.3).
BY_LENGTH: Final = 0
BY_CHUNKS: Final = 1
BY_CLOSE: Final = 2
WITHOUT_BODY: Final = 3


def request(head: RequestHead, parts: list[bytes]) -> bytes:
    """A request's head for the endpoint.

    parts: the request line and Turnout's own lines, to which the others are added.
    """
    parts += head.lines
    if head.content_length >= 0:
        parts.append(head.length_line)
    if head.special:
        if head.chunked:
            parts.append(_CHUNKED_LINE)
        if head.upgrade is not None:
            parts.append(b"Connection: Upgrade\r\nUpgrade: %b" % head.upgrade)
        if head.expect is not None:
            parts.append(b"Expect: 100-continue")
    parts.append(b"\r\n")
    return b"\r\n".join(parts)


def told_lines(head: RequestHead, peer: bytes, peer_lines: bytes) -> list[bytes]:
    """The request line, Host, the X-Forwarded fields and the trace, by a believed peer's account.

    The peer is added to it (RFC 7239 §5.2). peer: its address. peer_lines: what we say of it
    ourselves, where it says nothing.
    """
    told = _forwarded_lines(head, peer, peer_lines)
    return told + trace.passed_on(head.traceparent, head.tracestate)


def _forwarded_lines(head: RequestHead, peer: bytes, peer_lines: bytes) -> list[bytes]:
    before, lines = head.forwarded_for, head.forwarded
    if before is None and lines is None:
        return [head.line, head.host_lines, peer_lines]
    lines = lines or []
    chain = peer if before is None else b"%b, %b" % (before, peer)
    given = {line[: line.index(b":")].lower() for line in lines}
    own = [head.line, b"Host: %b" % head.host, b"X-Forwarded-For: %b" % chain, *lines]
    if b"x-forwarded-proto" not in given:
        own.append(peer_lines[peer_lines.index(b"\r\n") + 2 :])
    if b"x-forwarded-host" not in given:
        own.append(b"X-Forwarded-Host: %b" % head.host)
    return own


def body_end(asked: RequestHead, head: ResponseHead) -> int:
    """How this client is told where this answer's body ends: one of the constants above."""
    if head.content_length >= 0:
        # RFC 9110 §8.6: 204 has no length.
        return BY_LENGTH if head.status != 204 else WITHOUT_BODY
    if head.bodiless or asked.method == b"HEAD":
        return WITHOUT_BODY
    return BY_CHUNKS if asked.minor == 1 else BY_CLOSE


def relays_events(head: ResponseHead) -> bool:
    """Whether the body can be read as events as it goes by: not where it is compressed."""
    return head.events and not any(line[:17].lower() == b"content-encoding:" for line in head.lines)


def response(
    asked: RequestHead,
    head: ResponseHead,
    own_lines: bytes,
    end: int,
    body: bytes,
    keep_alive: bool,
) -> bytes:
    """An answer's head for the client, and what is here of its body.

    own_lines: the slot's and the request id's.
    """
    parts = [head.line]
    parts += head.lines
    parts.append(own_lines)
    if end == BY_LENGTH:
        parts.append(head.length_line)
    elif end == BY_CHUNKS or (end == WITHOUT_BODY and head.chunked and head.status != 204):
        parts.append(_CHUNKED_LINE)
    if head.status == 426 and head.upgrade is not None:
        parts.append(b"Upgrade: %b" % head.upgrade)  # RFC 9110 §15.5.22 requires it
    if not keep_alive:
        parts.append(b"Connection: close")
    elif asked.special and asked.minor == 0:
        parts.append(b"Connection: keep-alive")
    parts.append(b"")
    parts.append(body)
    return b"\r\n".join(parts)
