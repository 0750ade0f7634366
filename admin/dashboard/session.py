"""Who looks at a page. The one place where a log-in is plugged in: `dashboard.add(…, sessions=…)`."""

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from aiohttp import web

from admin.api.problems import Problem
from admin.tokens import Principal


@dataclass(frozen=True, slots=True)
class Session:
    """A visit. csrf: what each of its forms brings along. leave: where to log out; empty: nowhere."""

    principal: Principal
    csrf: str
    leave: str = ""


class Sessions(Protocol):
    """Finds the session of a request."""

    async def of(self, request: web.Request) -> Session | web.StreamResponse:
        """The session, or the answer for who has none. Problem 400, 401, 403 or 429."""
        ...


class TokenSessions:
    """Sessions of those who send the API's bearer token with each request, as a test's driver does."""

    def __init__(self, authenticate: Callable[[web.Request], Principal], secret: str) -> None:
        """authenticate: who sends a token. secret: what the forms' tokens are made from."""
        self._authenticate, self._secret = authenticate, secret

    async def of(self, request: web.Request) -> Session | web.StreamResponse:
        """Problem 400, 401 or 429."""
        principal = self._authenticate(request)
        return Session(principal, csrf_of(principal, self._secret))


class Visitor(Protocol):
    """Whose log-in it is."""

    @property
    def principal(self) -> Principal:
        """Who, in which role."""
        ...

    @property
    def csrf(self) -> str:
        """What the forms of this log-in bring along."""
        ...


class Door(Protocol):
    """What a log-in has to know for the dashboard."""

    async def principal(self, request: web.Request) -> Principal:
        """Who sends a bearer token. Problem 400, 401 or 429."""
        ...

    async def visitor(self, request: web.Request) -> Visitor | None:
        """Whose log-in a request brings; None without one."""
        ...

    async def check_forgery(self, request: web.Request) -> None:
        """Problem 403 unless a page of our own sends this."""
        ...

    def to_login(self, request: web.Request) -> web.Response:
        """The answer for who has to log in first."""
        ...


class DoorSessions:
    """Sessions of those who have logged in, and of those who send a bearer token."""

    def __init__(self, door: Door, secret: str, leave: str = "/ui/logout") -> None:
        """secret: what the forms' tokens of bearers are made from. leave: where one logs out."""
        self._door, self._secret, self._leave = door, secret, leave

    async def of(self, request: web.Request) -> Session | web.StreamResponse:
        """Problem 400, 401, 403 or 429."""
        if "Authorization" in request.headers:
            principal = await self._door.principal(request)
            return Session(principal, csrf_of(principal, self._secret))
        visitor = await self._door.visitor(request)
        if visitor is None:
            return self._door.to_login(request)
        if request.method not in {"GET", "HEAD"}:
            await self._door.check_forgery(request)
        return Session(visitor.principal, visitor.csrf, self._leave)


def csrf_of(principal: Principal, secret: str) -> str:
    """What the forms of a bearer's pages bring along; the same for as long as the token lasts."""
    about = f"csrf {principal.expires} {principal.subject}".encode()
    return hmac.new(secret.encode(), about, sha256).hexdigest()


def check_own_page(request: web.Request) -> None:
    """Problem 403 for what another site embeds or fetches (W3C, Fetch Metadata)."""
    site = request.headers.get("Sec-Fetch-Site", "none")
    if site not in {"none", "same-origin"} and request.headers.get("Sec-Fetch-Mode") != "navigate":
        raise Problem("foreign-origin", "this page can't be embedded or fetched")


def check_csrf(session: Session, given: str) -> None:
    """Problem 403 unless the form is one that was made for this session."""
    if not hmac.compare_digest(session.csrf.encode(), given.encode("utf-8", "replace")):
        raise Problem("foreign-origin", "the form was not made for this session: load it again")
