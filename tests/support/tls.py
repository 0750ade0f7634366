"""A front with three certificates, as the tests of TLS with clients have it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cryptography import x509

from tests.support.certificates import Authority
from tests.support.front import Front, front

ASK = b"GET / HTTP/1.1\r\nHost: erp.test\r\nConnection: close\r\n\r\n"


def pair(files: tuple[Path, Path], *names: str) -> dict[str, Any]:
    """As it stands in `tls.certificates`."""
    certificate, key = files
    return {"certificate": str(certificate), "key": str(key), "names": list(names)}


@asynccontextmanager
async def serving(authority: Authority, **proxy: Any) -> AsyncIterator[Front]:
    """Certificates for erp.test (the first), *.erp.test and other.test."""
    tls = {
        "certificates": [
            pair(authority.issue("erp", "erp.test")),
            pair(authority.issue("wild", "*.erp.test")),
            pair(authority.issue("other", "Other.Test")),
        ]
    }
    tls |= proxy.pop("tls", {})
    async with front(tls_listen="127.0.0.1:0", tls=tls, **proxy) as found:
        yield found


def subject(shown: bytes) -> str:
    """Of a certificate in DER."""
    return x509.load_der_x509_certificate(shown).subject.rfc4514_string()
