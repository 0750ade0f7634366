"""PURE: from the claims of a verified ID token to who somebody is here, and what they may.

Rules: who has no role in this admin's environment stays outside; a claim that the settings name
has to be there and of its type. The highest of several roles counts.
"""

from dataclasses import dataclass
from typing import Any

from admin.login.config import Oidc
from admin.tokens import MAX_SCOPE, MAX_SUBJECT, Role
from proxy.routing.model import is_tenant

ALL = "*"


class NoGrantError(Exception):
    """The person is known and may not come in. subject: who, "" if that can't be said."""

    def __init__(self, reason: str, subject: str = "") -> None:
        super().__init__(reason)
        self.subject = subject


@dataclass(frozen=True, slots=True)
class Grant:
    """Who somebody is. tenants: the only ones that they may change, None for all."""

    subject: str
    role: Role
    tenants: frozenset[str] | None


def grant_of(claims: dict[str, Any], settings: Oidc, environment: str) -> Grant:
    """What the claims are worth here. NoGrantError."""
    subject = _subject(claims, settings.subject_claim)
    given = _strings(claim(claims, settings.roles_claim))
    known = settings.roles.get(environment, {})
    roles = [known[value] for value in given if value in known]
    if not roles:
        raise NoGrantError(f"no role in {environment}", subject)
    return Grant(subject, max(roles, key=list(Role).index), _tenants(claims, settings, subject))


def claim(claims: dict[str, Any], name: str) -> Any:
    """The claim of this name, else what the path with dots leads to; None if there is neither."""
    if name in claims:
        return claims[name]
    found: Any = claims
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _subject(claims: dict[str, Any], name: str) -> str:
    subject = claim(claims, name)
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT:
        raise NoGrantError("the token does not say who it is for")
    if not subject.isprintable():
        raise NoGrantError("the name in the token is not printable")
    if name == "email" and claims.get("email_verified") is not True:
        raise NoGrantError("the address in the token is not verified")
    return subject


def _strings(value: Any) -> list[str]:
    found = [value] if isinstance(value, str) else value
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []


def _tenants(claims: dict[str, Any], settings: Oidc, subject: str) -> frozenset[str] | None:
    if not settings.tenants_claim:
        return None
    listed = claim(claims, settings.tenants_claim)
    if listed == [ALL]:
        return None
    if not isinstance(listed, list) or len(listed) > MAX_SCOPE:
        raise NoGrantError("the token lists no tenants", subject)
    if not all(isinstance(tenant, str) and is_tenant(tenant) for tenant in listed):
        raise NoGrantError("the tenants in the token are no ids", subject)
    return frozenset(listed)
