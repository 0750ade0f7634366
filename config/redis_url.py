"""PURE: the forms that `redis_url` may have.

    redis://[user:password@]host[:6379][/database]
    unix://[user:password@]/path/to/socket[?db=database]
    redis+sentinel://[user:password@]host[:26379],host,…/name of the master[/database]
    redis+cluster://[user:password@]host[:6379],host,…

`rediss` in place of `redis` is TLS, to sentinels too. In user and password, what has a meaning in a
URL is percent-encoded (RFC 3986, section 2.1). No error repeats a part: it may be a secret.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final
from urllib.parse import SplitResult, unquote, urlsplit


class Kind(StrEnum):
    """How the server that has the routing is found."""

    DIRECT = "direct"
    SOCKET = "socket"
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


Address = tuple[str, int]

_SCHEMES: Final = {
    "redis": (Kind.DIRECT, False),
    "rediss": (Kind.DIRECT, True),
    "unix": (Kind.SOCKET, False),
    "redis+sentinel": (Kind.SENTINEL, False),
    "rediss+sentinel": (Kind.SENTINEL, True),
    "redis+cluster": (Kind.CLUSTER, False),
    "rediss+cluster": (Kind.CLUSTER, True),
}
_PORTS: Final = {Kind.DIRECT: 6379, Kind.SENTINEL: 26379, Kind.CLUSTER: 6379}
_HOST: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9._-]+))(?::([0-9]{1,5}))?")
_DATABASE: Final = re.compile(r"[0-9]{1,5}")


@dataclass(frozen=True, slots=True)
class RedisUrl:
    """What a URL says. nodes: the server; the sentinels; or nodes of the cluster to ask first.

    service: the name that the sentinels know the master by. path: of a socket.
    """

    kind: Kind
    tls: bool
    nodes: tuple[Address, ...]
    user: str = field(repr=False)
    password: str = field(repr=False)
    service: str = ""
    database: int = 0
    path: str = ""


def parse_redis_url(url: str) -> RedisUrl:
    """What the URL says. ValueError: what to write instead."""
    try:
        parts = urlsplit(url)
    except ValueError:  # whose words repeat the part
        raise ValueError("is no URL") from None
    kind, tls = _SCHEMES.get(parts.scheme, (None, False))
    if kind is None or "://" not in url:
        *most, last = (f"{scheme}://" for scheme in _SCHEMES)
        raise ValueError(f"begins with {', '.join(most)} or {last}")
    if parts.fragment or (parts.query and kind is not Kind.SOCKET):
        raise ValueError(
            "takes no ?parameters (TLS has settings: redis_ca_file, …), and # and ? in a"
            " password are written %23 and %3F"
        )
    userinfo, _, hosts = parts.netloc.rpartition("@")
    user, _, password = userinfo.partition(":")
    who = (unquote(user), unquote(password))
    if kind is Kind.SOCKET:
        return _socket(parts, hosts, *who)
    nodes = tuple(_node(host, _PORTS[kind]) for host in hosts.split(","))
    if kind is Kind.DIRECT and len(nodes) > 1:
        raise ValueError("has several hosts: redis+sentinel:// and redis+cluster:// may")
    service, database = _path(parts.path, kind)
    return RedisUrl(kind, tls, nodes, *who, service, database)


def _socket(parts: SplitResult, hosts: str, user: str, password: str) -> RedisUrl:
    if hosts or len(parts.path) < 2:
        raise ValueError("names a socket by its whole path, as in unix:///run/redis.sock")
    name, _, database = parts.query.partition("=")
    if parts.query and (name != "db" or not _DATABASE.fullmatch(database)):
        raise ValueError("takes no ?parameters but a database, as in unix:///run/redis.sock?db=1")
    path = unquote(parts.path)
    return RedisUrl(Kind.SOCKET, False, (), user, password, "", int(database or 0), path)


def _node(text: str, port: int) -> Address:
    found = _HOST.fullmatch(text)
    if found is None or not 0 < int(found[3] or port) < 65536:
        raise ValueError(
            "has a host that is not host, host:port or [IPv6]:port; in user and password"
            " @ : / ? # and % are percent-encoded"
        )
    return found[1] or found[2], int(found[3] or port)


def _path(path: str, kind: Kind) -> tuple[str, int]:
    """Name of the master and database."""
    names = [unquote(name) for name in path.split("/")[1:]]
    service = ""
    if kind is Kind.SENTINEL:
        service = names.pop(0) if names else ""
        if not service:
            raise ValueError("names no master: redis+sentinel://host,host,host/name of the master")
    names = [name for name in names if name]
    if kind is Kind.CLUSTER and names not in ([], ["0"]):
        raise ValueError("has a database, and a cluster has only 0")
    if len(names) > 1 or not all(map(_DATABASE.fullmatch, names)):
        raise ValueError("ends in a database that is no number")
    return service, int(names[0]) if names else 0
