"""Who asks: the bearer token of a script, or the session of a browser. Both give a `Principal`.

Rules: with an Authorization field the token alone counts, and no cookie is looked at. With a
session's cookie each request that may change something has to come from a page of our own and to
show the session's own token, in X-CSRF-Token or, under /ui, in the form's field `csrf`. Without
https only this host itself has sessions: elsewhere a cookie could be overheard. PostgreSQL decides
at each request whether the session is alive; while it can't be asked nobody is let in (503).

For pages: `Logins.page(handler)` makes an aiohttp handler of `async (request, visitor) -> response`;
who isn't logged in is sent to /ui/login and back. It adds the headers of `headers.py`.
"""

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from secrets import token_hex, token_urlsafe
from time import monotonic
from urllib.parse import parse_qsl, quote, urlsplit

from aiohttp import web
from multidict import MultiDict

from admin.api.auth import Authenticator, require
from admin.api.given import CONTINUE
from admin.api.problems import REQUEST_ID, Problem
from admin.config import Settings
from admin.login import local, store
from admin.login.grants import Grant
from admin.login.headers import page_headers
from admin.routing.database import Database, DatabaseUnavailableError
from admin.tokens import Principal, Role, now

CSRF_HEADER = "X-CSRF-Token"
CSRF_FIELD = "csrf"
BACKGROUND_HEADER = "X-Turnout-Background"
"""On requests that a page makes by its clock: they don't put the session's idle end off."""
MAX_FIELDS = 1000
MAX_AGENT = 200
MAX_ADDRESS = 64
_FORM = web.RequestKey("form", MultiDict)
_DIGEST = web.RequestKey("session", bytes)


@dataclass(frozen=True, slots=True)
class Visitor:
    """Whose session a page is for. csrf: what its forms and its htmx requests have to send along.

    session: its name in lists.
    """

    principal: Principal
    csrf: str
    session: str


PageHandler = Callable[[web.Request, Visitor], Awaitable[web.StreamResponse]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Logins:
    """Knows people by their sessions, and scripts by their tokens. headers: what pages carry."""

    def __init__(
        self, settings: Settings, database: Database, authenticator: Authenticator
    ) -> None:
        self.settings, self.database = settings, database
        self._authenticator = authenticator
        self.https = settings.public_url.startswith("https://")
        self.headers: Mapping[str, str] = page_headers(https=self.https)
        self._cookie = local.cookie_name(https=self.https)
        networks = settings.login.trusted_networks
        self._trusted = [ipaddress.ip_network(network) for network in networks]

    # ── who asks ──────────────────────────────────────────────────────────────────────────────

    async def principal(self, request: web.Request) -> Principal:
        """Who sends a call of the API. Problem: 400, 401, 403, 429. DatabaseUnavailableError."""
        if "Authorization" in request.headers or self._session_id(request) is None:
            return self._authenticator.authenticate(request)
        if not local.may_read(_all(request, "Sec-Fetch-Site"), ()):
            raise Problem("foreign-origin", "a session is for our own pages")
        visitor = await self.visitor(request)
        if visitor is None:
            raise Problem("unauthenticated", "the session has ended: log in again at /ui/login")
        if request.method not in local.SAFE_METHODS:
            self._check_page(request)
            self._check_token(request, request.headers.get(CSRF_HEADER))
        return visitor.principal

    async def visitor(self, request: web.Request) -> Visitor | None:
        """Whose session it is, None without one. DatabaseUnavailableError.

        It says nothing of forgery: see `page` and `principal`.
        """
        session_id = self._session_id(request)
        digest = local.session_digest(session_id)
        if session_id is None or digest is None or not self.may_have_sessions(request):
            return None
        async with self.database.connection() as connection:
            found = await store.find(connection, digest, self.settings.login)
            if found is None:
                return None
            if found.is_stale and not _is_background(request):
                await store.seen(connection, digest)
        request[_DIGEST] = digest
        return Visitor(found.principal, local.csrf_token(session_id), found.name)

    def watch(
        self, request: web.Request, principal: Principal, every_s: float
    ) -> Callable[[], Awaitable[bool]]:
        """Whether whoever asked may still be answered: for what lasts.

        A session is looked up again every so often; while PostgreSQL is away, what was known of it
        counts.
        """
        digest, expires, looked = request.get(_DIGEST), principal.expires, monotonic()

        async def holds() -> bool:
            nonlocal expires, looked
            if digest is not None and monotonic() - looked >= every_s:
                looked = monotonic()
                expires = await self._expires(digest, expires)
            return expires > now()

        return holds

    async def _expires(self, digest: bytes, known: float) -> float:
        try:
            async with self.database.connection() as connection:
                found = await store.find(connection, digest, self.settings.login)
        except DatabaseUnavailableError:
            return known
        return 0.0 if found is None else found.principal.expires

    # ── pages ─────────────────────────────────────────────────────────────────────────────────

    def page(self, handler: PageHandler, role: Role = Role.VIEWER) -> Handler:
        """The way to a page's handler: session, role, and that our own page asks.

        Problem: 403, and what `form` raises. DatabaseUnavailableError.
        """

        async def way(request: web.Request) -> web.StreamResponse:
            if not local.may_read(_all(request, "Sec-Fetch-Site"), _all(request, "Sec-Fetch-Mode")):
                raise Problem("foreign-origin", "this page can't be embedded or fetched")
            visitor = await self.visitor(request)
            if visitor is None:
                return self.to_login(request)
            require(visitor.principal, role)
            if request.method not in local.SAFE_METHODS:
                await self.check_forgery(request)
            return self.hardened(await handler(request, visitor))

        return way

    def hardened(self, response: web.StreamResponse) -> web.StreamResponse:
        """The response with the headers of a page, where it has none of its own."""
        if not response.prepared:
            for name, value in self.headers.items():
                response.headers.setdefault(name, value)
        return response

    def to_login(self, request: web.Request) -> web.Response:
        """Send somebody without a session to the log-in, and back to where they were."""
        # htmx would put the log-in page where the fragment belongs: it is told to go there.
        is_fragment = "HX-Request" in request.headers
        here = str(request.rel_url) if request.method == "GET" else local.HOME
        if is_fragment:
            here = _path(request.headers.get("HX-Current-URL", ""))
        place = f"{local.LOGIN}?next={quote(local.own_path(here), safe='/')}"
        status, name = (401, "HX-Redirect") if is_fragment else (303, "Location")
        return web.Response(status=status, headers={name: place, **self.headers})

    async def check_forgery(self, request: web.Request) -> None:
        """Problem 403 unless a page of our own asks, with the token of this very session."""
        self._check_page(request)
        shown: object = request.headers.get(CSRF_HEADER)
        if shown is None:
            fields = (await self.form(request)).getall(CSRF_FIELD, [])
            shown = fields[0] if len(fields) == 1 else None
        self._check_token(request, shown)

    async def form(self, request: web.Request) -> MultiDict[str]:
        """The fields of a form, none if it is of another kind. Problem: 400, 408, 413."""
        if _FORM not in request:
            request[_FORM] = await self._read_form(request)
        return request[_FORM]

    # ── the request ───────────────────────────────────────────────────────────────────────────

    def may_have_sessions(self, request: web.Request) -> bool:
        """Whether nobody can listen in: https, or this host itself."""
        return self.https or local.is_loopback(request.host)

    def origin(self, request: web.Request) -> str:
        """Ours, as browsers name it."""
        return self.settings.public_url or f"http://{request.host}"

    def address(self, request: web.Request) -> str:
        """Whom failed log-ins are counted by."""
        peer = request.remote or ""
        return local.client_address(peer, _all(request, "X-Forwarded-For"), self._trusted)[
            :MAX_ADDRESS
        ]

    def is_own_page(self, request: web.Request) -> bool:
        """Whether a page of ours sends this."""
        origins, sites = _all(request, "Origin"), _all(request, "Sec-Fetch-Site")
        return local.from_own_page(self.origin(request), origins, sites)

    def _check_page(self, request: web.Request) -> None:
        if not self.is_own_page(request):
            raise Problem("forged-request", "the request comes from no page of this admin")

    def _check_token(self, request: web.Request, shown: object) -> None:
        if not local.is_csrf_token(self._session_id(request) or "", shown):
            raise Problem("forged-request", f"send {CSRF_HEADER} as the session's pages have it")

    def _session_id(self, request: web.Request) -> str | None:
        return local.cookie(_all(request, "Cookie"), self._cookie)

    async def _read_form(self, request: web.Request) -> MultiDict[str]:
        limit = self.settings.login.form_bytes
        if request.content_type != "application/x-www-form-urlencoded":
            return MultiDict()
        if (request.content_length or 0) > limit:
            raise Problem("body-too-large", f"a form has at most {limit} bytes")
        if request.headers.get("Expect") and request.transport:
            request.transport.write(CONTINUE)
        try:
            async with asyncio.timeout(self.settings.body_timeout_s):
                raw = await request.read()
        except TimeoutError:
            raise Problem("body-timeout", "the form came too slowly") from None
        if len(raw) > limit:
            raise Problem("body-too-large", f"a form has at most {limit} bytes")
        return _fields(raw)

    # ── sessions ──────────────────────────────────────────────────────────────────────────────

    async def begin(
        self, request: web.Request, grant: Grant, method: store.Method, expires: float
    ) -> str:
        """A new session, under a new id whatever the browser had; its Set-Cookie.

        expires: Unix seconds after which it has ended at the latest. DatabaseUnavailableError.
        """
        session_id = token_urlsafe(32)
        digest = local.session_digest(session_id)
        assert digest is not None  # noqa: S101 - it was made just now
        new = store.New(
            *(digest, token_hex(8), grant, method, self.address(request), _agent(request)),
            expires=expires,
            old=local.session_digest(self._session_id(request)),
        )
        async with self.database.connection() as connection:
            await store.begin(connection, new, self.settings.login, request[REQUEST_ID])
        return local.cookie_line(self._cookie, session_id, https=self.https)

    async def end(self, request: web.Request) -> str:
        """The browser's session has ended; the Set-Cookie that takes its cookie away."""
        digest = local.session_digest(self._session_id(request))
        if digest is not None:
            async with self.database.connection() as connection:
                await store.log_out(connection, digest, request[REQUEST_ID])
        return local.cookie_line(self._cookie, "", https=self.https, max_age_s=0)


def _is_background(request: web.Request) -> bool:
    """A feed, or what a page asks for by itself: nobody uses the session by that."""
    return request.path in local.FEEDS or BACKGROUND_HEADER in request.headers


def _all(request: web.Request, name: str) -> list[str]:
    return request.headers.getall(name, [])


def _path(url: str) -> str:
    """Path and query of an address."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def _agent(request: web.Request) -> str:
    """What the browser calls itself, so that people tell their sessions apart."""
    told = request.headers.get("User-Agent", "")
    return "".join(char for char in told[:MAX_AGENT] if char.isascii() and char.isprintable())


def _fields(raw: bytes) -> MultiDict[str]:
    try:
        pairs = parse_qsl(
            raw.decode("ascii"),
            keep_blank_values=True,
            encoding="utf-8",
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError:
        raise Problem("invalid-change", "the form can't be read") from None
    return MultiDict(pairs)
