"""Who looks at a page. The one place where a log-in is plugged in: `dashboard.add(…, sessions=…)`."""

import hmac
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from aiohttp import web

from admin.api.auth import Authenticator
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

    async def of(self, request: web.Request) -> Session:
        """Problem 401 (429) without one, or web.HTTPFound to where one is begun."""
        ...


class TokenSessions:
    """Sessions of those who send the API's bearer token with each request, as a test's driver does."""

    def __init__(self, authenticator: Authenticator, secret: str) -> None:
        self._authenticator, self._secret = authenticator, secret.encode()

    async def of(self, request: web.Request) -> Session:
        """Problem 400, 401 or 429."""
        principal = self._authenticator.authenticate(request)
        about = f"csrf {principal.expires} {principal.subject}".encode()
        return Session(principal, hmac.new(self._secret, about, sha256).hexdigest())


def check_csrf(session: Session, given: str) -> None:
    """Problem 403 unless the form is one that was made for this session."""
    if not hmac.compare_digest(session.csrf.encode(), given.encode("utf-8", "replace")):
        raise Problem("foreign-origin", "the form was not made for this session: load it again")
