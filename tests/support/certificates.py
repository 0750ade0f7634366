"""Certificates for tests: an authority of the test's own, and what it signs."""

import datetime as dt
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_PLAIN_PEM = (
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
)


class Authority:
    """Signs certificates into a folder. `ca`: its own certificate's file."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} of tests")])
        own = self._signed(
            self._name, self._key, [], (-1, 365), [x509.BasicConstraints(ca=True, path_length=None)]
        )
        self.ca = folder / f"{name}.pem"
        self.ca.write_bytes(own.public_bytes(serialization.Encoding.PEM))

    def issue(
        self,
        file: str,
        *names: str,
        common_name: str = "",
        uris: tuple[str, ...] = (),
        days: tuple[float, float] = (-1, 90),
        passphrase: bytes = b"",
    ) -> tuple[Path, Path]:
        """A certificate and its key, as files; written anew if they are there.

        names: DNS names or addresses. days: from when to when, counted from now.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name or file)])
        alternatives = [_alternative(name) for name in names]
        alternatives += [x509.UniformResourceIdentifier(uri) for uri in uris]
        made = self._signed(subject, key, alternatives, days, [])
        certificate, key_file = self._folder / f"{file}.pem", self._folder / f"{file}.key"
        encoding, form, plain = _PLAIN_PEM
        sealing = serialization.BestAvailableEncryption(passphrase) if passphrase else plain
        _replace(certificate, made.public_bytes(serialization.Encoding.PEM))
        _replace(key_file, key.private_bytes(encoding, form, sealing))
        return certificate, key_file

    def trusted(self, *pair: Path) -> ssl.SSLContext:
        """A client that believes this authority alone. pair: the certificate that it shows."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if pair:
            certificate, key = pair
            context.load_cert_chain(certificate, key)
        return context

    def server(self, pair: tuple[Path, Path], *, clients: bool = False) -> ssl.SSLContext:
        """A server with this certificate. clients: whether it wants one of theirs."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*pair)
        if clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.ca)
        return context

    def _signed(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        alternatives: list[x509.GeneralName],
        days: tuple[float, float],
        extensions: list[x509.ExtensionType],
    ) -> x509.Certificate:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + dt.timedelta(days[0]))
            .not_valid_after(now + dt.timedelta(days[1]))
        )
        if alternatives:
            extensions = [*extensions, x509.SubjectAlternativeName(alternatives)]
        for extension in extensions:
            critical = isinstance(extension, x509.BasicConstraints)
            builder = builder.add_extension(extension, critical=critical)
        return builder.sign(self._key, hashes.SHA256())


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _replace(path: Path, content: bytes) -> None:
    """In one step, as those who renew certificates do."""
    unfinished = path.with_suffix(".new")
    unfinished.write_bytes(content)
    unfinished.replace(path)
