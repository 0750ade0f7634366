"""PURE: what is ours: paths to return to, the cookies, requests from our own pages.

Rules: a cookie that stands twice is none: somebody else may have planted one of them. A request
that changes something and says nothing of where it comes from is not from our page.
"""

import base64
import hmac
import ipaddress
import re
from collections.abc import Iterable, Sequence
from hashlib import sha256
from urllib.parse import unquote

HOME = "/ui"
LOGIN = "/ui/login"
RETURN = "/ui/login/return"
START = "/ui/login/oidc"
LOGOUT = "/ui/logout"
BOARD_FEED = "/ui/board/feed"
FEEDS = frozenset({"/v1/events", BOARD_FEED})
"""What a page listens to by itself: nobody uses a session by that."""
MAX_PATH = 1000
_PATH = re.compile(r"/ui(?:[/?][!-\[\]-~]*)?")
"""Printable ASCII without the backslash, which browsers take for a slash."""
_SESSION = re.compile(r"[A-Za-z0-9_-]{43}")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


# ── paths ─────────────────────────────────────────────────────────────────────────────────────


def own_path(text: str | None) -> str:
    """Where to go after a log-in: the path if it is one under /ui, else /ui itself.

    Not /ui/login…, which would lead back, and nothing that leaves /ui by `..`.
    """
    if not text or len(text) > MAX_PATH or _PATH.fullmatch(text) is None:
        return HOME
    path = text.partition("?")[0].partition("#")[0]
    segments = unquote(path).split("/")
    if ".." in segments or "." in segments or "\\" in unquote(path) or "//" in unquote(path):
        return HOME
    return HOME if unquote(path).startswith((LOGIN, LOGOUT)) else text


# ── cookies ───────────────────────────────────────────────────────────────────────────────────


def cookie_name(*, https: bool, trip: bool = False) -> str:
    """The session's cookie, or that of a log-in under way.

    `__Host-` has browsers refuse it unless it is Secure, of this very host and of all its paths
    (RFC 6265bis, section 4.1.3.2): no neighbouring host can plant one.
    """
    return ("__Host-turnout" if https else "turnout") + ("-login" if trip else "")


def cookie_line(name: str, value: str, *, https: bool, max_age_s: int | None = None) -> str:
    """A Set-Cookie field. max_age_s: None until the browser ends, 0 to take it away.

    SameSite=Lax: with Strict a browser that comes back from the provider would show neither this
    cookie nor, after the redirect, the new one. What Lax lets by is a GET by a link, and no GET
    changes anything.
    """
    age = "" if max_age_s is None else f"; Max-Age={max_age_s}"
    return f"{name}={value}; Path=/; HttpOnly; SameSite=Lax{age}{'; Secure' if https else ''}"


def cookie(fields: Iterable[str], name: str) -> str | None:
    """The cookie's value, of the request's Cookie fields; None without one, or with several."""
    found = [
        value.strip().strip('"')
        for field in fields
        for key, mark, value in (pair.partition("=") for pair in field.split(";"))
        if mark and key.strip() == name
    ]
    return found[0] if len(found) == 1 else None


def session_digest(session_id: str | None) -> bytes | None:
    """What is stored of a session's id: its SHA-256. None if it can't be one of ours.

    An id is 256 bits of chance, in 43 characters.
    """
    if session_id is None or _SESSION.fullmatch(session_id) is None:
        return None
    return sha256(session_id.encode()).digest()


def csrf_token(session_id: str) -> str:
    """What a session's own pages know and no other page does.

    It follows from the id, so every admin knows it and none stores it; the id doesn't follow
    from it.
    """
    digest = hmac.digest(session_id.encode(), b"turnout csrf", "sha256")
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def is_csrf_token(session_id: str, given: object) -> bool:
    """Whether this is the session's; takes as long whatever was given."""
    if not isinstance(given, str) or not given.isascii():
        return False
    return hmac.compare_digest(csrf_token(session_id), given)


# ── where a request comes from ────────────────────────────────────────────────────────────────


def from_own_page(origin: str, origins: Sequence[str], sites: Sequence[str]) -> bool:
    """Whether a request that may change something comes from a page of our own.

    origin: ours. origins, sites: the request's Origin and Sec-Fetch-Site fields. Browsers send at
    least one of them with every such request; what they send must not contradict.
    """
    if not origins and not sites:
        return False
    return list(origins) in ([], [origin]) and list(sites) in ([], ["same-origin"])


def may_read(sites: Sequence[str], modes: Sequence[str]) -> bool:
    """Whether a page may be given to who asks: ourselves, a person, or a link to a whole page.

    Fetch Metadata (W3C): what another site embeds or fetches is refused.
    """
    if list(sites) in ([], ["same-origin"], ["none"]):
        return True
    return list(modes) == ["navigate"]


def is_loopback(host: str) -> bool:
    """Whether a Host field names this host, so that nobody can listen in on the way."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    if name.lower().removesuffix(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def client_address(peer: str, fields: Sequence[str], trusted: Iterable[Network]) -> str:
    """Whom a failed log-in is counted by: the peer, or whom trusted peers speak for.

    fields: the X-Forwarded-For fields of the request, in their order. Each proxy adds the address
    that it saw at the end of the last field, or in a field behind it; what stands before that of the
    first proxy of ours anybody can write. IPv6 counts by its /64: that is what one customer gets.
    """
    address, networks = _address(peer), tuple(trusted)
    for told in reversed(",".join(fields).split(",")):
        if address is None or not any(address in network for network in networks):
            break
        following = _address(_without_port(told.strip()))
        if following is None:
            break
        address = following
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((address, 64), strict=False).network_address)
    return str(address) if address is not None else peer


def _without_port(text: str) -> str:
    """The address alone: some proxies add the port that they saw."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found
