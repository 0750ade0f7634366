"""The application: the table of all routes, and what happens on the way to a handler."""

from collections.abc import Awaitable, Callable

import structlog
from aiohttp import web

from admin.api import (
    audit,
    canary,
    census,
    compatibility,
    cutover,
    docs,
    drains,
    endpoints,
    events,
    health,
    migrations,
    openapi,
    ramp,
    releases,
    routing,
    sessions,
    signals,
    switches,
    tenants,
    traffic,
    whatif,
    windows,
    workers,
)
from admin.api.auth import require
from admin.api.given import from_body, from_query, keep_waiting, read_body
from admin.api.guard import STARTED, guard, problem_of, set_headers
from admin.api.problems import REQUEST_ID, Problem
from admin.api.route import Call, Parts, Route
from admin.login.pages import Pages
from admin.routing import audit as trail
from admin.routing.database import DatabaseUnavailableError
from admin.tokens import Principal
from proxy.routing.model import is_tenant

log = structlog.get_logger(__name__)
AUDITED = frozenset({403, 409, 422, 501, 503})
"""Refusals of known callers that leave a row: they were understood, and not done."""

ROUTES: tuple[Route, ...] = (
    *routing.ROUTES,
    *tenants.ROUTES,
    *canary.ROUTES,
    *ramp.ROUTES,
    *whatif.ROUTES,
    *traffic.ROUTES,
    *windows.ROUTES,
    *cutover.ROUTES,
    *switches.ROUTES,
    *endpoints.ROUTES,
    *compatibility.ROUTES,
    *migrations.ROUTES,
    *releases.ROUTES,
    *signals.ROUTES,
    *drains.ROUTES,
    *census.ROUTES,
    *workers.ROUTES,
    *sessions.ROUTES,
    *audit.ROUTES,
    *events.ROUTES,
    *health.ROUTES,
)


def create_app(parts: Parts) -> web.Application:
    """The application, ready to be served."""
    app = web.Application(
        middlewares=[guard(parts.settings, parts.metrics)],
        client_max_size=parts.settings.body_limit_bytes,
    )
    app.on_response_prepare.append(set_headers)
    for route in ROUTES:
        app.router.add_route(
            route.method, route.path, serve(route, parts), expect_handler=keep_waiting
        )
    document = openapi.document(ROUTES)
    app.router.add_get("/openapi.json", openapi.handler(document), allow_head=False)
    app.router.add_get("/docs", docs.handler(document), allow_head=False)
    Pages(parts.logins).add_to(app)
    return app


def serve(route: Route, parts: Parts) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The way to the route's handler: token or session, role, what is given."""

    async def way(request: web.Request) -> web.StreamResponse:
        principal = None if route.role is None else await parts.logins.principal(request)
        try:
            return await _handle(route, parts, request, principal)
        except Exception as error:
            problem = problem_of(error)
            if problem and problem.status in AUDITED and route.action and principal:
                await _record(route, parts, request, principal, problem)
            raise

    return way


async def _handle(
    route: Route, parts: Parts, request: web.Request, principal: Principal | None
) -> web.StreamResponse:
    if principal is not None and route.role is not None:
        require(principal, route.role)
    if request.body_exists and not route.has_body:
        raise Problem("invalid-query", f"{route.method} takes a query and no body")
    raw = await read_body(request, parts.settings) if route.has_body else b""
    given = from_body(raw, route.given) if route.has_body else from_query(request, route.given)
    request_id, started = request[REQUEST_ID], request[STARTED]
    call = Call(request, parts, principal, request_id, started, route.action, raw)
    return await route.handler(call, given)


async def _record(
    route: Route, parts: Parts, request: web.Request, principal: Principal, problem: Problem
) -> None:
    """Leave a row about a refusal. Nothing was changed, so the refusal stands without it too."""
    author = trail.Author(principal.subject, str(principal.role), request[REQUEST_ID])
    tenant = request.match_info.get("tenant", "")
    tenants = [tenant] if is_tenant(tenant) else []
    try:
        async with parts.store.database.connection() as connection:
            await trail.refused(connection, author, route.action, tenants, problem.code)
    except DatabaseUnavailableError:
        log.warning("a refusal is not in the audit trail", request_id=author.request_id)
