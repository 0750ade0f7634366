"""Settings of the data plane: the [proxy] section of turnout.toml.

Those of TLS, tokens and what is logged and counted stand in the `settings` of those parts.
"""

import ipaddress
import os
import re
import socket
from typing import Literal

import msgspec

from config import is_field_name, split_address
from proxy.affinity.settings import AffinityRule, AffinityStore, check_rules
from proxy.census.settings import CensusReport, CensusRule, check_census
from proxy.observability.settings import AccessLogSettings, MetricsSettings, Tracing
from proxy.routing.identity import Source
from proxy.routing.model import Endpoint, is_tenant
from proxy.tls.settings import EndpointTls, Tls
from proxy.tokens.settings import MAX_ISSUERS, Issuer, Jwks, Tokens
from proxy.websocket import MAX_TEXT_BYTES, close_frame

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,32}(/[A-Za-z0-9.]{1,8})?")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_PATH = re.compile(r"/[!-\"$-~]*")  # printable ASCII but the number sign: no fragment
_AUTHORITY = re.compile(r"[A-Za-z0-9.:\[\]-]{1,255}")


def parse_networks(networks: tuple[str, ...]) -> tuple[Network, ...]:
    """CIDRs, parsed. ValueError."""
    return tuple(ipaddress.ip_network(network) for network in networks)


class Timeouts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long the proxy waits, in seconds."""

    proxy_header_s: float = 5.0
    tls_handshake_s: float = 10.0
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
    queue_s: float = 0.03
    drain_s: float = 30.0
    drain_reload_s: float = 3600.0
    drain_idle_s: float = 2.0

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            if not 0 < getattr(self, name) <= 86_400:
                raise ValueError(f"`timeouts.{name}` lies above 0 and at most a day")


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much the proxy takes."""

    proxy_header_bytes: int = 536
    request_line_bytes: int = 8 * 1024
    head_bytes: int = 32 * 1024
    answer_head_bytes: int = 64 * 1024
    interim_answers: int = 16
    chunk_overhead_bytes: int = 4 * 1024
    body_bytes: int = 10 * 1024 * 1024
    tenant_body_bytes: dict[str, int] = {}
    connections: int = 10_000
    endpoint_connections: int = 1_024
    tenant_in_flight: int = 768
    slot_in_flight: int = 0
    queue: int = 1_024
    tenant_queue: int = 256
    write_buffer_bytes: int = 64 * 1024

    def __post_init__(self) -> None:
        may_be_off = {"tenant_in_flight", "slot_in_flight", "queue", "tenant_queue"}
        for tenant, limit in self.tenant_body_bytes.items():
            if not is_tenant(tenant) or limit <= 0:
                raise ValueError("`limits.tenant_body_bytes` has numbers above 0, by tenant")
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if name == "tenant_body_bytes":
                continue
            if value < 0 or (not value and name not in may_be_off):
                raise ValueError(f"`limits.{name}` is above 0")


class ParkingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much waits while a switch holds its tenants, in each worker, and how long."""

    requests: int = 10_000
    total_bytes: int = 64 * 1024 * 1024
    body_bytes: int = 64 * 1024
    wait_s: float = 30.0

    def __post_init__(self) -> None:
        if self.requests < 0 or self.total_bytes < 0 or self.body_bytes < 0:
            raise ValueError("`parking` has no numbers below 0")
        if not 0 < self.wait_s <= 3_600:
            raise ValueError("`parking.wait_s` lies above 0 and at most at 3600")


class Checks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Active health checks of endpoints. Off while `interval_s` is 0."""

    interval_s: float = 0.0
    timeout_s: float = 2.0
    path: str = ""
    host: str = ""
    rise: int = 2
    fall: int = 3

    def __post_init__(self) -> None:
        if self.interval_s and not 0.1 <= self.interval_s <= 3_600:
            raise ValueError("`checks.interval_s` is 0 (off), or lies between 0.1 and 3600")
        if not 0 < self.timeout_s <= 60:
            raise ValueError("`checks.timeout_s` lies above 0 and at most at 60")
        if self.path and not _PATH.fullmatch(self.path):
            raise ValueError("`checks.path` begins with / and has no spaces in it")
        if self.host and not _AUTHORITY.fullmatch(self.host):
            raise ValueError("`checks.host` is a name or an address, with or without a port")
        if not (1 <= self.rise <= 100 and 1 <= self.fall <= 100):
            raise ValueError("`checks.rise` and `checks.fall` lie between 1 and 100")


class Ejection(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When an endpoint that fails requests is left alone for a while."""

    failures: int = 5
    on_5xx: bool = False
    base_s: float = 10.0
    max_s: float = 300.0
    percent: int = 50

    def __post_init__(self) -> None:
        if not 0 <= self.failures <= 1_000:
            raise ValueError("`ejection.failures` lies between 0 (never) and 1000")
        if not 0 < self.base_s <= self.max_s <= 86_400:
            raise ValueError("`ejection.base_s` is above 0 and at most `ejection.max_s`, a day")
        if not 0 <= self.percent <= 100:
            raise ValueError("`ejection.percent` lies between 0 and 100")


class Balancing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How requests are spread over a slot's endpoints, and how often one is tried again."""

    slow_start_s: float = 10.0
    panic_percent: int = 50
    retry_percent: int = 20
    retries_per_s: float = 3.0

    def __post_init__(self) -> None:
        if not 0 <= self.slow_start_s <= 3_600:
            raise ValueError("`balancing.slow_start_s` lies between 0 (at once) and 3600")
        for name in ("panic_percent", "retry_percent"):
            if not 0 <= getattr(self, name) <= 100:
                raise ValueError(f"`balancing.{name}` lies between 0 and 100")
        if not 0 <= self.retries_per_s <= 1_000:
            raise ValueError("`balancing.retries_per_s` lies between 0 and 1000")


class IdentitySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a request names its tenant, and what happens if it doesn't."""

    order: tuple[Source, ...] = (Source.CLAIM, Source.HEADER, Source.SUBDOMAIN, Source.PATH)
    header: str = "X-Tenant-ID"
    domains: tuple[str, ...] = ()
    path_prefix: str = ""
    unidentified: Literal["active", "refuse"] = "active"
    unknown_tenants: Literal["route", "refuse"] = "route"
    jwt: Issuer = Issuer()
    issuers: tuple[Issuer, ...] = ()
    tokens: Tokens = Tokens()
    jwks: Jwks = Jwks()

    def __post_init__(self) -> None:
        if not is_field_name(self.header):
            raise ValueError("`identity.header` is a field name of letters, digits and -")
        if self.path_prefix and not (
            self.path_prefix.startswith("/") and self.path_prefix.endswith("/")
        ):
            raise ValueError("`identity.path_prefix` begins and ends with /")
        names = [issuer.issuer for issuer in self.all_issuers()]
        if len(names) > MAX_ISSUERS or len(set(names)) < len(names):
            raise ValueError(
                f"`identity.issuers` are at most {MAX_ISSUERS}, each with its own `issuer`"
            )
        if "" in names:
            raise ValueError("each of `identity.issuers` has an `issuer`")

    def all_issuers(self) -> tuple[Issuer, ...]:
        """Those whose tokens are read: `jwt`, if it is set, and the `issuers`."""
        return (self.jwt, *self.issuers) if self.jwt.issuer else self.issuers


class Tunnels(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may be switched to, and how WebSockets are told that they end."""

    upgrades: tuple[str, ...] = ("websocket",)
    close_code: int = 1001
    close_reason: str = "going away"
    drain_close_code: int = 1012
    drain_close_reason: str = "service restart"
    last_message: str = ""
    events_retry_ms: int = 1_000

    def __post_init__(self) -> None:
        for token in self.upgrades:
            if _TOKEN.fullmatch(token) is None:
                raise ValueError("`tunnels.upgrades` are names of protocols, as in websocket")
            if token.lower().startswith(("h2", "http/")):
                # Requests would go by that nobody has checked.
                raise ValueError("`tunnels.upgrades` can't hold HTTP itself")
        for name in ("", "drain_"):
            try:
                close_frame(
                    getattr(self, f"{name}close_code"), getattr(self, f"{name}close_reason")
                )
            except ValueError:
                raise ValueError(
                    f"`tunnels.{name}close_code` is one that RFC 6455 lets be sent,"
                    f" and `tunnels.{name}close_reason` at most 123 bytes"
                ) from None
        if not 0 <= self.events_retry_ms <= 3_600_000:
            raise ValueError("`tunnels.events_retry_ms` lies between 0 (no hint) and an hour")
        if len(self.last_message.encode()) > MAX_TEXT_BYTES:
            raise ValueError(f"`tunnels.last_message` has at most {MAX_TEXT_BYTES} bytes")


class TcpListener(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A port for what speaks no HTTP: whose connections they are, and where they go.

    tenant: of the whole port; or by the name in TLS (names: name → tenant, else the domains of
    `identity`). port: at the slot's endpoints; or blue and green: endpoints of their own.
    proxy_protocol: as the mode of HTTP's, for this port; all else of it is shared.
    """

    listen: str
    tenant: str = ""
    tenant_by: Literal["", "sni"] = ""
    names: dict[str, str] = {}
    port: int = 0
    blue: tuple[str, ...] = ()
    green: tuple[str, ...] = ()
    proxy_protocol: Literal["off", "required"] = "off"
    hello_s: float = 5.0
    connect_s: float = 3.0
    idle_s: float = 3600.0
    connections: int = 1_000

    def __post_init__(self) -> None:
        try:
            split_address(self.listen)
            for text in (*self.blue, *self.green):
                Endpoint.parse(text)
        except ValueError as error:
            raise ValueError(f"`tcp`: {error}") from None
        self._check_tenant()
        if bool(self.port) == bool(self.blue or self.green) or not 0 <= self.port < 65536:
            raise ValueError("`tcp` needs either `port` or endpoints of `blue` and `green`")
        for name in ("hello_s", "connect_s", "idle_s"):
            if not 0 < getattr(self, name) <= 86_400:
                raise ValueError(f"`tcp.{name}` lies above 0 and at most a day")
        if self.connections <= 0:
            raise ValueError("`tcp.connections` is above 0")

    def _check_tenant(self) -> None:
        if bool(self.tenant) == bool(self.tenant_by):
            raise ValueError("`tcp` needs either `tenant` or `tenant_by`")
        if self.names and not self.tenant_by:
            raise ValueError('`tcp.names` are read with `tenant_by = "sni"`')
        for tenant in (self.tenant or "a", *self.names.values()):
            if not is_tenant(tenant):
                raise ValueError("`tcp`: a tenant is 1 to 63 of a-z, 0-9 and -")


class Follow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How workers follow the routing log in Redis."""

    lease_s: float = 3.0
    renew_s: float = 1.0
    store_timeout_s: float = 1.0
    reconnect_s: float = 0.25
    start_without_table_s: float = 3.0
    state_dir: str = ""
    state_wait_s: float = 1.0
    state_write_s: float = 0.5
    without_lease: Literal["serve", "park"] = "serve"
    without_lease_tenants: dict[str, Literal["serve", "park"]] = {}

    def __post_init__(self) -> None:
        if not 0 < self.renew_s < self.lease_s:
            raise ValueError("`follow.renew_s` is above 0 and below `follow.lease_s`")
        if self.state_dir and not self.state_dir.startswith("/"):
            raise ValueError("`follow.state_dir` is a whole path: it begins with /")
        for name in ("state_wait_s", "state_write_s"):
            if not 0 < getattr(self, name) <= 3_600:
                raise ValueError(f"`follow.{name}` lies above 0 and at most an hour")
        if not all(map(is_tenant, self.without_lease_tenants)):
            raise ValueError("`follow.without_lease_tenants` has policies by tenant")

    def policy_without_lease(self) -> str:
        """What becomes of requests without a lease: "serve", "park", or "mixed" by tenant."""
        policies = {self.without_lease, *self.without_lease_tenants.values()}
        return policies.pop() if len(policies) == 1 else "mixed"


class Supervision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the supervisor looks after its processes."""

    start_s: float = 15.0
    upgrade_s: float = 30.0
    stall_s: float = 30.0
    pid_file: str = ""

    def __post_init__(self) -> None:
        for name in ("start_s", "upgrade_s"):
            if not 0 < getattr(self, name) <= 3_600:
                raise ValueError(f"`supervision.{name}` lies above 0 and at most an hour")
        if self.stall_s != 0 and not 1 <= self.stall_s <= 3_600:
            raise ValueError("`supervision.stall_s` lies between 1 s and an hour, or is 0 (off)")


class ProxyProtocol(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether a load balancer says first whom it speaks for, and which ones are believed."""

    mode: Literal["off", "required"] = "off"
    networks: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        try:
            parse_networks(self.networks)
        except ValueError:
            raise ValueError("`proxy_protocol.networks` are CIDRs, as in 10.0.0.0/8") from None
        if self.mode == "required" and not self.networks:
            raise ValueError("`proxy_protocol.mode` is required: from which `networks`?")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The data plane."""

    listen: str = "127.0.0.1:8080"
    tls_listen: str = ""
    management_listen: str = "127.0.0.1:8090"
    workers: int = 0
    backlog: int = 4096
    node: str = ""
    trusted_networks: tuple[str, ...] = ()
    proxy_protocol: ProxyProtocol = ProxyProtocol()
    tls: Tls = Tls()
    endpoint_tls: EndpointTls = EndpointTls()
    identity: IdentitySettings = IdentitySettings()
    timeouts: Timeouts = Timeouts()
    limits: Limits = Limits()
    parking: ParkingSettings = ParkingSettings()
    affinity: tuple[AffinityRule, ...] = ()
    affinity_store: AffinityStore = AffinityStore()
    census: tuple[CensusRule, ...] = ()
    census_report: CensusReport = CensusReport()
    checks: Checks = Checks()
    ejection: Ejection = Ejection()
    balancing: Balancing = Balancing()
    tunnels: Tunnels = Tunnels()
    tcp: tuple[TcpListener, ...] = ()
    follow: Follow = Follow()
    supervision: Supervision = Supervision()
    access_log: AccessLogSettings = AccessLogSettings()
    metrics: MetricsSettings = MetricsSettings()
    tracing: Tracing = Tracing()

    def __post_init__(self) -> None:
        if not self.listen and not self.tls_listen:
            raise ValueError("`listen` and `tls_listen` are both empty")
        for name in ("listen", "tls_listen", "management_listen"):
            try:
                if getattr(self, name) or name == "management_listen":
                    split_address(getattr(self, name))
            except ValueError as error:
                raise ValueError(f"`{name}`: {error}") from None
        if not 0 <= self.workers <= 256:
            raise ValueError("`workers` lies between 0 (one per core) and 256")
        check_rules(self.affinity)
        self._check_census()
        plain = (each.listen for each in self.tcp)
        addresses = (self.listen, self.tls_listen, self.management_listen, *plain)
        fixed = [address for address in addresses if address and not address.endswith(":0")]
        if len(set(fixed)) < len(fixed):
            raise ValueError("two listeners have one address")
        told = any(each.proxy_protocol == "required" for each in self.tcp)
        if told and not self.proxy_protocol.networks:
            raise ValueError(
                "`tcp.proxy_protocol` is required: from which `proxy_protocol.networks`?"
            )
        try:
            self.networks()
        except ValueError:
            raise ValueError("`trusted_networks` are CIDRs, as in 10.0.0.0/8") from None

    def _check_census(self) -> None:
        reads_tokens = bool(self.identity.all_issuers()) and Source.CLAIM in self.identity.order
        check_census(self.census, has_issuers=reads_tokens)
        if self.tls.verify_clients == "off" and any(rule.certificate for rule in self.census):
            raise ValueError("`census` by `certificate` needs `tls.verify_clients`")

    def networks(self) -> tuple[Network, ...]:
        """The trusted networks, parsed."""
        return parse_networks(self.trusted_networks)

    def worker_count(self) -> int:
        """How many workers: as set, or one for each core that this process may use."""
        return self.workers or len(os.sched_getaffinity(0))

    def node_name(self) -> str:
        """This host's name in the fleet."""
        return self.node or socket.gethostname()
