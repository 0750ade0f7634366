"""What a client's TLS connection says of it, for the requests that come on it."""

import ssl
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from cryptography import x509
from cryptography.x509.oid import NameOID

from proxy.tls.certificates import Certificates, Entry
from proxy.tls.settings import Tls

_AMBIGUOUS: Final = ""  # no tenant id: a request that it should name is refused
_PRINTED: Final = " =,+/:@.-_"
_MAX_SUBJECT: Final = 2048


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
    """After the handshake. server_name: what the client asked for by SNI."""
    if settings.verify_clients == "off":
        return Secure(certificates, server_name, b"", None)
    encoded = connection.getpeercert(binary_form=True)
    if not encoded:
        return Secure(certificates, server_name, b"", None)
    certificate = x509.load_der_x509_certificate(encoded)
    line = f"{settings.client_header}: {subject_of(certificate)}".encode()
    return Secure(certificates, server_name, line, _TENANT[settings.client_tenant](certificate))


def subject_of(certificate: x509.Certificate) -> str:
    """The subject (RFC 4514), what isn't plain ASCII percent-encoded (RFC 3986), as one field."""
    return quote(certificate.subject.rfc4514_string(), safe=_PRINTED)[:_MAX_SUBJECT]


def _by_common_name(certificate: x509.Certificate) -> str:
    return _only(
        [
            str(part.value)
            for part in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        ]
    )


def _by_dns(certificate: x509.Certificate) -> str:
    names = _alternatives(certificate).get_values_for_type(x509.DNSName)
    return _only([name.lower().partition(".")[0] for name in names])


def _by_uri(certificate: x509.Certificate) -> str:
    names = _alternatives(certificate).get_values_for_type(x509.UniformResourceIdentifier)
    return _only([name.rstrip("/").rpartition("/")[2] for name in names])


def _alternatives(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return x509.SubjectAlternativeName([])


def _only(names: list[str]) -> str:
    """The one that all are; none or several name nobody."""
    found = set(names)
    return found.pop() if len(found) == 1 else _AMBIGUOUS


_TENANT: Final[dict[str, Callable[[x509.Certificate], str]]] = {
    "common-name": _by_common_name,
    "dns": _by_dns,
    "uri": _by_uri,
}
