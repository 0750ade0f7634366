"""/ui/login, /ui/login/oidc, /ui/login/return, /ui/logout: plain pages that need no script.

Rules: whoever logs in gets a session with a new id. A log-in that fails says to the person that it
did, to the log why, and to the audit trail who it was as far as that was verified. The way to the
provider is a link, not a form: a browser that keeps to `form-action 'self'` would not follow the
form's redirect. It begins only where a person clicked here, not where another site sends them.
"""

import hmac
import math
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from math import inf
from secrets import token_urlsafe
from time import monotonic

import structlog
from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined

from admin.api.given import keep_waiting
from admin.api.problems import REQUEST_ID, Problem
from admin.login import local, store
from admin.login.door import Handler, Logins
from admin.login.failed import FailedLogins
from admin.login.grants import Grant, NoGrantError, grant_of
from admin.login.provider import Provider, RefusedError, UnavailableError
from admin.login.tokens import take_apart
from admin.login.transaction import Trip, Trips
from admin.routing.audit import Author
from admin.routing.database import DatabaseUnavailableError
from admin.tokens import MAX_SUBJECT, TokenError, now, verify_token

log = structlog.get_logger(__name__)
NOBODY = "anonymous"
"""Whom the audit trail names where nobody was verified."""
TOLD_BACK = ("state", "code", "iss", "error")
SAID = {"out": "You are logged out."}


MEANINGS: Mapping[type[Exception], tuple[int, str, str]] = {
    RefusedError: (401, "not-believed", "What came back can't be believed. Begin again."),
    NoGrantError: (
        *(403, "no-role"),
        "You are known, and have no role here: ask who runs this admin.",
    ),
    UnavailableError: (503, "", "The provider can't be reached. Try again in a moment."),
    DatabaseUnavailableError: (
        *(503, ""),
        "PostgreSQL can't be reached, and without it nobody can log in.",
    ),
}
"""What an error means: status, code in the audit trail, and what the person is told."""


@dataclass(eq=False)
class Failure(Exception):  # noqa: N818 - what it is called here
    """A log-in that ends here. code: for the audit trail, "" if it is no attempt. fault: the log's.

    subject: who it was, verified. account: who it said to be.
    """

    status: int
    message: str
    code: str = ""
    fault: str = ""
    subject: str = ""
    account: str = ""


class Pages:
    """The pages of a log-in."""

    def __init__(self, logins: Logins) -> None:
        settings = logins.settings
        self._logins, self._settings = logins, settings
        self._failed = FailedLogins(settings.login)
        oidc = settings.oidc
        self._trips = Trips(
            settings.token_secret, oidc.issuer, oidc.client_id, settings.login.return_s
        )
        self._provider = Provider(oidc, self._trips) if oidc.issuer else None
        self._trip_cookie = local.cookie_name(https=logins.https, trip=True)
        environment = Environment(
            loader=PackageLoader("admin.login"), autoescape=True, undefined=StrictUndefined
        )
        self._template = environment.get_template("login.html")

    def add_to(self, app: web.Application) -> None:
        """Serve them."""
        for method, path, handler in (
            ("GET", local.LOGIN, self.show),
            ("POST", local.LOGIN, self.enter),
            ("POST", local.LOGOUT, self.leave),
            ("GET", local.START, self.start),
            ("GET", local.RETURN, self.come_back),
        ):
            app.router.add_route(method, path, self._as_page(handler), expect_handler=keep_waiting)

    # ── handlers ──────────────────────────────────────────────────────────────────────────────

    async def show(self, request: web.Request) -> web.Response:
        """The page."""
        if not self._logins.may_have_sessions(request):
            raise Failure(403, "Log-ins need https: ask for the address that begins with it.")
        return self._page(request, 200, notice=SAID.get(request.query.get("said", ""), ""))

    async def enter(self, request: web.Request) -> web.Response:
        """Log in with a token that was pasted."""
        if not self._logins.may_have_sessions(request):
            raise Failure(403, "Log-ins need https: ask for the address that begins with it.")
        if not self._logins.is_own_page(request):
            raise Failure(403, "The form came from another page. Use this one.")
        fields = await self._logins.form(request)
        token = fields.get("token", "").strip()
        settings = self._settings
        try:
            principal = verify_token(settings.token_secret, token, settings.token_leeway_s)
        except TokenError as error:
            message = "The token is not accepted: it is no token of this admin, or has expired."
            raise Failure(
                401, message, "invalid-token", str(error), account=_account(token)
            ) from None
        grant = Grant(principal.subject, principal.role, principal.tenants)
        line = await self._logins.begin(request, grant, store.Method.TOKEN, principal.expires)
        return self._redirect(local.own_path(fields.get("next")), line)

    async def leave(self, request: web.Request) -> web.Response:
        """Log out: the session has ended, everywhere."""
        if await self._logins.visitor(request) is not None:
            await self._logins.check_forgery(request)
        return self._redirect(f"{local.LOGIN}?said=out", await self._logins.end(request))

    async def start(self, request: web.Request) -> web.Response:
        """Send the browser to the provider."""
        if not local.may_read(request.headers.getall("Sec-Fetch-Site", []), ()):
            return self._redirect(local.LOGIN)
        provider = self._oidc(request)
        trip = Trip(token_urlsafe(32), local.own_path(request.query.get("next")), now())
        place = await provider.way_there(trip, self._redirect_uri(request))
        age = math.ceil(self._settings.login.return_s)
        sealed = self._trips.seal(trip)
        line = local.cookie_line(self._trip_cookie, sealed, https=self._logins.https, max_age_s=age)
        return self._redirect(place, line)

    async def come_back(self, request: web.Request) -> web.Response:
        """The provider has sent the browser back."""
        provider = self._oidc(request)
        address = self._logins.address(request)
        wait_s = self._failed.wait_s(address, "", monotonic())
        if wait_s > 0:  # before the provider is troubled
            return self._too_many(request, wait_s)
        trip, told = self._trip(request)
        await provider.check_sender(told.get("iss"))
        if "code" not in told or "error" in told:
            raise Failure(403, "The log-in was ended there.", "provider-refused", _error(told))
        await self._use(told["state"])
        claims = await provider.claims(trip, told["code"], self._redirect_uri(request))
        grant = grant_of(claims, self._settings.oidc, self._settings.environment)
        line = await self._logins.begin(request, grant, store.Method.OIDC, inf)
        return self._redirect(trip.next, line, self._no_trip())

    # ── the way back ──────────────────────────────────────────────────────────────────────────

    def _oidc(self, request: web.Request) -> Provider:
        if self._provider is None:
            raise Failure(404, "This admin knows no other log-in than by a token.")
        if not self._logins.may_have_sessions(request):
            raise Failure(403, "Log-ins need https: ask for the address that begins with it.")
        return self._provider

    def _redirect_uri(self, request: web.Request) -> str:
        return self._logins.origin(request) + local.RETURN

    def _trip(self, request: web.Request) -> tuple[Trip, Mapping[str, str]]:
        """The log-in that this browser began, and what the provider says of it. Failure."""
        query = request.query
        told = {name: query[name] for name in TOLD_BACK if name in query}
        sealed = local.cookie(request.headers.getall("Cookie", []), self._trip_cookie)
        trip = self._trips.open(sealed, now())
        if trip is None:
            raise Failure(400, "This log-in was not begun here, or took too long. Begin again.")
        state = told.get("state", "").encode("utf-8", "replace")
        doubled = any(len(query.getall(name)) > 1 for name in told)
        if doubled or not hmac.compare_digest(state, self._trips.state(trip).encode()):
            message = "What came back belongs to another log-in. Begin again."
            raise Failure(400, message, "wrong-state", "state")
        return trip, told

    async def _use(self, state: str) -> None:
        """Have this return count. Failure if it has, at whichever admin."""
        digest = sha256(state.encode()).digest()
        async with self._logins.database.connection() as connection:
            used = await store.use_return(connection, digest, self._settings.login)
        if used is store.Use.AGAIN:
            message = "This log-in was used before. Begin again."
            raise Failure(400, message, "used-before", "a return that has counted")
        if used is store.Use.TOO_MANY:
            raise Failure(503, "Too many people log in at once. Try again in a minute.")

    # ── answers ───────────────────────────────────────────────────────────────────────────────

    def _as_page(self, handler: Handler) -> Handler:
        """Whatever goes wrong is told on the page; and the headers of a page."""

        async def way(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except Exception as error:
                failure = _failure(error)
                if failure is None:
                    raise
                return await self._told(request, failure)

        return way

    async def _told(self, request: web.Request, failure: Failure) -> web.Response:
        if failure.fault:
            log.warning("a log-in failed", fault=failure.fault, request_id=request[REQUEST_ID])
        if failure.code:
            address, at = self._logins.address(request), monotonic()
            account = failure.account or failure.subject
            wait_s = self._failed.wait_s(address, account, at)
            if wait_s > 0:
                return self._too_many(request, wait_s)
            self._failed.add(address, account, at)
            await self._leave_row(request, failure, address, at)
        return self._page(request, failure.status, fault=failure.message)

    async def _leave_row(
        self, request: web.Request, failure: Failure, address: str, at: float
    ) -> None:
        left_out = self._failed.row(at)
        if left_out is None:
            return
        author = Author(failure.subject or NOBODY, "", request[REQUEST_ID])
        about = {"address": address, "left_out": left_out}
        try:
            async with self._logins.database.connection() as connection:
                await store.refused(connection, failure.code, about, author)
        except DatabaseUnavailableError:
            log.warning("a failed log-in is not in the audit trail", code=failure.code)

    def _too_many(self, request: web.Request, wait_s: float) -> web.Response:
        seconds = math.ceil(wait_s)
        message = f"Too many log-ins failed. Wait {seconds} seconds."
        response = self._page(request, 429, fault=message)
        response.headers["Retry-After"] = str(seconds)
        return response

    def _page(
        self, request: web.Request, status: int, *, fault: str = "", notice: str = ""
    ) -> web.Response:
        following = local.own_path(request.query.get("next"))
        text = self._template.render(
            fault=fault,
            notice=notice,
            following=following,
            provider=self._settings.oidc.name if self._provider else "",
            environment=self._settings.environment,
        )
        response = web.Response(
            text=text, status=status, content_type="text/html", headers=self._logins.headers
        )
        if status == 503:
            response.headers["Retry-After"] = "1"
        if request.path == local.RETURN:
            response.headers.add("Set-Cookie", self._no_trip())
        return response

    def _redirect(self, place: str, *lines: str) -> web.Response:
        """303, with these Set-Cookie fields."""
        response = web.Response(status=303, headers={**self._logins.headers, "Location": place})
        for line in lines:
            response.headers.add("Set-Cookie", line)
        return response

    def _no_trip(self) -> str:
        return local.cookie_line(self._trip_cookie, "", https=self._logins.https, max_age_s=0)


def _failure(error: Exception) -> Failure | None:
    """What an error means to the person, the log and the audit trail; None: a fault of ours."""
    if isinstance(error, Failure):
        return error
    if isinstance(error, Problem):
        return Failure(error.status, error.detail)
    if type(error) not in MEANINGS:
        return None
    status, code, message = MEANINGS[type(error)]
    return Failure(status, message, code, str(error), getattr(error, "subject", ""))


def _error(told: Mapping[str, str]) -> str:
    """The provider's error code (RFC 6749, section 4.1.2.1), if it is one."""
    error = told.get("error", "")
    is_code = error.isascii() and error.replace("_", "").isalnum() and len(error) <= 64
    return error if is_code else "no reason given"


def _account(token: str) -> str:
    """Who a token that isn't believed says it is for: guesses at one name are counted together."""
    try:
        subject = take_apart(token).claims.get("sub")
    except (ValueError, RecursionError):
        return ""
    return subject if isinstance(subject, str) and len(subject) <= MAX_SUBJECT else ""
