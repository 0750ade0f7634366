"""Settings of the data plane: the [proxy] section of turnout.toml."""

import ipaddress
import os
import socket
from typing import Literal

import msgspec

from config import split_address
from proxy.routing.identity import Source

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Timeouts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long the proxy waits, in seconds."""

    head_s: float = 10.0
    body_idle_s: float = 30.0
    write_idle_s: float = 60.0
    keep_alive_s: float = 75.0
    linger_s: float = 5.0
    connect_s: float = 3.0
    first_byte_s: float = 30.0
    answer_idle_s: float = 60.0
    tunnel_idle_s: float = 3600.0
    endpoint_keep_alive_s: float = 30.0
    endpoint_fresh_s: float = 1.0
    drain_s: float = 30.0
    drain_reload_s: float = 3600.0
    drain_idle_s: float = 2.0

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if not 0 < getattr(self, name) <= 86_400:
                raise ValueError(f"`timeouts.{name}` lies above 0 and at most a day")


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much the proxy takes."""

    request_line_bytes: int = 8 * 1024
    head_bytes: int = 32 * 1024
    answer_head_bytes: int = 64 * 1024
    interim_answers: int = 16
    chunk_overhead_bytes: int = 4 * 1024
    body_bytes: int = 10 * 1024 * 1024
    connections: int = 10_000
    endpoint_connections: int = 1_024
    write_buffer_bytes: int = 64 * 1024

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if getattr(self, name) <= 0:
                raise ValueError(f"`limits.{name}` is above 0")


class Jwt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How tokens that name a tenant are verified. Off while `algorithm` is empty."""

    algorithm: Literal["", "HS256", "RS256", "ES256", "EdDSA"] = ""
    key: str = ""
    key_file: str = ""
    issuer: str = ""
    audience: str = ""
    claim: str = "tenant"
    leeway_s: float = 60.0

    def __repr__(self) -> str:
        """Without the key."""
        return f"<Jwt {self.algorithm or 'off'}>"

    def __post_init__(self) -> None:
        if self.algorithm and not (self.issuer and self.audience):
            raise ValueError("`identity.jwt` needs an issuer and an audience")
        if self.algorithm and bool(self.key) == bool(self.key_file):
            raise ValueError("`identity.jwt` needs either `key` or `key_file`")


class IdentitySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a request names its tenant, and what happens if it doesn't."""

    order: tuple[Source, ...] = (Source.CLAIM, Source.HEADER, Source.SUBDOMAIN, Source.PATH)
    header: str = "X-Tenant-ID"
    domains: tuple[str, ...] = ()
    path_prefix: str = ""
    unidentified: Literal["active", "refuse"] = "active"
    unknown_tenants: Literal["route", "refuse"] = "route"
    jwt: Jwt = Jwt()

    def __post_init__(self) -> None:
        if not self.header.isascii() or not self.header.replace("-", "").isalnum():
            raise ValueError("`identity.header` is a field name of letters, digits and -")
        if self.path_prefix and not (
            self.path_prefix.startswith("/") and self.path_prefix.endswith("/")
        ):
            raise ValueError("`identity.path_prefix` begins and ends with /")


class Follow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How workers follow the routing log in Redis."""

    lease_s: float = 3.0
    renew_s: float = 1.0
    store_timeout_s: float = 1.0
    reconnect_s: float = 0.25
    start_without_table_s: float = 3.0

    def __post_init__(self) -> None:
        if not 0 < self.renew_s < self.lease_s:
            raise ValueError("`follow.renew_s` is above 0 and below `follow.lease_s`")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The data plane."""

    listen: str = "127.0.0.1:8080"
    management_listen: str = "127.0.0.1:8090"
    workers: int = 0
    backlog: int = 4096
    node: str = ""
    trusted_networks: tuple[str, ...] = ()
    identity: IdentitySettings = IdentitySettings()
    timeouts: Timeouts = Timeouts()
    limits: Limits = Limits()
    follow: Follow = Follow()

    def __post_init__(self) -> None:
        for name in ("listen", "management_listen"):
            try:
                split_address(getattr(self, name))
            except ValueError as error:
                raise ValueError(f"`{name}`: {error}") from None
        if not 0 <= self.workers <= 256:
            raise ValueError("`workers` lies between 0 (one per core) and 256")
        try:
            self.networks()
        except ValueError:
            raise ValueError("`trusted_networks` are CIDRs, as in 10.0.0.0/8") from None

    def networks(self) -> tuple[Network, ...]:
        """The trusted networks, parsed."""
        return tuple(ipaddress.ip_network(network) for network in self.trusted_networks)

    def worker_count(self) -> int:
        """How many workers: as set, or one for each core that this process may use."""
        return self.workers or len(os.sched_getaffinity(0))

    def node_name(self) -> str:
        """This host's name in the fleet."""
        return self.node or socket.gethostname()
