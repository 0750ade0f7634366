"""What certificates (X.509, RFC 5280) say: for which names they are, until when, and of whom.

Rule: the only file of TLS that needs `cryptography`, whose X.509 takes 40 ms to import. It is
imported with the first certificate, before the workers are forked, and not where there is none.
"""

import warnings
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from cryptography import x509
from cryptography.x509.oid import ExtensionOID, NameOID

_AMBIGUOUS: Final = ""  # no tenant id: a request that it should name is refused
_PRINTED: Final = " =,+/:@.-_"
_MAX_SUBJECT: Final = 2048


def read_pem(text: bytes) -> x509.Certificate:
    """The first certificate of a chain. ValueError: there is none."""
    return x509.load_pem_x509_certificates(text)[0]


def read_der(encoded: bytes) -> x509.Certificate:
    """A certificate as a connection has it. ValueError: OpenSSL could read it, this can't."""
    return x509.load_der_x509_certificate(encoded)


def expires(certificate: x509.Certificate) -> int:
    """When it ends, in POSIX seconds."""
    return int(certificate.not_valid_after_utc.timestamp())


def names_in(certificate: x509.Certificate) -> set[str]:
    """The DNS names that it is for (RFC 6125 §6.4; the common name has not counted for years)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd encodings: the names are what counts
            extension = certificate.extensions.get_extension_for_oid(
                ExtensionOID.SUBJECT_ALTERNATIVE_NAME
            )
    except (x509.ExtensionNotFound, ValueError):
        return set()
    value = extension.value
    if not isinstance(value, x509.SubjectAlternativeName):
        return set()
    return {name.lower() for name in value.get_values_for_type(x509.DNSName)}


def subject_of(certificate: x509.Certificate) -> str:
    """The subject (RFC 4514), what isn't plain ASCII percent-encoded (RFC 3986), as one field."""
    return quote(certificate.subject.rfc4514_string(), safe=_PRINTED)[:_MAX_SUBJECT]


def tenant_of(certificate: x509.Certificate, by: str) -> str:
    """The tenant that it names; no tenant id if it names several, or none. by: `client_tenant`."""
    return _TENANT[by](certificate)


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
