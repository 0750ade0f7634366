"""Field names: which ones the proxy reads, which it drops, and how the rest is passed on.

Rule: a name is classified once, by a dictionary keyed by the bytes as they came; new spellings
are learned, up to a bound. Hop-by-hop fields (RFC 9110 §7.6.1) and the fields that Turnout sets
itself never reach `lines`.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

PLAIN: Final = 0
HOST: Final = 1
CONNECTION: Final = 2
CONTENT_LENGTH: Final = 3
TRANSFER_ENCODING: Final = 4
UPGRADE: Final = 5
EXPECT: Final = 6
TENANT: Final = 7
AUTHORIZATION: Final = 8
REQUEST_ID: Final = 9
FORWARDED_FOR: Final = 10
FORWARDED: Final = 11
KEEP_ALIVE: Final = 12
DROP: Final = 13

_HOP_BY_HOP: Final = {
    b"connection": CONNECTION,
    b"content-length": CONTENT_LENGTH,
    b"transfer-encoding": TRANSFER_ENCODING,
    b"upgrade": UPGRADE,
    b"keep-alive": KEEP_ALIVE,
    b"proxy-connection": DROP,
    b"proxy-authenticate": DROP,
    b"proxy-authorization": DROP,
    b"proxy-authentication-info": DROP,
    b"te": DROP,
    b"trailer": DROP,
    b"http2-settings": DROP,
    b"x-turnout-slot": DROP,
}
_MAX_LEARNED: Final = 4096
_MAX_LEARNED_BYTES: Final = 64
_MAX_CACHED_BYTES: Final = 256


class FieldKinds(dict[bytes, int]):
    """Name as it came → what the proxy does with the field. Unknown names are learned."""

    def __init__(self, known: Mapping[bytes, int]) -> None:
        super().__init__(known)
        self._known = dict(known)

    def __missing__(self, name: bytes) -> int:
        lower = name.lower()
        kind = dict.get(self, lower)
        if kind is None:
            kind = self._unknown(lower)
        if len(name) <= _MAX_LEARNED_BYTES:
            if len(self) >= _MAX_LEARNED:
                self._forget()
            self[name] = kind
        return kind

    def _forget(self) -> None:
        """Forget what was learned: junk names must not keep others from being remembered."""
        self.clear()
        self.update(self._known)

    def _unknown(self, lower: bytes) -> int:
        """`X_Tenant_ID` is read as X-Tenant-ID by CGI-like servers: such aliases are dropped."""
        dashed = lower.replace(b"_", b"-")
        kind = self._known.get(dashed, PLAIN)
        if dashed.startswith(b"x-forwarded-"):
            kind = kind or FORWARDED
        return DROP if kind != PLAIN and dashed != lower else kind


def request_kinds(tenant_header: str) -> FieldKinds:
    """The fields of a request. tenant_header: the name of the header that names the tenant."""
    return FieldKinds(
        {
            **_HOP_BY_HOP,
            b"host": HOST,
            b"expect": EXPECT,
            b"authorization": AUTHORIZATION,
            b"x-request-id": REQUEST_ID,
            b"x-forwarded-for": FORWARDED_FOR,
            b"x-forwarded-proto": FORWARDED,
            b"x-forwarded-host": FORWARDED,
            b"x-forwarded-port": FORWARDED,
            b"x-real-ip": FORWARDED,
            b"forwarded": FORWARDED,
            tenant_header.lower().encode(): TENANT,
        }
    )


def response_kinds() -> FieldKinds:
    """The fields of a response."""
    return FieldKinds({**_HOP_BY_HOP, b"x-request-id": DROP})


class ConnectionOptions(NamedTuple):
    """What a Connection field says. named: fields that end at this hop, lower case."""

    close: bool
    keep_alive: bool
    upgrade: bool
    named: frozenset[bytes]


def connection_options(value: bytes) -> ConnectionOptions:
    """The options of a Connection field (RFC 9110 §7.6.1)."""
    return _remembered(value) if len(value) <= _MAX_CACHED_BYTES else _options(value)


def _options(value: bytes) -> ConnectionOptions:
    tokens = {token.strip(b" \t") for token in value.lower().split(b",")}
    named = frozenset(tokens - {b"close", b"keep-alive", b"upgrade", b""})
    return ConnectionOptions(
        b"close" in tokens, b"keep-alive" in tokens, b"upgrade" in tokens, named
    )


_remembered = lru_cache(maxsize=1024)(_options)


def without(lines: list[bytes], named: frozenset[bytes]) -> list[bytes]:
    """The lines but for those with these names."""
    return [line for line in lines if line[: line.index(b":")].lower() not in named]
