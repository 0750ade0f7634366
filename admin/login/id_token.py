"""PURE: what an ID token must say (OpenID Connect Core, section 3.1.3.7).

Rules: what costs little is checked first, the signature before any claim is believed. The
algorithm is one of the settings', and the key's own. exp and iat are required; iss, aud, azp and
nonce are exact. Messages say which rule was broken, never what the token says.
"""

import hmac
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from admin.login.keys import KeySet
from admin.login.tokens import Parts

_LAST_DATE = 253_402_300_799  # the end of the year 9999


class IdTokenError(Exception):
    """The ID token can't be believed. Its message is for the log."""


class UnknownKeyError(IdTokenError):
    """None of the keys may judge it: they may have changed."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What the token has to name. leeway_s: how far clocks may differ."""

    issuer: str
    client_id: str
    nonce: str
    algorithms: Collection[str]
    leeway_s: float


def verify(token: Parts, keys: KeySet, expected: Expected, at: float) -> dict[str, Any]:
    """The claims. IdTokenError, UnknownKeyError. at: Unix seconds."""
    if token.algorithm not in expected.algorithms:
        raise IdTokenError("its algorithm is not allowed")
    key = keys.find(token)
    if key is None:
        raise UnknownKeyError("its key is not known")
    if not key.verifies(token):
        raise IdTokenError("its signature is not valid")
    claims = token.claims
    if claims.get("iss") != expected.issuer:
        raise IdTokenError("it is from another issuer")
    _check_audience(claims, expected.client_id)
    _check_times(claims, expected.leeway_s, at)
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not _same(nonce, expected.nonce):
        raise IdTokenError("it belongs to another log-in")
    return claims


def _check_audience(claims: dict[str, Any], client_id: str) -> None:
    audience = claims.get("aud")
    found = [audience] if isinstance(audience, str) else audience
    if not isinstance(found, list) or client_id not in found:
        raise IdTokenError("it is meant for somebody else")
    # With several audiences it has to say which of them asked for it.
    if claims.get("azp", client_id if len(found) == 1 else None) != client_id:
        raise IdTokenError("somebody else asked for it")


def _check_times(claims: dict[str, Any], leeway_s: float, at: float) -> None:
    expires, issued = _date(claims, "exp"), _date(claims, "iat")
    if expires is None or issued is None:
        raise IdTokenError("it does not say when it began and expires")
    if at >= expires + leeway_s:
        raise IdTokenError("it has expired")
    if at < max(issued, _date(claims, "nbf") or issued) - leeway_s:
        raise IdTokenError("it is not valid yet")


def _date(claims: dict[str, Any], name: str) -> float | None:
    date = claims.get(name)
    if date is None:
        return None
    if isinstance(date, bool) or not isinstance(date, int | float) or not 0 <= date <= _LAST_DATE:
        raise IdTokenError("a time in it is not a date")
    return float(date)


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())
