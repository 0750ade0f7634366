"""Whose request is it: the tenant, read from what the request says of itself.

Rule: sources are never weighed against each other. All configured sources are read; if two
name different tenants, the request is refused, for one of them is wrong or forged. The order
decides only which source is named as the reason. What a source may be believed on (a token
whose signature holds, a header from a trusted network) is checked before it comes here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from proxy.routing.model import is_tenant


class Source(StrEnum):
    """Where a tenant can be named."""

    CLAIM = "claim"
    HEADER = "header"
    SUBDOMAIN = "subdomain"
    PATH = "path"


@dataclass(frozen=True, slots=True)
class IdentityRules:
    """How requests name their tenant.

    order: the sources read, most trusted first. domains: `example.com` makes `acme.example.com`
    name acme. path_prefix: `/t/` makes `/t/acme/jobs` name acme.
    """

    order: tuple[Source, ...] = (Source.CLAIM, Source.HEADER, Source.SUBDOMAIN, Source.PATH)
    domains: tuple[str, ...] = ()
    path_prefix: str = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """The tenant and the source that named it."""

    tenant: str
    source: Source


@dataclass(frozen=True, slots=True)
class Rejected:
    """The request names its tenant in a way that can't be served. status: the HTTP status."""

    status: int
    code: str
    detail: str


def identify(
    rules: IdentityRules,
    *,
    claim: str | None = None,
    header: str | None = None,
    host: str = "",
    path: str = "",
) -> Identity | Rejected | None:
    """The identity, why there can be none (400 malformed, 403 conflict), or None if unnamed.

    claim: the tenant claim of a verified token. header: the tenant header's value, None unless
    its sender is trusted. host: the authority, port allowed. path: the request target's path.
    """
    found: Identity | None = None
    for source in rules.order:
        tenant = _read(rules, source, claim, header, host, path)
        if tenant is None:
            continue
        if not is_tenant(tenant):
            return Rejected(400, "invalid-tenant", f"the {source} names no valid tenant id")
        if found is None:
            found = Identity(tenant, source)
        elif found.tenant != tenant:
            return Rejected(
                403, "tenant-conflict", f"the {found.source} and the {source} name two tenants"
            )
    return found


def _read(
    rules: IdentityRules,
    source: Source,
    claim: str | None,
    header: str | None,
    host: str,
    path: str,
) -> str | None:
    if source is Source.CLAIM:
        return claim
    if source is Source.HEADER:
        return header
    if source is Source.SUBDOMAIN:
        return _subdomain(rules.domains, host)
    return _path(rules.path_prefix, path)


def _subdomain(domains: Sequence[str], host: str) -> str | None:
    """What stands before the longest of the domains that the host lies in."""
    name, _, port = host.rpartition(":")
    if port and not port.isdigit():
        name = host
    name = name.lower().rstrip(".")
    found = [domain for domain in domains if name.endswith(f".{domain}")]
    return name[: -len(max(found, key=len)) - 1] if found else None


def _path(prefix: str, path: str) -> str | None:
    if not prefix or not path.startswith(prefix):
        return None
    return path[len(prefix) :].partition("/")[0].partition("?")[0]
