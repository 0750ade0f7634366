"""Speaks HTTP with the admin, by the standard library alone.

Rules: every write carries an Idempotency-Key of its own, so one that was lost on the way can be
sent again without being done twice. What is lost before an answer is sent once more, whole; a
time-out is not, for the admin may still be at work. No message holds the token.
"""

import http.client
import json
import secrets
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, quote, urlencode, urlsplit

CONNECT_S = 3.0
"""How long a connection may take to open."""
ANSWER_S = 10.0
"""How long an answer may take beyond what the change itself may wait for acknowledgements."""
RETURN_S = 3.0
"""How long an admin that broke off may take to come back before the second try is given up."""
SILENCE_S = 45.0
"""A live feed says something every 15 s; after this long without, the connection is dead."""
MAX_BODY = 64 * 1024 * 1024
MAX_EVENT = 1024 * 1024

JSON_TYPES = ("application/json", "application/problem+json")


class Unreachable(Exception):  # noqa: N818 - it says what the admin is, as its sibling does
    """No answer of an admin was got. unsure: a change was sent, and may have been made."""

    def __init__(self, reason: str, *, unsure: bool = False) -> None:
        super().__init__(reason)
        self.unsure = unsure


class Refused(Exception):  # noqa: N818 - a refusal is an answer, not an error of ours
    """The admin answered with a problem document. status: HTTP's."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(problem.get("detail") or problem.get("title") or f"HTTP {status}")
        self.status = status
        self.problem = problem


class _Lost(Exception):  # noqa: N818 - see Unreachable
    """The connection ended before an answer. refused: it never opened."""

    def __init__(self, reason: str, *, refused: bool = False) -> None:
        super().__init__(reason)
        self.refused = refused


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the live feed."""

    kind: str
    data: Any


@dataclass(frozen=True, slots=True)
class _Request:
    method: str
    target: str
    body: bytes | None
    headers: Mapping[str, str]
    changes: bool = False
    """Whether something may have been changed, if the answer is lost."""


class AdminClient:
    """One admin. url: http(s)://host[:port][/path]. timeout_ms: how long a change waits."""

    def __init__(self, url: str, token: str, timeout_ms: int) -> None:
        self._url = parse_url(url)
        self._timeout_ms = timeout_ms
        self._headers = {"Accept": "application/json", "User-Agent": "turnout"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    def read(self, path: str, query: Mapping[str, object] | None = None) -> dict[str, Any]:
        """GET → the document. Raises Unreachable, Refused."""
        request = _Request("GET", self._target(path, query), None, self._headers)
        return self._send(request, ANSWER_S + self._timeout_ms / 1000)

    def change(
        self,
        method: str,
        path: str,
        fields: Mapping[str, object] | None = None,
        limit_ms: int = 0,
        *,
        waits: bool = True,
    ) -> dict[str, Any]:
        """A write → its result. Fields that are None are left out. Raises Unreachable, Refused.

        limit_ms: how long the write itself may take, beside the wait for the workers. waits: False
        for a write that waits for no workers, and takes no time-out.
        """
        wait: dict[str, object] = {"timeout_ms": limit_ms or self._timeout_ms} if waits else {}
        values = {**wait, **_given(fields)}
        headers = {**self._headers, "Idempotency-Key": secrets.token_hex(16)}
        if method == "DELETE":
            request = _Request(method, self._target(path, values), None, headers, changes=True)
        else:
            body = json.dumps(values).encode()
            headers["Content-Type"] = "application/json"
            request = _Request(method, self._target(path), body, headers, changes=True)
        return self._send(request, ANSWER_S + (limit_ms + self._timeout_ms) / 1000)

    def ask(self, path: str, fields: Mapping[str, object]) -> dict[str, Any]:
        """A question that takes a body: POST → the document. Raises Unreachable, Refused."""
        headers = {**self._headers, "Content-Type": "application/json"}
        request = _Request("POST", self._target(path), json.dumps(_given(fields)).encode(), headers)
        return self._send(request, ANSWER_S)

    def wait(self, version: int) -> dict[str, Any]:
        """Who serves the version, waiting up to the time-out for all. Raises as `read`."""
        query = {"timeout_ms": self._timeout_ms}
        return self.read(f"/v1/routing/changes/{version}", query)

    def follow(self, path: str, query: Mapping[str, object] | None = None) -> Iterator[Event]:
        """The live feed's events until the connection ends. Raises Unreachable, Refused."""
        headers = {**self._headers, "Accept": "text/event-stream"}
        request = _Request("GET", self._target(path, query), None, headers)
        try:
            with self._ask(request, SILENCE_S) as response:
                _check_stream(response)
                yield from parse_events(response)
        except _Lost as error:
            raise Unreachable(str(error)) from error
        except (OSError, http.client.HTTPException):
            return

    def _target(self, path: str, query: Mapping[str, object] | None = None) -> str:
        text = urlencode(_given(query))
        return f"{self._url.path}{path}{'?' if text else ''}{text}"

    def _send(self, request: _Request, answer_s: float) -> dict[str, Any]:
        try:
            return self._exchange(request, answer_s)
        except _Lost as error:
            if error.refused:
                raise Unreachable(str(error)) from error
        return self._send_again(request, answer_s)

    def _send_again(self, request: _Request, answer_s: float) -> dict[str, Any]:
        """The second try, for which an admin that is being restarted is waited for."""
        deadline = time.monotonic() + RETURN_S
        while True:
            try:
                return self._exchange(request, answer_s)
            except _Lost as error:
                if not error.refused or time.monotonic() > deadline:
                    raise Unreachable(str(error), unsure=request.changes) from error
                time.sleep(0.1)

    def _exchange(self, request: _Request, answer_s: float) -> dict[str, Any]:
        with self._ask(request, answer_s) as response:
            try:
                body = _read(response)
            except TimeoutError as error:
                unsure = request.changes
                raise Unreachable("the answer broke off", unsure=unsure) from error
            except (OSError, http.client.HTTPException) as error:
                raise _Lost("the connection was lost in the middle of the answer") from error
            return read_answer(response.status, response.headers.get_content_type(), body)

    @contextmanager
    def _ask(self, request: _Request, answer_s: float) -> Iterator[http.client.HTTPResponse]:
        """An answer whose head is read; the connection is closed afterwards."""
        with (
            closing(self._open()) as connection,
            closing(self._response(connection, request, answer_s)) as response,
        ):
            yield response

    def _response(
        self, connection: http.client.HTTPConnection, request: _Request, answer_s: float
    ) -> http.client.HTTPResponse:
        connection.sock.settimeout(answer_s)
        try:
            connection.request(request.method, request.target, request.body, dict(request.headers))
            return connection.getresponse()
        except TimeoutError as error:
            unsure = request.changes
            raise Unreachable(f"no answer within {answer_s:.0f} s", unsure=unsure) from error
        except http.client.RemoteDisconnected as error:
            raise _Lost("the connection was closed without an answer") from error
        except http.client.BadStatusLine as error:
            raise Unreachable("what answers there does not speak HTTP") from error
        except (OSError, http.client.HTTPException) as error:
            raise _Lost(_reason(error)) from error

    def _open(self) -> http.client.HTTPConnection:
        host = self._url.hostname or ""
        connection: http.client.HTTPConnection
        if self._url.scheme == "https":
            connection = http.client.HTTPSConnection(host, self._url.port, timeout=CONNECT_S)
        else:
            connection = http.client.HTTPConnection(host, self._url.port, timeout=CONNECT_S)
        try:
            connection.connect()
        except OSError as error:
            raise _Lost(_reason(error), refused=True) from error
        return connection


def parse_url(url: str) -> SplitResult:
    """The admin's URL; `host:port` alone means http. ValueError, which never shows the URL."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("the admin's URL is http://host:port or https://host:port")
    if parts.username is not None or parts.password is not None:
        raise ValueError(
            "the admin's URL holds no user or password; the token goes in TURNOUT_TOKEN"
        )
    if parts.query or parts.fragment:
        raise ValueError("the admin's URL has no query and no fragment")
    _ = parts.port  # raises ValueError when it is no port
    return parts._replace(path=parts.path.rstrip("/"))


def tenant_path(tenant: str, rest: str = "") -> str:
    """The path of a tenant's resource."""
    return f"/v1/tenants/{quote(tenant, safe='')}{rest}"


def read_answer(status: int, content_type: str, body: bytes) -> dict[str, Any]:
    """An answer's document. Refused for a problem, Unreachable if no admin wrote this."""
    document: object = None
    if content_type in JSON_TYPES and len(body) <= MAX_BODY:
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            document = None
    if isinstance(document, dict) and status < 300:
        return document
    if isinstance(document, dict) and "code" in document:
        raise Refused(status, document)
    raise Unreachable(f"what answers there is not Turnout's admin (HTTP {status}, {content_type})")


def parse_events(lines: Iterator[bytes] | http.client.HTTPResponse) -> Iterator[Event]:
    """Events from the lines of a text/event-stream; comments (heartbeats) are passed over."""
    kind, data = "", ""
    for raw in lines:
        line = raw.decode("utf-8", "replace").rstrip("\r\n")
        if line.startswith("event:"):
            kind = line[6:].strip()
        elif line.startswith("data:"):
            data += line[5:].strip()
        elif not line and data:
            yield Event(kind or "message", _json(data))
            kind, data = "", ""
        if len(data) > MAX_EVENT:
            raise Unreachable("an event of the live feed is too long")


def _check_stream(response: http.client.HTTPResponse) -> None:
    content_type = response.headers.get_content_type()
    if response.status != 200 or content_type != "text/event-stream":
        read_answer(response.status, content_type, _read(response))
        raise Unreachable(f"what answers there is no live feed ({content_type})")


def _read(response: http.client.HTTPResponse) -> bytes:
    """The whole body, within bounds. IncompleteRead if it was cut short."""
    if response.length is None:  # chunked: the end is in the stream
        return response.read(MAX_BODY + 1)
    # Only read() without an amount notices that the connection ended before the length it said.
    return response.read() if response.length <= MAX_BODY else b""


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _given(fields: Mapping[str, object] | None) -> dict[str, object]:
    return {name: value for name, value in (fields or {}).items() if value is not None}


def _reason(error: Exception) -> str:
    """Why a connection failed, in a few plain words."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, TimeoutError):
        return f"no connection within {CONNECT_S:.0f} s"
    if isinstance(error, socket.gaierror):
        return "the host's name is not known"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or 'no reason given'}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return "the connection was lost"
