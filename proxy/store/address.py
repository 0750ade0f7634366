"""Where Redis is, and who we are there: what `redis_url` says.

    redis://[user][:password]@host[:port][/database]
    rediss://…                                        the same by TLS
    unix://[user][:password]@/path/of/socket[?db=database]

What isn't plain stands percent-encoded (RFC 3986). TLS takes `ssl_ca_certs`, `ssl_certfile` and
`ssl_keyfile` after the question mark, as redis-py does, by which the control plane connects.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

DEFAULT_PORT: Final = 6379
_TLS: Final = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})


@dataclass(frozen=True, slots=True, repr=False)
class Address:
    """host, port: by TCP; path: of a Unix socket, in their place. login: AUTH's arguments.

    context: what TLS needs; None without it.
    """

    host: str
    port: int
    path: str
    login: tuple[str, ...]
    database: int
    context: ssl.SSLContext | None

    def __repr__(self) -> str:
        """Without the password."""
        return f"<Address {self.path or f'{self.host}:{self.port}'}>"


def parse(url: str) -> Address:
    """The address that a URL names. ValueError; no message carries any part of the URL."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "localhost", parts.port or DEFAULT_PORT
    except ValueError:
        raise ValueError("is not a URL: a / ? # @ in a password is percent-encoded") from None
    by_path, by_tls = parts.scheme == "unix", parts.scheme == "rediss"
    if parts.scheme not in {"redis", "rediss", "unix"}:
        raise ValueError("begins with redis://, rediss:// or unix://")
    if by_path and (parts.hostname or len(parts.path) < 2):
        raise ValueError("names a socket as in unix:///run/redis/redis.sock")
    more = dict(parse_qsl(parts.query, keep_blank_values=True))
    if not more.keys() <= ({"db", *_TLS} if by_tls else {"db"}):
        raise ValueError("takes `db` after its ?, and with rediss:// files of TLS")
    path = "" if by_path else parts.path.strip("/")
    return Address(
        host,
        port,
        unquote(parts.path) if by_path else "",
        _login(parts),
        _database(more.get("db") or path or "0"),
        _context(more) if by_tls else None,
    )


def _login(parts: SplitResult) -> tuple[str, ...]:
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if user and not password:
        raise ValueError("has a user and no password")
    return (user, password) if user else (password,) if password else ()


def _database(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 6):
        raise ValueError("a database is a number")
    return int(text)


def _context(files: Mapping[str, str]) -> ssl.SSLContext:
    """Certificate and name of the server are checked, by these authorities or the system's."""
    try:
        context = ssl.create_default_context(cafile=files.get("ssl_ca_certs"))
        if "ssl_certfile" in files:
            context.load_cert_chain(files["ssl_certfile"], files.get("ssl_keyfile"), _no_passphrase)
    except (ssl.SSLError, OSError, ValueError):
        raise ValueError("names files of TLS that can't be read or used") from None
    return context


def _no_passphrase() -> str:
    """OpenSSL would ask on the terminal."""
    raise ValueError("the key is encrypted")
