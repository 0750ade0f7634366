"""The access log: one line for each request, as JSON or in the combined format.

Rules: a line never holds what may be a secret: no field of the request but Host and User-Agent,
no query unless the settings ask for it. It is ASCII, without control characters, and no longer
than a pipe takes in one piece. What is logged is said once, in `Line`.
"""

import time
from select import PIPE_BUF
from time import monotonic
from typing import Final
from zlib import crc32

from msgspec.json import Encoder

from proxy.http1.reply import LocalReply
from proxy.observability.log_line import Line
from proxy.observability.log_sink import LogSink
from proxy.observability.notes import COMPLETE, TUNNEL, Notes
from proxy.observability.settings import AccessLogSettings
from proxy.router import Route

_MAX_PATH: Final = 1024
_MAX_HOST: Final = 260
_MAX_AGENT: Final = 256
_MAX_AGENTS: Final = 1024
_MAX_METHOD: Final = 32
_ALL: Final = 1 << 32
_CUT: Final = "..."
Taken = tuple[int, int]
_WELL: Final = frozenset({COMPLETE, TUNNEL})
_LOCAL: Final = ("", "local", "", "")


class AccessLog:
    """One worker's. sink: where the lines go."""

    __slots__ = (
        "_agents",
        "_combined",
        "_date",
        "_date_of",
        "_encode",
        "_from_monotonic",
        "_millis",
        "_query",
        "_sampled",
        "_second",
        "_when_text",
        "flush_s",
        "flushed",
        "sink",
    )

    def __init__(self, settings: AccessLogSettings, sink: LogSink) -> None:
        self.sink = sink
        self.flush_s = settings.flush_s
        self.flushed = 0.0
        self._combined = settings.format == "combined"
        self._query = settings.query
        self._sampled = int(settings.sample * _ALL)
        self._encode = Encoder().encode
        self._second = self._millis = 0
        self._when_text = ""
        self._agents: dict[bytes, str] = {}
        self._date = ""
        self._date_of = "%d/%b/%Y:%H:%M:%S +0000" if self._combined else "%Y-%m-%dT%H:%M:%S"
        self._from_monotonic = 0.0
        self._set_clock()

    def ended(self, notes: Notes, status: int, micros: int, received: int, end: str) -> None:
        """An exchange is over, or a tunnel. micros: it took. received: bytes of the body."""
        request_id = notes.request_id
        # The id decides, so that all proxies on a request's way log it, or none.
        well = status < 500 and end in _WELL
        if well and self._sampled < _ALL and crc32(request_id) >= self._sampled:
            return
        head = notes.head
        target = head.target
        if b"?" in target and not self._query:
            target = target[: target.index(b"?")]
        route = notes.route
        tenant, slot, cohort, reason = _LOCAL if route is None else route.labels
        agent = head.user_agent
        self._add(
            Line(
                self._when(notes.started),
                request_id.decode(),  # it is ASCII, as the target is: `is_request_id`, the parser
                notes.client,
                status,
                end,
                head.method[:_MAX_METHOD].decode(),
                head.host.decode() if route is not None else _text(head.host, _MAX_HOST),
                target.decode() if len(target) <= _MAX_PATH else _text(target, _MAX_PATH),
                tenant,
                slot,
                cohort,
                reason,
                notes.code,
                received,
                notes.sent,
                micros / 1000,
                notes.endpoint,
                None if notes.connected_us < 0 else notes.connected_us / 1000,
                None if notes.first_byte_us < 0 else notes.first_byte_us / 1000,
                notes.attempts - 1 if notes.attempts else 0,
                notes.trace.decode(),
                (self._agents.get(agent) or self._read_agent(agent)) if agent else "",
                notes.tls,
                "1.0" if head.minor == 0 else "",
            )
        )

    def refused(self, client: bytes, request_id: bytes, refusal: LocalReply) -> None:
        """Something came that could not be read as a request, or only in part."""
        self._add(
            Line(
                self._when(monotonic()),
                request_id.decode("ascii", "backslashreplace"),
                client.decode("ascii"),
                refusal.status,
                COMPLETE,
                slot="local",
                code=refusal.code,
            )
        )

    def joined(
        self, client: str, door: str, route: Route, endpoint: str, began: float, taken: Taken
    ) -> None:
        """A connection of a TCP listener is over. door: where that listens. began: monotonic
        seconds. taken: bytes from the client, and from the endpoint.
        """  # noqa: D205 - one sentence a field
        tenant, slot, cohort, reason = route.labels
        received, sent = taken
        self._add(
            Line(
                self._when(began),
                "",
                client,
                0,
                TUNNEL,
                host=door,
                tenant=tenant,
                slot=slot,
                cohort=cohort,
                reason=reason,
                received=received,
                sent=sent,
                ms=(monotonic() - began) * 1000,
                endpoint=endpoint,
            )
        )

    def sweep(self, now: float) -> None:
        """Write when it is time. now: monotonic seconds."""
        if now - self.flushed >= self.flush_s:
            self.flushed = now
            self._set_clock()
            self.sink.flush()

    def _set_clock(self) -> None:
        self._from_monotonic = time.time() - monotonic()  # noqa: TID251 - a date is shown

    def _add(self, line: Line) -> None:
        data = _combined(line) if self._combined else self._encode(line)
        if len(data) >= PIPE_BUF:  # only if nearly all of it had to be escaped
            line.path, line.host, line.agent = line.path[:_MAX_HOST], "", ""
            data = _combined(line) if self._combined else self._encode(line)
        self.sink.add(data)

    def _read_agent(self, agent: bytes) -> str:
        text = _text(agent, _MAX_AGENT)
        if len(agent) <= _MAX_AGENT:
            if len(self._agents) >= _MAX_AGENTS:
                self._agents.clear()
            self._agents[agent] = text
        return text

    def _when(self, at: float) -> str:
        """The date of a moment. at: monotonic seconds."""
        millis = int((at + self._from_monotonic) * 1000)
        if millis == self._millis:
            return self._when_text
        second = millis // 1000
        if second != self._second:
            self._second = second
            self._date = time.strftime(self._date_of, time.gmtime(second))
        self._millis = millis
        ending = "" if self._combined else f".{millis % 1000:03d}Z"
        self._when_text = self._date + ending
        return self._when_text


def _text(data: bytes, limit: int) -> str:
    """As ASCII: a byte above it as a backslash, x and two digits."""
    text = data[:limit].decode("ascii", "backslashreplace")
    return text + _CUT if len(data) > limit else text


def _combined(line: Line) -> bytes:
    """Apache's combined format, with the tenant as the user. The referrer is never told."""
    request = (
        _quoted(f"{line.method} {line.path} HTTP/{line.http or '1.1'}") if line.method else "-"
    )
    agent = _quoted(line.agent) if line.agent else "-"
    tenant = line.tenant or "-"
    return (
        f'{line.client} - {tenant} [{line.time}] "{request}" {line.status} {line.sent} '
        f'"-" "{agent}"'
    ).encode("ascii", "backslashreplace")


def _quoted(text: str) -> str:
    if text.isprintable() and '"' not in text and "\\" not in text:
        return text
    return "".join(
        f"\\{mark}" if mark in '"\\' else mark if " " <= mark <= "~" else f"\\x{ord(mark):02x}"
        for mark in text
    )
