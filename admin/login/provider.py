"""The provider: what it says of itself, its keys, and the exchange of a code for an ID token.

Rules: what it says of itself has to name the configured issuer exactly, and every address in it is
https (http on this host only). Description and keys are fetched when somebody logs in and they have
grown old, one fetch at a time; when that fails the old ones stay for `keep_s`, and the next try
waits for `retry_s`. A token with a key that is not known has the keys fetched anew, no sooner than
`unknown_key_s` after the last time. The client's secret is looked up for each exchange and kept
nowhere.
"""

import asyncio
import base64
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any, Generic, TypeVar
from urllib.parse import quote_plus, urlencode

import structlog

from admin.login.config import Oidc, is_safe_url
from admin.login.fetch import FetchError, fetch
from admin.login.id_token import Expected, IdTokenError, UnknownKeyError, verify
from admin.login.keys import KeySet, KeySetError, read_keys
from admin.login.tokens import Parts, read_object, take_apart
from admin.login.transaction import Trip, Trips
from admin.migrations.references import ReferenceFault, secret
from admin.tokens import now

log = structlog.get_logger(__name__)
WELL_KNOWN = "/.well-known/openid-configuration"
_ERROR = re.compile(r"[a-z_]{1,64}")
Found = TypeVar("Found")


class UnavailableError(Exception):
    """The provider can't be asked now, or what it says can't be used. The message is for the log."""


class RefusedError(Exception):
    """This log-in can't be believed. The message is for the log."""


@dataclass(frozen=True, slots=True)
class Description:
    """What is used of what a provider says of itself (OpenID Connect Discovery, section 3).

    names_itself: it says in each answer who it is (RFC 9207). basic: the client's secret is taken
    in a header, not in the form.
    """

    authorization: str
    token: str
    jwks: str
    names_itself: bool
    basic: bool


def read_description(raw: bytes, issuer: str) -> Description:
    """The description. UnavailableError if it can't be used."""
    try:
        said = read_object(raw)
    except (ValueError, RecursionError):
        raise UnavailableError("its description is not JSON that can be read in one way") from None
    if said.get("issuer") != issuer:
        raise UnavailableError("its description names another issuer")
    places = [said.get(name) for name in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
    if not all(isinstance(place, str) and is_safe_url(place) for place in places):
        raise UnavailableError("its description has an address that is missing or not https")
    methods = said.get("code_challenge_methods_supported", ["S256"])
    if not isinstance(methods, list) or "S256" not in methods:
        raise UnavailableError("it does not take PKCE with S256")
    shown = said.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    basic = not isinstance(shown, list) or "client_secret_basic" in shown
    names_itself = said.get("authorization_response_iss_parameter_supported") is True
    authorization, token, jwks = map(str, places)
    return Description(authorization, token, jwks, names_itself, basic)


class Kept(Generic[Found]):
    """Something that is fetched again when it is old, and outlasts fetches that fail."""

    def __init__(self, what: str, read: Callable[[], Awaitable[Found]], settings: Oidc) -> None:
        self._what, self._read, self._settings = what, read, settings
        self._lock = asyncio.Lock()
        self._found: Found | None = None
        self._found_at = self._tried_at = -float("inf")
        self._fault = ""

    async def current(self) -> Found:
        """What there is, not older than it may be. UnavailableError."""
        async with self._lock:
            settings, at = self._settings, monotonic()
            is_due = at - self._found_at >= settings.refresh_s
            if is_due and not (self._fault and at - self._tried_at < settings.retry_s):
                await self._try()
            return self._kept()

    async def newer(self) -> Found:
        """The same, fetched anew if the last time is long enough ago. UnavailableError."""
        async with self._lock:
            if monotonic() - self._tried_at >= self._settings.unknown_key_s:
                await self._try()
            return self._kept()

    async def _try(self) -> None:
        self._tried_at = monotonic()
        try:
            self._found = await self._read()
            self._found_at, self._fault = monotonic(), ""
        except (FetchError, KeySetError, UnavailableError) as error:
            self._fault = str(error)
            log.warning("the provider can't be asked", what=self._what, fault=self._fault)

    def _kept(self) -> Found:
        age_s = monotonic() - self._found_at
        if self._found is None or (self._fault and age_s > self._settings.keep_s):
            raise UnavailableError(f"{self._what}: {self._fault}")
        return self._found


class Provider:
    """The OpenID provider of the settings."""

    def __init__(self, settings: Oidc, trips: Trips) -> None:
        self.settings, self._trips = settings, trips
        self._description = Kept("description", self._describe, settings)
        self._keys = Kept("keys", self._read_keys, settings)

    async def way_there(self, trip: Trip, redirect_uri: str) -> str:
        """The address to send the browser to. UnavailableError."""
        place = (await self._description.current()).authorization
        query = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(self.settings.scopes),
            "state": self._trips.state(trip),
            "nonce": self._trips.nonce(trip),
            "code_challenge": self._trips.challenge(trip),
            "code_challenge_method": "S256",
        }
        return f"{place}{'&' if '?' in place else '?'}{urlencode(query)}"

    async def check_sender(self, named: str | None) -> None:
        """RFC 9207, section 2.4: an answer of another server is none. RefusedError.

        named: the answer's `iss`. UnavailableError.
        """
        description = await self._description.current()
        if named is None and description.names_itself:
            raise RefusedError("the answer does not say which server it is from")
        if named is not None and named != self.settings.issuer:
            raise RefusedError("the answer is from another server")

    async def claims(self, trip: Trip, code: str, redirect_uri: str) -> dict[str, Any]:
        """What the ID token says that the code is worth. RefusedError, UnavailableError."""
        try:
            token = take_apart(await self._exchange(trip, code, redirect_uri))
            return await self._verified(token, self._trips.nonce(trip))
        except (ValueError, RecursionError) as error:
            raise RefusedError(f"the ID token: {error}") from None
        except IdTokenError as error:
            raise RefusedError(f"the ID token: {error}") from None

    async def _verified(self, token: Parts, nonce: str) -> dict[str, Any]:
        settings = self.settings
        expected = Expected(
            settings.issuer, settings.client_id, nonce, settings.algorithms, settings.leeway_s
        )
        try:
            return verify(token, await self._keys.current(), expected, now())
        except UnknownKeyError:
            return verify(token, await self._keys.newer(), expected, now())

    async def _exchange(self, trip: Trip, code: str, redirect_uri: str) -> str:
        """The ID token (OpenID Connect Core, section 3.1.3)."""
        description = await self._description.current()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": self._trips.verifier(trip),
        }
        fields, headers = self._credentials(basic=description.basic)
        try:
            status, body = await fetch(
                description.token, self.settings, {**form, **fields}, headers
            )
        except FetchError as error:
            raise UnavailableError(f"exchange: {error}") from None
        answer = _answer(status, body)
        token = answer.get("id_token")
        if str(answer.get("token_type")).lower() != "bearer" or not isinstance(token, str):
            raise RefusedError("the exchange gave no ID token")
        return token

    def _credentials(self, *, basic: bool) -> tuple[dict[str, str], dict[str, str]]:
        """How the client shows who it is: fields of the form, and headers."""
        settings = self.settings
        if not settings.client_secret:
            return {"client_id": settings.client_id}, {}
        try:
            shown = secret(settings.client_secret)
        except ReferenceFault as error:
            raise UnavailableError(str(error)) from None
        if not basic:
            return {"client_id": settings.client_id, "client_secret": shown}, {}
        # RFC 6749, section 2.3.1: both are encoded as in a form before they are joined.
        pair = f"{quote_plus(settings.client_id)}:{quote_plus(shown)}".encode()
        return {}, {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}

    async def _describe(self) -> Description:
        issuer = self.settings.issuer
        raw = await self._get(issuer.removesuffix("/") + WELL_KNOWN)
        return read_description(raw, issuer)

    async def _read_keys(self) -> KeySet:
        raw = await self._get((await self._description.current()).jwks)
        return read_keys(raw, self.settings.algorithms, self.settings.max_keys)

    async def _get(self, url: str) -> bytes:
        status, body = await fetch(url, self.settings)
        if status != 200:
            raise UnavailableError(f"answered with {status}")
        return body


def _answer(status: int, body: bytes) -> dict[str, Any]:
    """The document of the token endpoint. RefusedError, UnavailableError."""
    try:
        answer = read_object(body)
    except (ValueError, RecursionError):
        raise UnavailableError(f"exchange: {status} and no JSON") from None
    if status == 200:
        return answer
    error = answer.get("error")
    named = error if isinstance(error, str) and _ERROR.fullmatch(error) else "no reason given"
    if status >= 500:
        raise UnavailableError(f"exchange: {status} ({named})")
    raise RefusedError(f"the exchange was refused ({named})")
