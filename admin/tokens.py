"""Bearer tokens of the admin API: made for people and scripts, verified on each request.

Rules: HS256 and nothing else, whatever the token says of itself; its size and alphabet are
checked before anything is decoded; issuer and audience are exact; it always expires. Neither
tokens nor the secret appear in an error.
"""

import math
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import jwt

from proxy.routing.model import is_tenant

ISSUER = "turnout"
AUDIENCE = "turnout-admin"
ALGORITHM = "HS256"
MAX_TOKEN_BYTES = 8192
MAX_SUBJECT = 200
MAX_SCOPE = 1000
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")
_HEADER_FIELDS = frozenset({"alg", "typ", "kid"})


class Role(StrEnum):
    """What its holder may do; each role may do all that those before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"

    def allows(self, needed: "Role") -> bool:
        """Whether this role is enough where `needed` is asked for."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


class TokenError(Exception):
    """The token can't be believed; the message says why in general words."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks. tenants: the only tenants it may change, None for all. expires: Unix seconds."""

    subject: str
    role: Role
    tenants: frozenset[str] | None
    expires: float


def now() -> float:
    """Unix seconds: what a token's times are compared with."""
    return datetime.now(UTC).timestamp()


def create_token(
    secret: str, subject: str, role: str, ttl_s: float, tenants: Sequence[str] | None = None
) -> str:
    """A token for the subject, valid for ttl_s seconds. ValueError for what would not verify."""
    if not 0 < len(subject) <= MAX_SUBJECT or not subject.isprintable():
        raise ValueError(f"a subject is 1 to {MAX_SUBJECT} printable characters")
    if not 0 < ttl_s < 10 * 366 * 86_400:
        raise ValueError("a token lives for more than 0 seconds and less than 10 years")
    issued = now()
    claims: dict[str, Any] = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": subject,
        "role": str(Role(role)),
        "iat": int(issued),
        "exp": math.ceil(issued + ttl_s),
        "jti": uuid.uuid4().hex,
    }
    if tenants is not None:
        claims["tenants"] = sorted(_scope(list(tenants)) or ())
    return jwt.encode(claims, secret, algorithm=ALGORITHM)


def verify_token(secret: str, token: str, leeway_s: float = 60.0) -> Principal:
    """Who the token names. TokenError if it can't be believed. leeway_s: clocks may differ."""
    if len(token) > MAX_TOKEN_BYTES or _COMPACT.fullmatch(token) is None:
        raise TokenError("the token is not a compact JWT of at most 8 KiB")
    try:
        decoded = jwt.decode_complete(
            token,
            secret,
            algorithms=[ALGORITHM],
            issuer=ISSUER,
            audience=AUDIENCE,
            leeway=leeway_s,
            options={"require": ["exp", "sub", "iss", "aud", "role"], "strict_aud": True},
        )
    except jwt.ExpiredSignatureError:
        raise TokenError("the token has expired") from None
    # PyJWT turns a number into a time before it checks it: infinity and NaN end here.
    except (jwt.PyJWTError, ValueError, OverflowError, RecursionError, TypeError):
        raise TokenError("the token is not valid here") from None
    if decoded["header"].keys() - _HEADER_FIELDS:
        raise TokenError("the token's header has fields that are not understood")
    return _principal(decoded["payload"])


def _principal(claims: dict[str, Any]) -> Principal:
    subject, expires = claims["sub"], claims["exp"]
    if isinstance(expires, bool) or not isinstance(expires, int | float):
        raise TokenError("the token's exp is not a number")
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT:
        raise TokenError("the token's sub is not a name")
    if not subject.isprintable():
        raise TokenError("the token's sub is not printable")
    try:
        role, scope = Role(claims["role"]), _scope(claims.get("tenants"))
    except ValueError:
        raise TokenError("the token's role or tenants can't be used") from None
    return Principal(subject, role, scope, float(expires))


def _scope(tenants: object) -> frozenset[str] | None:
    if tenants is None:
        return None
    if not isinstance(tenants, list) or len(tenants) > MAX_SCOPE:
        raise ValueError(f"a scope is a list of at most {MAX_SCOPE} tenants")
    if not all(isinstance(tenant, str) and is_tenant(tenant) for tenant in tenants):
        raise ValueError("a scope lists tenant ids")
    return frozenset(tenants)
