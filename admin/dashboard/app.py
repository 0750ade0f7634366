"""The table of pages, and what happens on the way to one: session, form, and errors as pages."""

from collections.abc import Awaitable, Callable, Iterable, Mapping

import structlog
from aiohttp import ClientConnectionResetError, web

from admin.api.given import keep_waiting
from admin.api.guard import problem_of
from admin.api.problems import REQUEST_ID, Problem
from admin.api.route import Parts, Route
from admin.dashboard import forms
from admin.dashboard.once import Once
from admin.dashboard.operations import Api, Operations
from admin.dashboard.render import Files, Pages
from admin.dashboard.session import Session, Sessions, check_own_page
from admin.dashboard.sources import Sources
from admin.dashboard.views import (
    audit,
    board,
    canary,
    drains,
    migrations,
    release,
    switches,
    tenants,
    workers,
)
from admin.dashboard.visit import THEME, THEMES, Visit, theme_of

log = structlog.get_logger(__name__)
Way = Callable[[web.Request], Awaitable[web.StreamResponse]]
Look = Callable[[Visit], Awaitable[web.StreamResponse]]
Send = Callable[[Visit, forms.Form], Awaitable[web.StreamResponse]]

LOOKS: Mapping[str, Look] = {
    **board.LOOKS,
    **release.LOOKS,
    **tenants.LOOKS,
    **canary.LOOKS,
    **switches.LOOKS,
    **workers.LOOKS,
    **drains.LOOKS,
    **migrations.LOOKS,
    **audit.LOOKS,
}
"""What is shown, by path."""
SENDS: Mapping[str, Send] = {
    **release.SENDS,
    **tenants.SENDS,
    **canary.SENDS,
    **switches.SENDS,
    **drains.SENDS,
    **migrations.SENDS,
}
"""What forms are sent to, by path."""
A_YEAR_S = 31_536_000


def add(
    app: web.Application,
    parts: Parts,
    routes: Iterable[Route],
    sessions: Sessions,
    sources: Sources,
    headers: Mapping[str, str],
) -> None:
    """Put the pages into the application. routes: the API's calls.

    sessions: who looks. sources: of what the API doesn't give.
    headers: what every page carries.
    """
    static = Files()
    ways = Ways(sessions, Api(parts, routes), Pages(static, headers), sources)
    for path in ("/", "/ui", "/ui/"):
        app.router.add_get(path, _home, allow_head=False)
    app.router.add_get("/ui/static/{name}", _file(static), allow_head=False)
    app.router.add_get("/favicon.ico", _icon(static), allow_head=False)
    app.router.add_post("/ui/theme", ways.sent(_theme), expect_handler=keep_waiting)
    for path, look in LOOKS.items():
        app.router.add_get(path, ways.shown(look), allow_head=False)
    for path, send in SENDS.items():
        app.router.add_post(path, ways.sent(send), expect_handler=keep_waiting)


class Ways:
    """The ways to the views: session, form, and their problems as pages."""

    def __init__(self, sessions: Sessions, api: Api, pages: Pages, sources: Sources) -> None:
        self._sessions, self._api, self._pages, self._sources = sessions, api, pages, sources
        self._once = Once()

    def shown(self, look: Look) -> Way:
        """The way to a page."""

        async def way(request: web.Request) -> web.StreamResponse:
            visit = await self._visit(request)
            return await look(visit) if isinstance(visit, Visit) else visit

        return self._with_errors(way)

    def sent(self, send: Send) -> Way:
        """The way to what takes a form."""

        async def way(request: web.Request) -> web.StreamResponse:
            visit = await self._visit(request)
            if not isinstance(visit, Visit):
                return visit
            form = await forms.read(request, visit.session, self._api.parts.settings)
            return await send(visit, form)

        return self._with_errors(way)

    async def _visit(self, request: web.Request) -> Visit | web.StreamResponse:
        check_own_page(request)
        session = await self._sessions.of(request)
        if not isinstance(session, Session):
            return session
        ops = Operations(self._api, request, session.principal)
        return Visit(request, session, ops, self._pages, self._once, self._sources)

    def _with_errors(self, way: Way) -> Way:
        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                return await way(request)
            except (ClientConnectionResetError, web.HTTPRedirection):
                raise
            except Exception as error:
                problem = problem_of(error)
                if problem is None:
                    log.exception("a page failed", request_id=request[REQUEST_ID])
                    problem = Problem("internal", "it is in the log under this request's id")
                return self._problem(request, problem)

        return guarded

    def _problem(self, request: web.Request, problem: Problem) -> web.StreamResponse:
        context = {
            "problem": problem,
            "request_id": request[REQUEST_ID],
            "theme": theme_of(request),
            "back": request.path if request.method == "GET" else "/ui/board",
        }
        response = self._pages.response("problem.html", context, problem.status)
        response.headers.update(problem.headers)
        return response


async def _home(_: web.Request) -> web.StreamResponse:
    return web.Response(status=303, headers={"Location": "/ui/board"})


def _file(static: Files) -> Way:
    async def way(request: web.Request) -> web.StreamResponse:
        found = static.response(request.match_info["name"], request.query.get("v", ""))
        if found is None:
            raise Problem("not-found", "there is no such file")
        return found

    return way


def _icon(static: Files) -> Way:
    """What browsers ask for on pages that name no icon."""

    async def way(_: web.Request) -> web.StreamResponse:
        found = static.response("icon.svg")
        assert found is not None  # noqa: S101 - it is one of the table
        return found

    return way


async def _theme(visit: Visit, form: forms.Form) -> web.StreamResponse:
    """Keep the visitor's choice of light or dark, and go back to the page."""
    chosen, back = form.text("theme"), form.text("back")
    is_ours = back.startswith("/ui/") and "\\" not in back and back.isprintable()
    response = visit.go(back if is_ours else "/ui/board")
    if chosen in THEMES:
        secure = visit.request.secure
        response.set_cookie(
            *(THEME, chosen),
            path="/ui",
            max_age=A_YEAR_S,
            httponly=True,
            samesite="Lax",
            secure=secure,
        )
    return response
