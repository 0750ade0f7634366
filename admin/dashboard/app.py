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
from admin.dashboard.session import Sessions, TokenSessions
from admin.dashboard.sources import Sources
from admin.dashboard.views import (
    audit,
    board,
    canary,
    drains,
    live,
    migrations,
    release,
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
    **workers.LOOKS,
    **drains.LOOKS,
    **migrations.LOOKS,
    **audit.LOOKS,
    **live.LOOKS,
}
"""What is shown, by path."""
SENDS: Mapping[str, Send] = {
    **release.SENDS,
    **tenants.SENDS,
    **canary.SENDS,
    **drains.SENDS,
    **migrations.SENDS,
}
"""What forms are sent to, by path."""
A_YEAR_S = 31_536_000


def add(
    app: web.Application,
    parts: Parts,
    routes: Iterable[Route],
    sessions: Sessions | None = None,
    sources: Sources | None = None,
) -> None:
    """Put the pages into the application. routes: the API's calls.

    sessions: who looks, by default whoever brings a bearer token. sources: see there.
    """
    static = Files()
    pages, once, api = Pages(static), Once(), Api(parts, routes)
    secret = parts.settings.token_secret
    known = sessions or TokenSessions(parts.authenticator, secret)

    async def visit(request: web.Request) -> Visit:
        session = await known.of(request)
        ops = Operations(api, request, session.principal)
        return Visit(request, session, ops, pages, once, sources or Sources())

    def shown(look: Look) -> Way:
        async def way(request: web.Request) -> web.StreamResponse:
            return await look(await visit(request))

        return _with_errors(way, pages)

    def sent(send: Send) -> Way:
        async def way(request: web.Request) -> web.StreamResponse:
            visited = await visit(request)
            form = await forms.read(request, visited.session, parts.settings)
            return await send(visited, form)

        return _with_errors(way, pages)

    async def file(request: web.Request) -> web.StreamResponse:
        found = static.response(request.match_info["name"])
        if found is None:
            raise Problem("not-found", "there is no such file")
        return found

    async def home(_: web.Request) -> web.StreamResponse:
        return web.Response(status=303, headers={"Location": "/ui/board"})

    for path in ("/ui", "/ui/"):
        app.router.add_get(path, home, allow_head=False)
    app.router.add_get("/ui/static/{name}", file, allow_head=False)
    app.router.add_post("/ui/theme", sent(_theme), expect_handler=keep_waiting)
    for path, look in LOOKS.items():
        app.router.add_get(path, shown(look), allow_head=False)
    for path, send in SENDS.items():
        app.router.add_post(path, sent(send), expect_handler=keep_waiting)


def _with_errors(way: Way, pages: Pages) -> Way:
    """The same with its problems as pages."""

    async def guarded(request: web.Request) -> web.StreamResponse:
        try:
            return await way(request)
        except (ClientConnectionResetError, web.HTTPRedirection):
            raise
        except Exception as error:
            problem = problem_of(error)
            if problem is None:
                log.exception("a page failed", request_id=request[REQUEST_ID])
                problem = Problem("internal", "it is written in the log under this request's id")
            return _problem(request, pages, problem)

    return guarded


def _problem(request: web.Request, pages: Pages, problem: Problem) -> web.StreamResponse:
    context = {
        "problem": problem,
        "request_id": request[REQUEST_ID],
        "theme": theme_of(request),
        "back": request.path if request.method == "GET" else "/ui/board",
    }
    response = pages.response("problem.html", context, problem.status)
    response.headers.update(problem.headers)
    return response


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


