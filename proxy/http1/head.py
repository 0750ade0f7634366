"""One message's head, as far as a proxy looks at it.

Rule: everything the proxy decides by is lifted out of the field lines while they are read and
stands in an attribute of its own; `lines` holds only what is passed on. A head sent on is
rebuilt from these parts, so what was checked is what is sent.

What every head is asked for, the parser sets in each. The rest is read from the class, as it
stands here, and only where `special` or `told` gives cause, for Python finds that slowly.
"""

from proxy.http1.reply import LocalReply


class RequestHead:
    """A request's head.

    line: the request line as it is sent on. lines: end-to-end field lines, each `name: value`
    without its line end. minor: 0 or 1, for HTTP/1.0 and HTTP/1.1. hosts: how often Host stood
    there. host_lines: Host and X-Forwarded-Host as they are sent on. content_length: -1 where
    the field is absent. length_line: the field as it is sent on. options: of the Connection
    fields, lower case; None without one. tenant, authorization, request_id, forwarded_for: the
    values as they came, None where absent; not to be believed before the peer is trusted.
    So are traceparent, tracestate, and timing, which asks for Server-Timing. user_agent: only
    where something reads it. special: something in it asks for a closer look than most heads
    need. told: it says what is believed of trusted peers alone. refusal: why it can't be served.
    """

    line: bytes = b""
    method: bytes = b""
    target: bytes = b""
    minor: int = 1
    lines: list[bytes]
    special: bool = False
    told: bool = False
    host: bytes = b""
    hosts: int = 0
    host_lines: bytes = b""
    content_length: int = -1
    length_line: bytes = b""
    transfer_encoding: bytes | None = None
    chunked: bool = False
    has_body: bool = False
    options: frozenset[bytes] | None = None
    keep_alive: bool = True
    upgrade: bytes | None = None
    expect: bytes | None = None
    tenant: bytes | None = None
    authorization: bytes | None = None
    request_id: bytes | None = None
    forwarded_for: bytes | None = None
    forwarded: list[bytes] | None = None
    traceparent: bytes | None = None
    tracestate: bytes | None = None
    timing: bool = False
    user_agent: bytes | None = None
    refusal: LocalReply | None = None


class ResponseHead:
    """A response's head. line: the status line, sent on as HTTP/1.1. See RequestHead.

    bodiless: its status has no body, whatever the fields say (RFC 9112 §6.3 rule 1).
    keep_alive_field: the value of Keep-Alive. events: it is a text/event-stream; asked only of those
    that are sent on in chunks. fault: why it can't be passed on.
    """

    line: bytes = b""
    status: int = 0
    minor: int = 1
    lines: list[bytes]
    special: bool = False
    bodiless: bool = False
    content_length: int = -1
    length_line: bytes = b""
    transfer_encoding: bytes | None = None
    chunked: bool = False
    options: frozenset[bytes] | None = None
    keep_alive: bool = True
    keep_alive_field: bytes | None = None
    events: bool = False
    upgrade: bytes | None = None
    fault: str = ""
