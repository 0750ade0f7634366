"""Whose request is it: the tenant, read from what the request says of itself.

Rule: sources are never weighed against each other. All configured sources are read; if two
name different tenants, the request is refused, for one of them is wrong or forged. The order
decides only which source is named as the reason. What a source may be believed on (a token
whose signature holds, a header from a trusted network) is checked before it comes here.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote

from proxy.routing.model import is_tenant

_MAY_MEAN_MORE = re.compile(r"//|/\.|[%\\;]")


class Source(StrEnum):
    """Where a tenant can be named."""

    CERTIFICATE = "certificate"
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
    certificate: str | None = None,
    claim: str | None = None,
    header: str | None = None,
    host: str = "",
    path: str = "",
) -> Identity | Rejected | None:
    """The identity, why there can be none (400 malformed, 403 conflict), or None if unnamed.

    certificate: what the client's verified certificate names. claim: the tenant claim of a
    verified token. header: the tenant header's value, None unless its sender is trusted. host: the
    authority, port allowed. path: the request target's path.
    """
    found: Identity | None = None
    for source in rules.order:
        if source is Source.CERTIFICATE:
            tenant = certificate
        else:
            tenant = _read(rules, source, claim, header, host, path)
        if tenant is None:
            continue
        if tenant == _AMBIGUOUS:
            return Rejected(400, "ambiguous-path", "the path can be read as another tenant's")
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


_AMBIGUOUS = "?"
"""No tenant, and nothing that a path can name."""


def _path(prefix: str, target: str) -> str | None:
    """The tenant behind the prefix; _AMBIGUOUS if an endpoint might read another one there.

    Endpoints are free to decode, to join slashes and to resolve dot segments (RFC 3986 §6.2.2)
    before they look: `/t/acme/../bravo` and `//t/bravo` must not pass as acme's or as nobody's.
    """
    if not prefix:
        return None
    path = target.partition("?")[0]
    named = _behind(prefix, path)
    if named is not None and not is_tenant(named):
        return named
    if _MAY_MEAN_MORE.search(path) and _behind(prefix, _plain(path)) != named:
        return _AMBIGUOUS
    return named


def _behind(prefix: str, path: str) -> str | None:
    return path[len(prefix) :].partition("/")[0] if path.startswith(prefix) else None


def _plain(path: str) -> str:
    """As the most helpful endpoint would read it."""
    segments: list[str] = []
    for segment in unquote(path, "latin-1").replace("\\", "/").split("/"):
        name = segment.partition(";")[0]
        if name == "..":
            segments = segments[:-1]
        elif name not in {"", "."}:
            segments.append(name)
    ends = "/" if path.endswith("/") else ""
    return "/" + "/".join(segments) + ends
