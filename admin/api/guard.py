"""The outermost layer: host and origin, request ids, and that every fault ends as a problem.

Rules: a Host that isn't ours means DNS rebinding or a wrong address, a foreign Origin means a
web page that isn't ours: both are refused before anything else. No fault shows more than its
class: messages of drivers hold addresses.
"""

import ipaddress
import uuid
from collections.abc import Awaitable, Callable
from time import monotonic
from urllib.parse import urlsplit

import structlog
from aiohttp import ClientConnectionResetError, web
from aiohttp.typedefs import Middleware

from admin.api.answers import OPEN_TO_ALL_HOSTS
from admin.api.metrics import Metrics
from admin.api.problems import REQUEST_ID, Problem, of_http
from admin.config import Settings
from admin.routing.database import DatabaseUnavailableError
from admin.routing.limits import LimitError, LimitsMovedError
from admin.routing.publish import StoreUnavailableError
from admin.routing.store import KeyReusedError, OutcomeUnknownError, VersionConflictError
from config import split_address
from proxy.routing.change import ContractError

log = structlog.get_logger(__name__)
STARTED = web.RequestKey("started", float)
"""When the request began, in monotonic seconds."""
Next = Callable[[web.Request], Awaitable[web.StreamResponse]]


MEANINGS: tuple[tuple[type[Exception], str, str], ...] = (
    (LimitsMovedError, "limits-moved", "migrations begin just now; nothing was changed, try again"),
    (KeyReusedError, "idempotency-key-reused", "use a new key for a new request"),
    (DatabaseUnavailableError, "database-unavailable", "nothing was changed; try again"),
    (StoreUnavailableError, "store-unavailable", "nothing was changed; try again"),
    (
        OutcomeUnknownError,
        "outcome-unknown",
        "PostgreSQL went away while it committed: read the table, or repeat it with the same key",
    ),
)
"""What an error of the stores means to a client: code and detail."""


def problem_of(error: Exception) -> Problem | None:
    """The problem that an error means to the client; None for a fault of this program."""
    match error:
        case Problem():
            return error
        case ContractError():
            return Problem("invalid-change", str(error))
        case LimitError():
            return Problem("schema-unserved", str(error), extra={"tenants": list(error.tenants)})
        case VersionConflictError():
            return Problem("version-conflict", str(error), extra={"version": error.version})
        case web.HTTPException() if error.status >= 400:
            return of_http(error)
    known = (Problem(code, detail) for of, code, detail in MEANINGS if isinstance(error, of))
    return next(known, None)


def guard(settings: Settings, metrics: Metrics) -> Middleware:
    """The outermost middleware."""
    hosts = _allowed_hosts(settings)
    origins = frozenset({settings.public_url, *settings.allowed_origins} - {""})

    @web.middleware
    async def middleware(request: web.Request, handler: Next) -> web.StreamResponse:
        request[REQUEST_ID] = uuid.uuid4().hex
        request[STARTED] = monotonic()
        response = await _answer(request, handler, hosts, origins)
        resource = request.match_info.route.resource
        route = resource.canonical if resource else "unknown"
        metrics.requests.labels(_method(request), route, response.status).inc()
        return response

    return middleware


async def _answer(
    request: web.Request, handler: Next, hosts: frozenset[str], origins: frozenset[str]
) -> web.StreamResponse:
    try:
        if request.path not in OPEN_TO_ALL_HOSTS:
            check_host(request, hosts)
            check_origin(request, origins)
        return await handler(request)
    except ClientConnectionResetError:
        raise
    except Exception as error:
        problem = problem_of(error)
        if problem is None:
            log.exception("request failed", request_id=request[REQUEST_ID])
            problem = Problem("internal", "it is written in the log under this request_id")
        return problem.response(request[REQUEST_ID])


async def set_headers(request: web.Request, response: web.StreamResponse) -> None:
    """What every answer carries."""
    response.headers["X-Request-ID"] = request.get(REQUEST_ID) or uuid.uuid4().hex
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Cache-Control", "no-store")


def check_host(request: web.Request, allowed: frozenset[str]) -> None:
    """Problem 421 unless the Host is one of ours, or the address that the client connected to."""
    hosts = request.headers.getall("Host", [])
    name = _host_name(hosts[0]) if len(hosts) == 1 else ""
    own = request.transport.get_extra_info("sockname") if request.transport else None
    if name and (name in allowed or (isinstance(own, tuple) and name == own[0])):
        return
    if name and _is_loopback(name):
        return
    raise Problem("unknown-host", "add the name to allowed_hosts if it is yours")


def check_origin(request: web.Request, allowed: frozenset[str]) -> None:
    """Problem 403 for a browser's request from a page that isn't ours."""
    origin = request.headers.get("Origin")
    if origin is None or origin in allowed:
        return
    if origin in {f"http://{request.host}", f"https://{request.host}"}:
        return
    raise Problem("foreign-origin", "add the origin to allowed_origins if it is yours")


def _allowed_hosts(settings: Settings) -> frozenset[str]:
    own = split_address(settings.listen)[0]
    public = urlsplit(settings.public_url).hostname or "localhost"
    return frozenset({"localhost", own.lower(), public, *map(str.lower, settings.allowed_hosts)})


def _host_name(host: str) -> str:
    """The name without its port, lower case; empty if it is malformed."""
    if host.startswith("["):
        name, bracket, port = host[1:].partition("]")
        name, port = name if bracket else "", port.removeprefix(":")
    else:
        name, _, port = host.partition(":")
    return name.lower().removesuffix(".") if not port or port.isdigit() else ""


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _method(request: web.Request) -> str:
    known = {"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"}
    return request.method if request.method in known else "other"
