"""Stands before every handler: counts, identifies, injects faults, turns errors into problems."""

import logging
import re
from collections.abc import Awaitable, Callable

from aiohttp import web

from examples.print_erp.answers import refusal
from examples.print_erp.context import TENANT, erp_of
from examples.print_erp.problems import Problem
from examples.print_erp.traffic import NOBODY

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_TENANT = re.compile(r"[a-z0-9-]{1,63}")
_LOG = logging.getLogger("print_erp")


@web.middleware
async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every request with its answer or a problem; let go of clients that have left."""
    try:
        await _admit(request)
        return await handler(request)
    except Problem as problem:
        return refusal(request, problem)
    except web.HTTPException as error:
        return refusal(request, _problem_of(error))
    except ConnectionError:
        return _nobody(request)
    except Exception as error:  # noqa: BLE001 - the last resort: logged whole, told in one line
        _LOG.exception("%s on %s", type(error).__name__, request.match_info.route.name or "a route")
        return refusal(request, Problem(500, "internal", "an error of the program; see its log"))


def _nobody(request: web.Request) -> web.Response:
    """The client has left in the middle: aiohttp would log its error, but drops an answer quietly."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=400)


async def _admit(request: web.Request) -> None:
    erp = erp_of(request)
    # A probe belongs to no tenant; /_… are for tests, which ask each instance directly.
    if request.path == "/health" or request.path.startswith("/_"):
        erp.traffic.count_probe()
        return
    named = request.headers.getall("X-Tenant-ID", [])
    tenant = named[0] if len(named) == 1 and _TENANT.fullmatch(named[0]) else NOBODY
    erp.traffic.count(
        request.headers.get("X-Request-ID", ""), tenant, request.method, request.raw_path
    )
    if tenant is NOBODY:
        raise Problem(
            400, "no-tenant", "X-Tenant-ID must be given once: a-z, 0-9 and -, at most 63"
        )
    request[TENANT] = tenant
    if request.path.startswith("/ws/equipment/") and not erp.faults.faults.equipment:
        raise Problem(403, "injected-fault", "no printer is let in: asked for at /_faults")
    if erp.settings.faults and request.path.startswith("/api/"):
        await erp.faults.strike(tenant, erp.settings.database_url)


def _problem_of(error: web.HTTPException) -> Problem:
    codes = {404: "not-found", 405: "method-not-allowed", 413: "too-large"}
    kept = {name: error.headers[name] for name in ("Allow",) if name in error.headers}
    return Problem(error.status, codes.get(error.status, "refused"), error.reason, kept)


async def sign(request: web.Request, response: web.StreamResponse) -> None:
    """Put slot and version on every answer, streams and WebSockets too (on_response_prepare)."""
    settings = erp_of(request).settings
    response.headers["X-ERP-Slot"] = settings.slot
    response.headers["X-ERP-Version"] = settings.version
