"""Which body follows a head, and what is refused before anything is sent on.

RFC 9112 §6.3 in the strict reading: what two readers could take differently is refused, never
repaired.
"""

import re
from typing import Final

from proxy.http1.fields import host_lines, is_host, without
from proxy.http1.head import RequestHead, ResponseHead
from proxy.http1.reply import METHOD_REFUSED, LocalReply

_SLASH: Final = 0x2F
_ABSOLUTE = re.compile(rb"https?://([^/?#@]+)(/.*|\?.*)?", re.IGNORECASE)
_REQUEST_ID = re.compile(rb"[!-~]{1,128}")
SPECIAL_METHODS: Final = frozenset({b"CONNECT", b"TRACE"})
_NO_HOST: Final = host_lines(b"")
WEBSOCKET_ONLY: Final = frozenset({b"websocket"})

BAD_HOST: Final = LocalReply(400, "bad-host", "a request names one valid host")
BAD_TARGET: Final = LocalReply(400, "bad-target", "the request target can't be read")
BAD_FRAMING: Final = LocalReply(400, "bad-framing", "the length of the body is not clear")
BAD_CODING: Final = LocalReply(
    501, "bad-transfer-coding", "only the chunked transfer coding is known"
)
BAD_EXPECT: Final = LocalReply(417, "bad-expectation", "only 100-continue can be expected")


def check_request(head: RequestHead, upgrades: frozenset[bytes] = WEBSOCKET_ONLY) -> None:
    """Complete a special head: framing, keep-alive, authority; `refusal` if it can't be served.

    upgrades: the protocols, in lower case, whose offer is passed on.
    """
    if head.transfer_encoding is not None:
        refusal = _check_coding(head)
        if head.refusal is None:
            head.refusal = refusal
    head.has_body = head.chunked or head.content_length > 0
    if head.minor == 0:
        head.keep_alive = False
    if head.options is not None:
        _apply_options(head, head.options)
    if head.upgrade is not None:
        _check_upgrade(head, upgrades)
    if head.refusal is None:
        head.refusal = _check_line(head)


def _check_line(head: RequestHead) -> LocalReply | None:
    """Method, target, authority, expectation."""
    if head.method in SPECIAL_METHODS:
        head.keep_alive = False
        return METHOD_REFUSED
    if head.target[0] != _SLASH:
        refusal = _check_target(head)
        if refusal is not None:
            return refusal
    if head.hosts == 0:
        # RFC 1945 knows no Host: only an HTTP/1.0 client may leave it out.
        if head.minor == 1:
            return BAD_HOST
        head.host_lines = _NO_HOST
    if head.expect is not None and head.expect.lower() != b"100-continue":
        return BAD_EXPECT
    return None


def _check_coding(head: RequestHead) -> LocalReply | None:
    if head.minor == 0 or head.content_length != -1:
        return BAD_FRAMING
    if head.transfer_encoding is None or head.transfer_encoding.lower() != b"chunked":
        return BAD_CODING
    head.chunked = True
    return None


def _apply_to_either(
    head: RequestHead | ResponseHead, options: frozenset[bytes]
) -> frozenset[bytes]:
    """Persistence, and the fields that end at this hop (RFC 9110 §7.6.1), which are given back."""
    head.keep_alive = b"close" not in options and (head.minor == 1 or b"keep-alive" in options)
    named = options - {b"close", b"keep-alive", b"upgrade"}
    if named:
        head.lines = without(head.lines, named)
    return named


def _apply_options(head: RequestHead, options: frozenset[bytes]) -> None:
    named = _apply_to_either(head, options)
    if named:
        if b"traceparent" in named:
            head.traceparent = None
        if b"tracestate" in named:
            head.tracestate = None


def _check_upgrade(head: RequestHead, upgrades: frozenset[bytes]) -> None:
    """What may not be switched to (h2c) is answered as plain HTTP/1.1.

    An offer may be ignored, and must be in HTTP/1.0 (RFC 9110 §7.8); one beside a body is, for
    the bytes that follow would be the body's and then the other protocol's.
    """
    offered = (head.upgrade or b"").lower()
    if (
        head.minor == 0
        or head.options is None
        or b"upgrade" not in head.options
        or offered not in upgrades
        or (offered == b"websocket" and head.method != b"GET")  # RFC 6455 §4.1
        or head.has_body
    ):
        head.upgrade = None


def _check_target(head: RequestHead) -> LocalReply | None:
    """The forms of RFC 9112 §3.2 other than origin-form."""
    if head.target == b"*":
        return None if head.method == b"OPTIONS" else BAD_TARGET
    absolute = _ABSOLUTE.fullmatch(head.target)
    if absolute is None:
        return BAD_TARGET
    if (head.hosts == 0 and head.minor == 1) or not is_host(absolute[1]):
        return BAD_HOST
    # RFC 9112 §3.2.2: the authority of the target replaces Host.
    head.host, head.hosts = absolute[1], 1
    head.host_lines = host_lines(head.host)
    rest = absolute[2] or b"/"
    head.target = rest if rest.startswith(b"/") else b"/" + rest
    head.line = b"%b %b HTTP/1.1" % (head.method, head.target)
    return None


def is_request_id(value: bytes) -> bool:
    """Whether a request id from outside may be passed on: 1 to 128 visible characters."""
    return _REQUEST_ID.fullmatch(value) is not None


def check_response(head: ResponseHead) -> None:
    """Complete a special head; `fault` if it can't be passed on."""
    if head.transfer_encoding is not None or head.content_length < -1 or head.status < 200:
        fault = _response_fault(head)
        if fault:
            head.fault = fault
    if not 100 <= head.status <= 599:
        head.fault = "a status outside 100 to 599"
    if head.minor == 0:
        head.keep_alive = False
    if head.options is not None:
        _apply_to_either(head, head.options)


def _response_fault(head: ResponseHead) -> str:
    if head.content_length < -1:
        return "Content-Length is not a number"
    if head.status < 200 and (head.content_length > 0 or head.transfer_encoding is not None):
        return "an interim answer with a body"
    if head.transfer_encoding is not None:
        if head.content_length >= 0 or head.minor == 0:
            return "a length beside a transfer coding"
        if head.transfer_encoding.lower() != b"chunked":
            return "a transfer coding other than chunked"
        head.chunked = True
    return ""
