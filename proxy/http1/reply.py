"""The proxy's own answers: problem documents (RFC 9457), with the connection's fate in them."""

import json
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus

_REASONS = {status.value: status.phrase for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class LocalReply:
    """An answer that no endpoint gave.

    code: a stable word for machines. retry_after_s: 0 = none. allow: the methods to name.
    """

    status: int
    code: str = ""
    detail: str = ""
    retry_after_s: int = 0
    allow: str = ""


_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
OPTIONS = LocalReply(
    204, allow=_METHODS
)  # RFC 9110 §9.3.7: `OPTIONS *` asks about the proxy itself
METHOD_REFUSED = LocalReply(
    405, "method-refused", "CONNECT and TRACE are not served here", allow=_METHODS
)
UNKNOWN_METHOD = LocalReply(501, "unknown-method", "no such method is known here")
VERSION_REFUSED = LocalReply(505, "version-refused", "only HTTP/1.1 and HTTP/1.0 are spoken here")
NO_TABLE = LocalReply(503, "no-routing-table", "no routing table has been loaded yet", 1)
NO_ENDPOINT = LocalReply(503, "no-endpoint", "the slot has no endpoint", 1)
NONE_HEALTHY = LocalReply(503, "none-healthy", "no endpoint of the slot is healthy", 1)
ALL_BUSY = LocalReply(503, "all-busy", "every connection to the slot is in use", 1)
QUEUE_TIMEOUT = LocalReply(503, "queue-timeout", "the slot was busy for too long", 1)
TENANT_BUSY = LocalReply(503, "tenant-busy", "the tenant has too many requests under way", 1)
CONNECT_FAILED = LocalReply(502, "connect-failed", "the endpoint can't be reached")
BAD_ANSWER = LocalReply(502, "bad-answer", "the endpoint's answer can't be passed on")
NO_ANSWER = LocalReply(502, "no-answer", "the endpoint closed the connection without an answer")
ANSWER_TIMEOUT = LocalReply(504, "answer-timeout", "the endpoint did not answer in time")
BAD_REQUEST = LocalReply(400, "bad-request", "the request can't be read as HTTP/1.1")
HEAD_TOO_LARGE = LocalReply(431, "head-too-large", "the request head is over the limit")
LINE_TOO_LONG = LocalReply(414, "target-too-long", "the request line is over the limit")
BODY_TOO_LARGE = LocalReply(413, "body-too-large", "the request body is over the limit")
CHUNK_OVERHEAD = LocalReply(
    400, "chunk-overhead", "the chunk extensions and trailers are over the limit"
)
MISDIRECTED = LocalReply(
    421, "misdirected", "this connection was made to another host, by another certificate"
)
HEAD_TIMEOUT = LocalReply(408, "head-timeout", "the request head did not arrive in time")
BODY_TIMEOUT = LocalReply(408, "body-timeout", "the request body stopped arriving")


def render(reply: LocalReply, request_id: bytes, *, keep_alive: bool, body: bool = True) -> bytes:
    """The whole answer. body=False for HEAD: the fields as for GET, and nothing after them."""
    head, document = _parts(reply)
    fate = b"" if keep_alive else b"Connection: close\r\n"
    return b"%bX-Request-ID: %b\r\n%b\r\n%b" % (head, request_id, fate, document if body else b"")


@lru_cache(maxsize=256)
def _parts(reply: LocalReply) -> tuple[bytes, bytes]:
    title = _REASONS.get(reply.status, "Error")
    head = f"HTTP/1.1 {reply.status} {title}\r\n"
    if reply.retry_after_s:
        head += f"Retry-After: {reply.retry_after_s}\r\n"
    if reply.allow:
        head += f"Allow: {reply.allow}\r\n"
    if reply.status == 401:  # RFC 9110 §15.5.2, RFC 6750 §3
        error = ' error="invalid_token"' if reply.code == "bad-token" else ""
        head += f"WWW-Authenticate: Bearer{error}\r\n"
    if not reply.code:
        return head.encode(), b""
    problem = {
        "type": "about:blank",
        "title": title,
        "status": reply.status,
        "code": reply.code,
        "detail": reply.detail,
    }
    document = json.dumps(problem).encode() + b"\n"
    head += f"Content-Type: application/problem+json\r\nContent-Length: {len(document)}\r\n"
    return head.encode(), document
