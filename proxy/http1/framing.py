"""Which body follows a head, and what is refused before anything is sent on.

RFC 9112 §6.3 in the strict reading: what two readers could take differently is refused, never
repaired. llhttp already refuses two lengths, a length beside a transfer coding, bare CR or LF,
obs-fold and white space before the colon; the rules here are those that it leaves open.
"""

import re
from functools import lru_cache

from proxy.http1.fields import connection_options, without
from proxy.http1.head import RequestHead, ResponseHead
from proxy.http1.reply import METHOD_REFUSED, LocalReply

_HOST = re.compile(
    rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{0,5})?"
)
_MAX_LENGTH_DIGITS = 18
_SLASH = 0x2F
_MAX_HOST = 260  # what is remembered is bounded in number and in length
_ABSOLUTE = re.compile(rb"https?://([^/?#@]+)(/[^#]*|\?[^#]*)?", re.IGNORECASE)
_REQUEST_ID = re.compile(rb"[!-~]{1,128}")

_REFUSED_METHODS = frozenset({b"CONNECT", b"TRACE"})

BAD_HOST = LocalReply(400, "bad-host", "a request names one valid host")
BAD_TARGET = LocalReply(400, "bad-target", "the request target can't be read")
BAD_FRAMING = LocalReply(400, "bad-framing", "the length of the body is not clear")
BAD_CODING = LocalReply(501, "bad-transfer-coding", "only the chunked transfer coding is known")
BAD_EXPECT = LocalReply(417, "bad-expectation", "only 100-continue can be expected")


def check_request(head: RequestHead) -> LocalReply | None:
    """Complete the head (framing, keep-alive, authority); the refusal if it can't be served."""
    if head.fault:
        return LocalReply(400, "bad-field", head.fault)
    return _check_line(head) or _check_framing(head) or _check_connection(head)


def _check_line(head: RequestHead) -> LocalReply | None:
    """Method, target and authority."""
    if head.method in _REFUSED_METHODS:
        head.keep_alive = False
        return METHOD_REFUSED
    target = head.target
    if target[0] != _SLASH or b"#" in target or not target.isascii():
        refusal = _check_target(head)
        if refusal is not None:
            return refusal
    # RFC 1945 knows no Host: only an HTTP/1.0 client may leave it out.
    if (head.hosts != 1 or not is_host(head.host)) and (head.hosts or head.minor):
        return BAD_HOST
    return None


def _check_framing(head: RequestHead) -> LocalReply | None:
    if head.transfer_encoding is None:
        return None
    if head.minor == 0 or head.content_length >= 0:
        return BAD_FRAMING
    if head.transfer_encoding.lower() != b"chunked":
        return BAD_CODING
    head.chunked = True
    return None


def _check_connection(head: RequestHead) -> LocalReply | None:
    if head.minor == 0:
        head.keep_alive = False
    if head.connection is not None:
        options = connection_options(head.connection)
        head.keep_alive = not options.close and (head.minor == 1 or options.keep_alive)
        if options.named:
            head.lines = without(head.lines, options.named)
        if not options.upgrade:
            head.upgrade = None
    else:
        head.upgrade = None
    # Only WebSocket is switched to; anything else offered (h2c) is answered as plain HTTP/1.1.
    if head.upgrade is not None and (head.upgrade.lower() != b"websocket" or head.method != b"GET"):
        head.upgrade = None
    if head.expect is not None and head.expect.lower() != b"100-continue":
        return BAD_EXPECT
    return None


def _check_target(head: RequestHead) -> LocalReply | None:
    """The forms of RFC 9112 §3.2 other than origin-form."""
    if b"#" in head.target or not head.target.isascii():
        return BAD_TARGET
    if head.target == b"*":
        return None if head.method == b"OPTIONS" else BAD_TARGET
    absolute = _ABSOLUTE.fullmatch(head.target)
    if absolute is None:
        return BAD_TARGET
    if head.hosts > 1 or (head.hosts == 0 and head.minor == 1):
        return BAD_HOST
    # RFC 9112 §3.2.2: the authority of the target replaces Host.
    head.host, head.hosts = absolute[1], 1
    rest = absolute[2] or b"/"
    head.target = rest if rest.startswith(b"/") else b"/" + rest
    return None


def is_host(host: bytes) -> bool:
    """RFC 3986 §3.2.2: a name or address with an optional port; empty only where it is absent."""
    return len(host) <= _MAX_HOST and _is_host(host)


@lru_cache(maxsize=4096)
def _is_host(host: bytes) -> bool:
    return _HOST.fullmatch(host) is not None


def content_length(value: bytes) -> int:
    """A Content-Length's value, -2 if it is not 1 to 18 digits."""
    return int(value) if value.isdigit() and len(value) <= _MAX_LENGTH_DIGITS else -2


def is_request_id(value: bytes) -> bool:
    """Whether a request id from outside may be passed on: 1 to 128 visible characters."""
    return _REQUEST_ID.fullmatch(value) is not None


def check_response(head: ResponseHead) -> str:
    """Complete the head; why it can't be passed on, or an empty string."""
    if head.fault:
        return head.fault
    if not 100 <= head.status <= 599:
        return "a status outside 100 to 599"
    if head.status < 200 and (head.content_length > 0 or head.transfer_encoding is not None):
        return "an interim answer with a body"
    if head.transfer_encoding is not None:
        if head.content_length >= 0 or head.minor == 0:
            return "a length beside a transfer coding"
        if head.transfer_encoding.lower() != b"chunked":
            return "a transfer coding other than chunked"
        head.chunked = True
    if head.minor == 0:
        head.keep_alive = False
    if head.connection is not None:
        options = connection_options(head.connection)
        head.keep_alive = not options.close and (head.minor == 1 or options.keep_alive)
        if options.named:
            head.lines = without(head.lines, options.named)
    return ""


def response_has_body(method: bytes, head: ResponseHead) -> bool:
    """RFC 9112 §6.3 rules 1 and 2: HEAD, 1xx, 204 and 304 have none, whatever the fields say."""
    return not (method == b"HEAD" or head.status < 200 or head.status in {204, 304})


def ends_with_connection(method: bytes, head: ResponseHead) -> bool:
    """RFC 9112 §6.3 rule 8: without a length or a coding the body lasts until the close."""
    return response_has_body(method, head) and not head.chunked and head.content_length < 0
