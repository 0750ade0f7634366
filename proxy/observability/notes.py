"""What is noted of an exchange while it is under way: for the access log and Server-Timing.

Rule: an exchange has notes only if something will read them (`Observing.notes`), so without
them a request pays for a few looks at an empty attribute, and for nothing else.
"""

from os import urandom
from time import monotonic
from typing import TYPE_CHECKING, Final

from proxy.http1 import trace
from proxy.http1.head import RequestHead
from proxy.parties import Client
from proxy.router import Route
from proxy.routing.model import Endpoint

if TYPE_CHECKING:
    from proxy.observability.access_log import AccessLog

# How an exchange ended.
COMPLETE: Final = "complete"
CLIENT_LEFT: Final = "client-left"
CUT: Final = "cut"
BROKEN_OFF: Final = "broken-off"
TUNNEL: Final = "tunnel"

_NO_HEAD: Final = RequestHead()


class Observing:
    """What the settings ask for, one a worker.

    begins_traces: for requests that come without one. timing: Server-Timing for each answer, or
    for those that ask for it (`head.timing`); both False: never.
    """

    __slots__ = ("begins_traces", "log", "passes_traces", "timing_always", "timing_asked")

    def __init__(
        self, log: "AccessLog | None", traceparent: str = "pass", server_timing: str = "off"
    ) -> None:
        self.log = log
        self.begins_traces = traceparent == "begin"
        self.passes_traces = traceparent != "off"
        self.timing_always = server_timing == "always"
        self.timing_asked = server_timing == "asked"

    def notes(self, client: Client) -> "Notes | None":
        """For the exchanges of a client's connection; None if nothing would read them."""
        timing = self.timing_always or self.timing_asked
        return Notes(self, client) if self.log or timing or self.begins_traces else None


class Notes:
    """Of one exchange after the other.

    started: monotonic seconds. attempts: at endpoints. connected_us, first_byte_us: from the
    request's head to its being sent, and to the answer's head; -1: that was not reached.
    sent: bytes of the answer's body that were passed on. code: of an answer of our own. trace:
    the trace's id. tls: version and cipher; empty without.
    """

    __slots__ = (
        "_client",
        "_endpoint",
        "_observing",
        "attempts",
        "client",
        "code",
        "connected_us",
        "endpoint",
        "first_byte_us",
        "head",
        "request_id",
        "route",
        "sent",
        "started",
        "tls",
        "trace",
        "trace_line",
    )

    def __init__(self, observing: Observing, client: Client) -> None:
        self._observing = observing
        self._client = client
        self._endpoint: Endpoint | None = None
        self.client = client.peer.decode("ascii")
        self.tls = ""
        self.head = _NO_HEAD
        self.request_id = b""
        self.route: Route | None = None
        self.started = 0.0
        self.attempts = 0
        self.endpoint = ""
        self.connected_us = -1
        self.first_byte_us = -1
        self.sent = 0
        self.code = ""
        self.trace = b""
        self.trace_line = b""

    def begin(self, head: RequestHead, request_id: bytes, started: float) -> None:
        """A request's head is here."""
        self.head = head
        self.request_id = request_id
        if not self.tls and self._client.secure is not None:
            tls = self._client.transport.get_extra_info("ssl_object")
            if tls is not None:
                self.tls = f"{tls.version()} {tls.cipher()[0]}"
        self.started = started
        self.route = None
        self.attempts = 0
        self.endpoint = ""
        self._endpoint = None
        self.connected_us = self.first_byte_us = -1
        self.sent = 0
        self.code = ""
        self.trace = self.trace_line = b""
        observing = self._observing
        if head.traceparent is not None and self._client.trusted and observing.passes_traces:
            self.trace = trace.trace_id(head.traceparent)
        if not self.trace and observing.begins_traces:
            traceparent = trace.begun(urandom(24))
            self.trace = trace.trace_id(traceparent)
            self.trace_line = b"traceparent: " + traceparent

    def tries(self, endpoint: Endpoint) -> None:
        """An endpoint was claimed."""
        self.attempts += 1
        if endpoint is not self._endpoint:
            self._endpoint = endpoint
            self.endpoint = str(endpoint)

    def connected(self) -> None:
        """The request's head is sent."""
        self.connected_us = self._micros()
        self.first_byte_us = -1

    def answered(self, route: Route) -> bytes:
        """The answer's head is here: the lines that go to the client with it, or none."""
        self.first_byte_us = self._micros()
        observing = self._observing
        asked = observing.timing_asked and self.head.timing and self._client.trusted
        if not (observing.timing_always or asked):
            return b""
        _, slot, cohort, _ = route.labels
        own, upstream = self.connected_us, self.first_byte_us - self.connected_us
        return (
            f'\r\nServer-Timing: slot;desc="{slot}", cohort;desc="{cohort}", '
            f"turnout;dur={own / 1000}, upstream;dur={upstream / 1000}"
        ).encode()

    def keep_little(self) -> None:
        """A tunnel begins, which may last: of the head only what a line tells is kept."""
        head, kept = self.head, RequestHead()
        kept.method, kept.target, kept.host = head.method, head.target, head.host
        kept.minor = head.minor
        kept.user_agent = head.user_agent
        self.head = kept

    def end(self, status: int, micros: int, received: int, end: str) -> None:
        """It is over. status: 0 if there was none. received: bytes of the request's body."""
        log = self._observing.log
        if log is not None:
            log.ended(self, status, micros, received, end)
        self.head = _NO_HEAD  # a head may hold a token; it isn't kept while nothing happens

    def _micros(self) -> int:
        return int((monotonic() - self.started) * 1_000_000)
