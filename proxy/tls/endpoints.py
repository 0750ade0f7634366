"""TLS to endpoints: one context for all, made before the workers are forked."""

import asyncio
import logging
import ssl
from dataclasses import dataclass

from config import ConfigError
from proxy.routing.model import Endpoint, Slot
from proxy.tls.certificates import CertificateError, no_passphrase, read_file
from proxy.tls.failures import Failures
from proxy.tls.settings import EndpointTls
from proxy.tls.transport import connect

log = logging.getLogger("turnout.tls")


@dataclass(frozen=True, slots=True)
class EndpointSecurity:
    """server_name: what endpoints must be; empty: each its own host of the table.

    failures: where it is said why a handshake failed.
    """

    context: ssl.SSLContext
    server_name: str
    slots: frozenset[Slot]
    failures: Failures

    async def connect(self, endpoint: Endpoint, protocol: asyncio.Protocol) -> None:
        """Connect and shake hands; the protocol hears of it. OSError, ValueError."""
        name = self.server_name or endpoint.host
        await connect((endpoint.host, endpoint.port), self.context, name, lambda _: protocol)


def endpoint_security(settings: EndpointTls) -> EndpointSecurity | None:
    """None when no slot's endpoints speak TLS. ConfigError names what can't be used."""
    if not settings.slots:
        return None
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        if settings.ca:
            context = _trusting(settings.ca)
        if settings.certificate:
            context.load_cert_chain(settings.certificate, settings.key, no_passphrase)
    except CertificateError as error:
        raise ConfigError(str(error)) from None
    except (ssl.SSLError, OSError, ValueError):
        raise ConfigError(
            f"{settings.certificate} with {settings.key}: the pair can't be used"
        ) from None
    if not settings.verify:
        log.warning(
            "ENDPOINTS ARE NOT VERIFIED: `endpoint_tls.verify` is false, so that whoever "
            "answers at an endpoint's address is believed, and reads what tenants send"
        )
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return EndpointSecurity(context, settings.server_name, frozenset(settings.slots), Failures())


def _trusting(path: str) -> ssl.SSLContext:
    """A context that trusts this file's certificates and no others."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_verify_locations(cadata=read_file(path).decode("ascii"))
    except (ssl.SSLError, ValueError):
        raise CertificateError(f"{path} holds no certificates in PEM") from None
    return context
