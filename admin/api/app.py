"""The application: the table of all routes, and what happens on the way to a handler."""

from collections.abc import Awaitable, Callable

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
    refusals,
    release_report,
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
from admin.api.given import check_names, from_body, from_query, keep_waiting, read_body
from admin.api.guard import STARTED, guard, set_headers
from admin.api.problems import REQUEST_ID, Problem
from admin.api.route import Call, Parts, Route
from admin.dashboard import app as dashboard
from admin.dashboard.session import DoorSessions
from admin.dashboard.sources import Sources
from admin.login.pages import Pages
from admin.tokens import Principal

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
    *release_report.ROUTES,
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
    sessions = DoorSessions(parts.logins, parts.settings.token_secret)
    sources = Sources(windows=parts.windows.latest)
    dashboard.add(app, parts, ROUTES, sessions, sources, parts.logins.headers)
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
            tenant = request.match_info.get("tenant", "")
            await refusals.record(route, parts, request, principal, error, tenant)
            raise

    return way


async def _handle(
    route: Route, parts: Parts, request: web.Request, principal: Principal | None
) -> web.StreamResponse:
    if principal is not None and route.role is not None:
        require(principal, route.role)
    check_names(request.match_info)
    if request.body_exists and not route.has_body:
        raise Problem("invalid-query", f"{route.method} takes a query and no body")
    raw = await read_body(request, parts.settings) if route.has_body else b""
    given = from_body(raw, route.given) if route.has_body else from_query(request, route.given)
    request_id, started = request[REQUEST_ID], request[STARTED]
    names, keys = request.match_info, request.headers.getall("Idempotency-Key", [])
    call = Call(request, parts, principal, request_id, started, route.action, raw, names, keys)
    return await route.handler(call, given)
