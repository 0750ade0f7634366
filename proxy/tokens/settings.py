"""Settings of tokens: [proxy.identity.jwt], issuers, jwks and tokens."""

import re
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from proxy.routing.model import TENANT_PATTERN

Algorithm = Literal[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512",
    "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
]  # fmt: skip
MAX_ISSUERS = 16
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Issuer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who signs tokens, by which keys, and which tenants it may name. Off without `issuer`."""

    issuer: str = ""
    audiences: tuple[str, ...] = ()
    algorithms: tuple[Algorithm, ...] = ()
    key: str = ""
    key_file: str = ""
    jwks_url: str = ""
    claim: str = "tenant"
    tenant_pattern: str = TENANT_PATTERN
    leeway_s: float = 60.0

    def __repr__(self) -> str:
        """Without the key."""
        return f"<Issuer {self.issuer or 'off'}>"

    def __post_init__(self) -> None:
        if not self.issuer:
            if self.algorithms or self.audiences or self.key or self.key_file or self.jwks_url:
                raise ValueError("an issuer of tokens needs `issuer`, the `iss` of its tokens")
            return
        if not self.audiences or not self.algorithms or "" in (*self.audiences, self.claim):
            raise ValueError("an issuer of tokens needs `audiences`, `algorithms` and a `claim`")
        if sum(map(bool, (self.key, self.key_file, self.jwks_url))) != 1:
            raise ValueError("an issuer has one of `key`, `key_file` and `jwks_url`")
        if not 0 <= self.leeway_s <= 60:
            raise ValueError("`leeway_s` lies between 0 and 60")
        self._check_shared_secrets()
        if self.jwks_url:
            _check_jwks_url(self.jwks_url)
        try:
            re.compile(self.tenant_pattern)
        except re.error:
            raise ValueError("`tenant_pattern` is a regular expression") from None

    def _check_shared_secrets(self) -> None:
        """With both kinds allowed, a public key would be one mistake away from being a secret."""
        shared = {name.startswith("HS") for name in self.algorithms}
        if len(shared) > 1:
            raise ValueError("`algorithms` are all of shared secrets (HS…) or none is")
        if True in shared and self.jwks_url:
            raise ValueError("a shared secret (HS…) is not fetched: give `key` or `key_file`")


def _check_jwks_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.username is not None or parts.fragment:
        raise ValueError("`jwks_url` has no user name and no fragment")
    https = parts.scheme == "https" and parts.hostname
    http = parts.scheme == "http" and parts.hostname in _LOOPBACK
    file = parts.scheme == "file" and not parts.netloc and parts.path.startswith("/")
    if not (https or http or file):
        raise ValueError("`jwks_url` is https://… or file:///… (http:// on this host only)")


class Jwks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How sets of keys are fetched."""

    refresh_s: float = 300.0
    retry_s: float = 5.0
    unknown_key_s: float = 30.0
    timeout_s: float = 5.0
    keep_s: float = 86_400.0
    max_bytes: int = 256 * 1024
    max_keys: int = 50
    ca_file: str = ""

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if name != "ca_file" and not 0 < getattr(self, name) <= 1 << 24:
                raise ValueError(f"`jwks.{name}` is above 0 and below {1 << 24}")


class Tokens(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much of a token is read, and how much is remembered."""

    max_bytes: int = 8 * 1024
    max_depth: int = 32
    remembered: int = 100_000
    refused_remembered: int = 4_096
    refused_s: float = 10.0

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if getattr(self, name) <= 0:
                raise ValueError(f"`tokens.{name}` is above 0")
