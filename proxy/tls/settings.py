"""Settings of TLS: [proxy.tls] for clients, [proxy.endpoint_tls] for endpoints."""

from typing import Literal

import msgspec

from config import is_field_name
from proxy.routing.model import Slot


class Certificate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A certificate and its key. names: which server names choose it, beside its own.

    certificate: a PEM file, the server's own first, then the chain. key: a PEM file, not
    encrypted.
    """

    certificate: str
    key: str
    names: tuple[str, ...] = ()


class Tls(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How clients are met on `tls_listen`."""

    certificates: tuple[Certificate, ...] = ()
    unknown_names: Literal["default", "refuse"] = "default"
    min_version: Literal["1.2", "1.3"] = "1.2"
    ciphers: str = "ECDHE+AESGCM:ECDHE+CHACHA20"
    reload_s: float = 10.0
    warn_days: int = 14
    verify_clients: Literal["off", "optional", "required"] = "off"
    client_ca: str = ""
    client_tenant: Literal["common-name", "dns", "uri"] = "common-name"
    client_header: str = "X-Client-Cert-Subject"

    def __post_init__(self) -> None:
        if not 0 < self.reload_s <= 86_400:
            raise ValueError("`tls.reload_s` lies above 0 and at most a day")
        if self.warn_days < 0:
            raise ValueError("`tls.warn_days` is not negative")
        if (self.verify_clients == "off") != (not self.client_ca):
            raise ValueError("`tls.verify_clients` and `tls.client_ca` are set together")
        if not is_field_name(self.client_header):
            raise ValueError("`tls.client_header` is a field name of letters, digits and -")


class EndpointTls(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How connections to endpoints are secured. slots: whose endpoints speak TLS."""

    slots: tuple[Slot, ...] = ()
    ca: str = ""
    server_name: str = ""
    verify: bool = True
    certificate: str = ""
    key: str = ""

    def __post_init__(self) -> None:
        if bool(self.certificate) != bool(self.key):
            raise ValueError("`endpoint_tls.certificate` and `endpoint_tls.key` are set together")
