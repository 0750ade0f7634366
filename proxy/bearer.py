"""The tenant claim of a verified token (JWT, RFC 7519), remembered until it expires.

Rules: the algorithm is chosen by the configuration, never by the token; `exp` is required;
issuer and audience are exact. What was verified is remembered by the token's SHA-256, bounded,
and no longer than its `exp`. Errors never repeat any part of a token.
"""

import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import jwt

MAX_TOKEN_BYTES = 8192
MAX_REMEMBERED = 100_000


class BearerError(Exception):
    """The request's token can't be believed; the message may be shown to the client."""


class BearerVerifier:
    """Verifies tokens by one configured key.

    key: the shared secret or the public key in PEM. claim: the claim that names the tenant.
    leeway_s: how far clocks may differ. wall_clock: seconds since the epoch.
    """

    def __init__(
        self,
        key: str | bytes,
        algorithm: str,
        issuer: str,
        audience: str,
        claim: str,
        leeway_s: float,
        wall_clock: Callable[[], float] = time.time,  # noqa: TID251 - exp is a date
    ) -> None:
        self._key = key
        self._algorithm = algorithm
        self._issuer = issuer
        self._audience = audience
        self._claim = claim
        self._leeway_s = leeway_s
        self._wall_clock = wall_clock
        self._remembered: dict[bytes, tuple[str | None, float]] = {}

    def tenant(self, authorization: bytes) -> str | None:
        """The tenant that the Authorization field's token names.

        None if the scheme is not Bearer or the token carries no such claim. BearerError if the
        token can't be believed.
        """
        scheme, _, token = authorization.partition(b" ")
        if scheme.lower() != b"bearer":
            return None
        token = token.strip(b" ")
        if len(token) > MAX_TOKEN_BYTES:
            raise BearerError("the token is too long")
        digest = sha256(token).digest()
        known = self._remembered.get(digest)
        if known is not None and self._wall_clock() < known[1]:
            return known[0]
        tenant, expires = self._verify(token)
        if len(self._remembered) >= MAX_REMEMBERED:
            self._remembered.clear()
        self._remembered[digest] = (tenant, expires)
        return tenant

    def _verify(self, token: bytes) -> tuple[str | None, float]:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key,
                algorithms=[self._algorithm],
                issuer=self._issuer,
                audience=self._audience,
                leeway=self._leeway_s,
                options={"require": ["exp", "iss", "aud"]},
            )
            expires = float(claims["exp"]) + self._leeway_s
        except (jwt.PyJWTError, OverflowError) as error:
            raise BearerError(_reason(error)) from None
        tenant = claims.get(self._claim)
        if tenant is not None and not isinstance(tenant, str):
            raise BearerError("the tenant claim is not a string")
        return tenant, expires


def _reason(error: Exception) -> str:
    if isinstance(error, jwt.ExpiredSignatureError):
        return "the token has expired"
    if isinstance(error, jwt.InvalidIssuerError | jwt.InvalidAudienceError):
        return "the token is meant for another audience or from another issuer"
    if isinstance(error, jwt.MissingRequiredClaimError):
        return "the token lacks a required claim"
    return "the token's signature or form is not valid"
