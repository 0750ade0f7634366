"""The settings of [admin.login] and [admin.oidc], each with its unit, its default and its bounds."""

import ipaddress
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from admin.migrations.references import is_reference
from admin.tokens import Role

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
Count = Annotated[int, Meta(ge=1, le=1_000_000)]
Seconds = Annotated[float, Meta(gt=0, le=2_592_000)]
Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"
]  # fmt: skip
"""Of key pairs alone: with a shared secret, a public key would be one mistake away from being one."""


class Login(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sessions of people, and how often a log-in may fail."""

    idle_s: Seconds = 3600.0
    absolute_s: Seconds = 43_200.0
    seen_every_s: Seconds = 30.0
    sessions: Count = 10_000
    sessions_per_person: Count = 10
    return_s: Annotated[float, Meta(ge=10, le=3600)] = 600.0
    returns: Count = 10_000
    failed_per_minute: Count = 20
    failed_per_minute_account: Count = 5
    failed_rows_per_minute: Count = 60
    form_bytes: Annotated[int, Meta(ge=1024, le=4_194_304)] = 65_536
    trusted_networks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.idle_s > self.absolute_s:
            raise ValueError("`idle_s` lies above `absolute_s`")
        for network in self.trusted_networks:
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise ValueError(f"`trusted_networks`: {error}") from None


class Oidc(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An OpenID provider that people log in at. Off without `issuer`."""

    issuer: str = ""
    client_id: str = ""
    client_secret: str = ""
    name: Annotated[str, Meta(max_length=60)] = "single sign-on"
    scopes: tuple[str, ...] = ("openid",)
    algorithms: tuple[Algorithm, ...] = ("RS256", "ES256")
    subject_claim: str = "sub"
    roles_claim: str = "groups"
    roles: dict[str, dict[str, Role]] = {}
    tenants_claim: str = ""
    leeway_s: Annotated[float, Meta(ge=0, le=60)] = 60.0
    timeout_s: Annotated[float, Meta(gt=0, le=60)] = 5.0
    max_bytes: Annotated[int, Meta(ge=1024, le=4_194_304)] = 262_144
    max_keys: Annotated[int, Meta(ge=1, le=1000)] = 50
    refresh_s: Seconds = 300.0
    retry_s: Seconds = 2.0
    unknown_key_s: Seconds = 30.0
    keep_s: Seconds = 86_400.0
    ca_file: str = ""

    def __post_init__(self) -> None:
        if not self.issuer:
            if self.client_id or self.client_secret or self.roles:
                raise ValueError("a provider needs `issuer`")
            return
        parts = urlsplit(self.issuer)
        if not is_safe_url(self.issuer) or parts.query or parts.fragment:
            raise ValueError("`issuer` is https://… without a query (http:// on this host only)")
        if not self.client_id or not self.roles_claim or not self.subject_claim:
            raise ValueError("a provider needs `client_id`, `roles_claim` and `subject_claim`")
        if self.client_secret and not is_reference(self.client_secret):
            raise ValueError("`client_secret` names where it stands: env:NAME, or file:/path")
        if "openid" not in self.scopes or not self.algorithms:
            raise ValueError("`scopes` has openid among them, and `algorithms` is not empty")


def is_safe_url(url: str) -> bool:
    """https, or http on this host, where nobody listens in; no user name in it."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if not parts.hostname or parts.username is not None or not url.isascii():
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)


def check_public_url(url: str) -> None:
    """ValueError unless it is empty or an origin whose sessions nobody can overhear."""
    if not url:
        return
    parts = urlsplit(url)
    if not is_safe_url(url) or url != f"{parts.scheme}://{parts.netloc}" or url != url.lower():
        raise ValueError(
            "`public_url` is https://host[:port] in lower case, with nothing after it"
            " (http:// on this host only)"
        )
