"""Who asks: the bearer token of a request, believed, remembered, or refused.

Rules: a token is checked before the body is read. Verified tokens are remembered by their
SHA-256, bounded in number, until they expire. An address that showed too many bad tokens has to
wait, unless it shows one that is remembered.
"""

import math
from hashlib import sha256
from time import monotonic

from aiohttp import web

from admin.api.problems import Problem
from admin.config import Settings
from admin.tokens import Principal, Role, TokenError, now, verify_token

WINDOW_S = 60.0
MAX_ADDRESSES = 10_000


class Failures:
    """Bad tokens by address, in windows of a minute. Bounded: the oldest address is dropped."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._windows: dict[str, tuple[float, int]] = {}

    def wait_s(self, address: str, at: float) -> float:
        """How long this address has to wait, 0 if it hasn't. at: monotonic seconds."""
        began, count = self._windows.get(address, (at, 0))
        return max(0.0, began + WINDOW_S - at) if count >= self._limit else 0.0

    def add(self, address: str, at: float) -> None:
        """One more."""
        began, count = self._windows.pop(address, (at, 0))
        if at - began >= WINDOW_S:
            began, count = at, 0
        self._windows[address] = (began, count + 1)
        if len(self._windows) > MAX_ADDRESSES:
            del self._windows[next(iter(self._windows))]


class Authenticator:
    """Checks tokens and remembers them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._failures = Failures(settings.failed_tokens_per_minute)
        self._verified: dict[bytes, Principal] = {}

    def authenticate(self, request: web.Request) -> Principal:
        """Who sends the request. Problem: 400, 401 or 429."""
        token = _bearer(request)
        digest = sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._verified.get(digest)
        if known is not None:
            if known.expires > now():
                return known
            del self._verified[digest]
        return self._verify(token, digest, request.remote or "")

    def _verify(self, token: str, digest: bytes, address: str) -> Principal:
        # A good token is good from any address: one bad script must not lock out its neighbours.
        try:
            settings = self._settings
            principal = verify_token(settings.token_secret, token, settings.token_leeway_s)
        except TokenError as error:
            raise self._failed(error, address) from None
        self._verified[digest] = principal
        if len(self._verified) > self._settings.token_memory:
            del self._verified[next(iter(self._verified))]
        return principal

    def _failed(self, error: TokenError, address: str) -> Problem:
        wait_s = self._failures.wait_s(address, monotonic())
        if wait_s > 0:
            return Problem(
                "too-many-failed-tokens",
                "this address showed too many bad tokens",
                headers={"Retry-After": str(math.ceil(wait_s))},
            )
        self._failures.add(address, monotonic())
        return _refusal("invalid-token", str(error), ' error="invalid_token"')


def require(principal: Principal, role: Role) -> None:
    """Problem 403 unless the role is enough."""
    if not principal.role.allows(role):
        raise Problem("forbidden-role", f"this needs the role {role}, not {principal.role}")


def _bearer(request: web.Request) -> str:
    headers = request.headers.getall("Authorization", [])
    if len(headers) > 1:
        raise Problem("invalid-authorization", "there is more than one Authorization header")
    if not headers:
        raise _refusal("unauthenticated", "send Authorization: Bearer <token>", "")
    scheme, _, token = headers[0].partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise _refusal("unauthenticated", "send Authorization: Bearer <token>", "")
    return token.strip()


def _refusal(code: str, detail: str, challenge: str) -> Problem:
    realm = f'Bearer realm="turnout"{"," if challenge else ""}{challenge}'
    return Problem(code, detail, headers={"WWW-Authenticate": realm})
