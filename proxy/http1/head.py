"""One message's head, as far as a proxy looks at it.

Rule: everything the proxy decides by is lifted out of the field lines while they are parsed and
stands in an attribute of its own; `lines` holds only what is passed on as it came. A head sent
on is rebuilt from these parts, so what was checked is what is sent.
"""


class RequestHead:
    """A request's head.

    lines: end-to-end field lines, each `name: value CRLF`. content_length: -1 where the field
    is absent. minor: 0 or 1, for HTTP/1.0 and HTTP/1.1. hosts: how often Host stood there.
    specials: how many other fields there were. tenant, request_id, forwarded_for: the
    values as they came, None where absent; not to be believed before the peer is trusted.
    """

    __slots__ = (
        "authorization",
        "chunked",
        "connection",
        "content_length",
        "expect",
        "fault",
        "forwarded",
        "forwarded_for",
        "host",
        "hosts",
        "keep_alive",
        "lines",
        "method",
        "minor",
        "request_id",
        "specials",
        "target",
        "tenant",
        "transfer_encoding",
        "upgrade",
    )

    def __init__(self, target: bytes) -> None:
        self.target = target
        self.method = b""
        self.minor = 1
        self.host = b""
        self.hosts = 0
        self.lines: list[bytes] = []
        self.content_length = -1
        self.transfer_encoding: bytes | None = None
        self.chunked = False
        self.connection: bytes | None = None
        self.keep_alive = True
        self.upgrade: bytes | None = None
        self.expect: bytes | None = None
        self.tenant: bytes | None = None
        self.authorization: bytes | None = None
        self.request_id: bytes | None = None
        self.forwarded_for: bytes | None = None
        self.forwarded: list[bytes] = []
        self.specials = 0
        self.fault = ""

    @property
    def has_body(self) -> bool:
        """Whether a body follows (RFC 9112 §6.3: a request without either field has none)."""
        return self.chunked or self.content_length > 0


class ResponseHead:
    """A response's head. content_length: -1 where the field is absent. See RequestHead."""

    __slots__ = (
        "chunked",
        "connection",
        "content_length",
        "fault",
        "keep_alive",
        "keep_alive_field",
        "lines",
        "minor",
        "reason",
        "status",
        "transfer_encoding",
        "upgrade",
    )

    def __init__(self) -> None:
        self.status = 0
        self.reason = b""
        self.minor = 1
        self.lines: list[bytes] = []
        self.content_length = -1
        self.transfer_encoding: bytes | None = None
        self.chunked = False
        self.connection: bytes | None = None
        self.keep_alive = True
        self.keep_alive_field: bytes | None = None
        self.upgrade: bytes | None = None
        self.fault = ""
