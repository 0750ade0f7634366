"""What a client's TLS connection says of it, for the requests that come on it."""

import ssl

from proxy.tls.certificates import Certificates, Entry
from proxy.tls.settings import Tls


class Secure:
    """One client's TLS connection.

    certificate_line: the field that tells the endpoint of the client's certificate, without its
    line end; b"" without one. tenant: whom the certificate names, None without one.
    """

    __slots__ = ("_certificates", "_checked", "_entry", "certificate_line", "tenant")

    def __init__(
        self,
        certificates: Certificates,
        server_name: str | None,
        certificate_line: bytes,
        tenant: str | None,
    ) -> None:
        self._certificates = certificates
        self._entry: Entry | None = certificates.choose(server_name) if server_name else None
        self._checked = b"" if server_name is None else server_name.encode("latin-1", "replace")
        self.certificate_line = certificate_line
        self.tenant = tenant

    def serves(self, host: bytes) -> bool:
        """Whether a request for this host may come here (RFC 9110 §15.5.20: else 421).

        The host must be one of those that the certificate chosen by SNI is for: a client that
        was shown another host's certificate has not made sure of this one. Without a name in
        the handshake, or with one that only the default was shown for, there is nothing to
        compare.
        """
        if self._entry is None or host == self._checked:
            return True
        name = host_name(host.decode("latin-1"))
        found = self._certificates.choose(name)
        # Renewed meanwhile: the names are compared, not the contexts.
        if found is None or found.names != self._entry.names:
            return False
        self._checked = host
        return True


def host_name(host: str) -> str:
    """A Host without its port."""
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host


def secure(
    certificates: Certificates, settings: Tls, connection: ssl.SSLObject, server_name: str | None
) -> Secure:
    """After the handshake. server_name: what the client asked for by SNI.

    ValueError: OpenSSL could read the client's certificate, `cryptography` can't.
    """
    if settings.verify_clients == "off":
        return Secure(certificates, server_name, b"", None)
    encoded = connection.getpeercert(binary_form=True)
    if not encoded:
        return Secure(certificates, server_name, b"", None)
    from proxy.tls import x509  # noqa: PLC0415 - see there

    certificate = x509.read_der(encoded)
    line = f"{settings.client_header}: {x509.subject_of(certificate)}".encode()
    tenant = x509.tenant_of(certificate, settings.client_tenant)
    return Secure(certificates, server_name, line, tenant)
