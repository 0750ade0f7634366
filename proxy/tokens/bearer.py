"""The tenant claim of a verified token (JWT, RFC 7519), remembered until it expires.

Rules: the issuer that a token names decides what it must be: algorithm, key, audience, claim and
the tenants that it may name. All that costs little is checked first, the signature last, and
nothing that a token says is believed before. What was verified is remembered by the token's
SHA-256, no longer than its `exp`, and forgotten when a key goes; the least recently used goes
first when the memory is full, one at a time, so that no request pays for many. What was refused
is remembered for seconds, so that a client that repeats itself costs no signature each time.
Errors never repeat any part of a token.
"""

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from hashlib import sha256
from math import inf
from typing import Any, Final

from proxy.observability.telemetry import REFUSED_TOKENS, TOKEN_REASONS, WORKER_CELLS
from proxy.routing.model import TENANT_PATTERN, is_tenant
from proxy.tokens.jws import Compact, read_object, take_apart
from proxy.tokens.keyset import NO_KEYS, KeySet
from proxy.tokens.settings import Tokens

_LAST_DATE: Final = 253_402_300_799  # the end of the year 9999
_PASSING: Final = frozenset({"early", "key", "no-keys"})
"""Reasons that may end before the memory of a refusal does."""


class BearerError(Exception):
    """The request's token can't be believed; the message may be shown to the client.

    reason: one of telemetry.TOKEN_REASONS.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class KeysMissingError(BearerError):
    """The token can't be judged: no keys of its issuer have been loaded, or they are too old."""


class Verified:
    """What a token says. tenant: None if it names none. expires: seconds since the epoch."""

    __slots__ = ("expires", "tenant")

    def __init__(self, tenant: str | None, expires: float) -> None:
        self.tenant = tenant
        self.expires = expires


_NO_TOKEN: Final = Verified(None, inf)


class Issuer:
    """Who signs tokens. The settings of the same names say what each means.

    keys: replaced by BearerVerifier.use_keys alone. ask: called when a token names a key that is
    not there; must not wait.
    """

    __slots__ = (
        *("algorithms", "ask", "audiences", "claim", "issuer", "keys", "leeway_s"),
        "tenant_pattern",
    )

    def __init__(
        self,
        issuer: str,
        audiences: Iterable[str],
        algorithms: Iterable[str],
        keys: KeySet,
        *,
        claim: str = "tenant",
        tenant_pattern: str = TENANT_PATTERN,
        leeway_s: float = 60.0,
    ) -> None:
        self.issuer = issuer
        self.audiences = frozenset(audiences)
        self.algorithms = frozenset(algorithms)
        self.keys = keys
        self.claim = claim
        self.tenant_pattern = re.compile(tenant_pattern)
        self.leeway_s = leeway_s
        self.ask: Callable[[], None] | None = None


class BearerVerifier:
    """Verifies tokens of the issuers that it knows.

    generation: grows whenever what was verified may no longer hold. cells: where refusals are
    counted, as in a telemetry block. wall_clock: seconds since the epoch.
    """

    def __init__(
        self,
        issuers: Iterable[Issuer],
        limits: Tokens | None = None,
        cells: "memoryview[int] | None" = None,
        wall_clock: Callable[[], float] = time.time,  # noqa: TID251 - exp is a date
    ) -> None:
        limits = Tokens() if limits is None else limits
        self.generation = 0
        self.issuers = {issuer.issuer: issuer for issuer in issuers}
        self._max_bytes = limits.max_bytes
        self._max_depth = limits.max_depth
        self._max_remembered = limits.remembered
        self._max_refused = limits.refused_remembered
        self._refused_s = limits.refused_s
        self._cells = memoryview(bytearray(WORKER_CELLS * 8)).cast("q") if cells is None else cells
        self._wall_clock = wall_clock
        self._remembered: OrderedDict[bytes, Verified] = OrderedDict()
        self._refused: OrderedDict[bytes, tuple[str, str, float]] = OrderedDict()

    def tenant(self, authorization: bytes) -> str | None:
        """The tenant that the Authorization field's token names.

        None if the scheme is not Bearer or the token carries no such claim. BearerError if the
        token can't be believed.
        """
        return self.verified(authorization).tenant

    def verified(self, authorization: bytes) -> Verified:
        """As `tenant`, with the time until which it holds while `generation` stays the same."""
        scheme, _, token = authorization.partition(b" ")
        if scheme.lower() != b"bearer":
            return _NO_TOKEN
        token = token.strip(b" ")
        if len(token) > self._max_bytes:
            raise self._counted("form", "the token is too long")
        digest = sha256(token).digest()
        now = self._wall_clock()
        known = self._remembered.get(digest)
        if known is not None:
            if now < known.expires:
                self._remembered.move_to_end(digest)
                return known
            del self._remembered[digest]
        return self._verify_and_remember(token, digest, now)

    def use_keys(self, issuer: Issuer, keys: KeySet) -> None:
        """The issuer's keys from now on. What a key that is gone has signed is forgotten."""
        gone = issuer.keys.identities - keys.identities
        issuer.keys = keys
        self._refused.clear()
        if gone:
            self._remembered.clear()
            self.generation += 1

    # ── a token that is not remembered ────────────────────────────────────────────────────────

    def _verify_and_remember(self, token: bytes, digest: bytes, now: float) -> Verified:
        refused = self._refused.get(digest)
        if refused is not None and now < refused[2]:
            raise self._counted(refused[0], refused[1])
        try:
            verified = self._verify(token, now)
        except BearerError as error:
            if error.reason not in _PASSING:
                self._refused.pop(digest, None)
                if len(self._refused) >= self._max_refused:
                    self._refused.popitem(last=False)
                self._refused[digest] = (error.reason, str(error), now + self._refused_s)
            self._count(error.reason)
            raise
        if len(self._remembered) >= self._max_remembered:
            self._remembered.popitem(last=False)
        self._remembered[digest] = verified
        return verified

    def _verify(self, token: bytes, now: float) -> Verified:
        try:
            parts = take_apart(token, self._max_depth)
            claims = read_object(parts.payload, self._max_depth)
        except (ValueError, RecursionError):
            raise BearerError("form", "the token's form is not valid") from None
        named = claims.get("iss")
        issuer = self.issuers.get(named) if isinstance(named, str) else None
        if issuer is None:
            raise BearerError("issuer", "the token is from another issuer")
        if parts.algorithm not in issuer.algorithms:
            raise BearerError("algorithm", "the token's algorithm is not allowed")
        if not _audiences(claims) & issuer.audiences:
            raise BearerError("audience", "the token is meant for another audience")
        expires = _times(claims, now, issuer.leeway_s)
        tenant = _tenant(claims, issuer)
        self._check_signature(parts, issuer)
        return Verified(tenant, expires)

    def _check_signature(self, parts: Compact, issuer: Issuer) -> None:
        key = issuer.keys.find(parts)
        if key is None:
            if issuer.ask is not None and not issuer.keys.knows(parts.kid):
                issuer.ask()
            if issuer.keys is NO_KEYS:
                raise KeysMissingError(
                    "no-keys", "the keys of the token's issuer are not there yet"
                )
            raise BearerError("key", "the token's key is not known")
        if not key.verifies(parts):
            raise BearerError("signature", "the token's signature is not valid")

    def _counted(self, reason: str, message: str) -> BearerError:
        self._count(reason)
        return BearerError(reason, message)

    def _count(self, reason: str) -> None:
        self._cells[REFUSED_TOKENS + TOKEN_REASONS.index(reason)] += 1


# ── claims ────────────────────────────────────────────────────────────────────────────────────


def _audiences(claims: dict[str, Any]) -> frozenset[str]:
    """RFC 7519 §4.1.3: a string, or a list of strings."""
    audience = claims.get("aud")
    found = [audience] if isinstance(audience, str) else audience
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise BearerError("claims", "the token's audience is missing or no name")
    return frozenset(found)


def _times(claims: dict[str, Any], now: float, leeway_s: float) -> float:
    """Until when the token may be believed, in seconds since the epoch. BearerError if not now."""
    expires = _date(claims, "exp")
    if expires is None:
        raise BearerError("claims", "the token does not say when it expires")
    if now >= expires + leeway_s:
        raise BearerError("expired", "the token has expired")
    for name in ("nbf", "iat"):
        begins = _date(claims, name)
        if begins is not None and now < begins - leeway_s:
            raise BearerError("early", "the token is not valid yet")
    return expires + leeway_s


def _date(claims: dict[str, Any], name: str) -> float | None:
    if name not in claims:
        return None
    date = claims[name]
    if isinstance(date, bool) or not isinstance(date, int | float) or not 0 <= date <= _LAST_DATE:
        raise BearerError("claims", "a time in the token is not a date")
    return float(date)


def _tenant(claims: dict[str, Any], issuer: Issuer) -> str | None:
    if issuer.claim not in claims:
        return None
    tenant = claims[issuer.claim]
    if not isinstance(tenant, str) or not is_tenant(tenant):
        raise BearerError("tenant", "the tenant claim is not a tenant's id")
    if issuer.tenant_pattern.fullmatch(tenant) is None:
        raise BearerError("tenant", "the token's issuer may not name this tenant")
    return tenant
