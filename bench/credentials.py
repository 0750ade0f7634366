"""What a run makes for itself: a certificate for loopback, and the tokens that name tenants.

Both are made anew in each run and are worth nothing outside of it.
"""

import ipaddress
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

ALGORITHM = "HS256"
"""The cheapest to verify: kind to the peers that verify each request's token anew."""
ISSUER = "https://issuer.bench.test"
AUDIENCE = "turnout-bench"
CLAIM = "tenant"
KEY = secrets.token_hex(32)
LIFE = timedelta(hours=12)


@dataclass(frozen=True, slots=True)
class Certificate:
    """Three PEM files: the certificate, its key, and both in one."""

    chain: Path
    key: Path
    both: Path


def certificate(folder: Path) -> Certificate:
    """A self-signed one for localhost and 127.0.0.1 (ECDSA P-256), written to the folder."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    hosts = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.IPv4Address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + LIFE)
        .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    chain = made.public_bytes(pem)
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    files = Certificate(folder / "chain.pem", folder / "key.pem", folder / "both.pem")
    files.chain.write_bytes(chain)
    for path, content in ((files.key, secret), (files.both, chain + secret)):
        path.touch(mode=0o600)
        path.write_bytes(content)
    return files


def tokens(tenants: Sequence[str]) -> list[str]:
    """A bearer token for each tenant, good for LIFE."""
    expires = int((datetime.now(UTC) + LIFE).timestamp())
    common = {"iss": ISSUER, "aud": AUDIENCE, "exp": expires}
    return [jwt.encode({**common, CLAIM: tenant}, KEY, ALGORITHM) for tenant in tenants]


def spoilt(token: str) -> str:
    """The same token with a signature that can't be right."""
    head, dot, signature = token.rpartition(".")
    return head + dot + ("A" if signature[0] != "A" else "B") + signature[1:]
