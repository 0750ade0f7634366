"""TLS and tokens of a soak: an authority, its certificates, and two issuers.

One issuer's keys are fetched and rotate, each published before it signs and kept for a while
after; the other shares a secret. A certificate is renewed by its files alone.
"""

import asyncio
import random
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from proxy.routing.model import Slot
from tests.support.certificates import Authority
from tests.support.key_server import KeyServer, document
from tests.support.tls import pair
from tests.support.tokens import AUDIENCE, ISSUER, SECRET, jwk, jwks, token

HOST, ENDPOINT = "soak.test", "endpoint.soak.test"
BY_TOKEN = 0.5
"""The share of requests whose tenant a token names."""
BAD_TOKEN = 0.01
"""The share of requests whose token is to be refused."""
FETCHED_S = 3.0
"""By then every worker has fetched what is published: three times `refresh_s`."""
KEPT_S = 30.0
"""For so long a key stays published after it was replaced: tokens of its are under way."""
_OTHER = "https://other-issuer.test"
_REFRESH_S = 1.0
_BAD: Sequence[Mapping[str, Any]] = (
    MappingProxyType({"exp": 1_000_000_000}),
    MappingProxyType({"aud": "somebody else"}),
    MappingProxyType({"iss": "https://nobody.test"}),
    MappingProxyType({"kid": "unknown"}),
    MappingProxyType({"number": 1_000}),  # another's key
)


class Secure:
    """See the module. client: the context of clients; endpoint: that of endpoints."""

    def __init__(self, folder: Path) -> None:
        self._authority = Authority(folder)
        self.client = self._authority.trusted()
        self.endpoint: ssl.SSLContext = self._authority.server(
            self._authority.issue("endpoint", ENDPOINT)
        )
        self._own = pair(self._authority.issue("front", HOST))
        self.keys = KeyServer()
        self._signing = 0
        self._replaced: list[tuple[int, float]] = []

    async def start(self) -> None:
        """Publish the first keys."""
        self._publish(0)
        await self.keys.start()

    def settings(self) -> dict[str, object]:
        """What the fleet's differ in. Few tokens are remembered, so that they are forgotten too."""
        fetched = {"issuer": ISSUER, "algorithms": ["ES256"], "jwks_url": self.keys.url}
        shared = {"issuer": _OTHER, "algorithms": ["HS256"], "key": SECRET}
        return {
            "tls_listen": "127.0.0.1:0",
            "tls": {"certificates": [self._own], "reload_s": 0.5},
            "endpoint_tls": {
                "slots": [str(slot) for slot in Slot],
                "ca": str(self._authority.ca),
                "server_name": ENDPOINT,
            },
            "identity": {
                "issuers": [{**each, "audiences": [AUDIENCE]} for each in (fetched, shared)],
                "jwks": {"refresh_s": _REFRESH_S, "retry_s": 0.5, "unknown_key_s": 0.5},
                "tokens": {"remembered": 300, "refused_remembered": 30},
            },
        }

    # ── tokens ────────────────────────────────────────────────────────────────────────────────

    def good(self, rng: random.Random, tenant: str, name: str) -> str:
        """An Authorization: the tenant's, or the request's own; of either issuer."""
        own: dict[str, Any] = {"jti": name} if rng.random() < 0.5 else {}
        if rng.random() < 0.5:
            return _bearer(token("HS256", iss=_OTHER, tenant=tenant, **own))
        number = self._signing
        return _bearer(token("ES256", f"k{number}", number, tenant=tenant, **own))

    def bad(self, rng: random.Random, tenant: str, name: str) -> str:
        """One that must be refused."""
        given = {"kid": f"k{self._signing}", "number": self._signing, "jti": name}
        return _bearer(token("ES256", **{**given, **rng.choice(_BAD)}, tenant=tenant))

    # ── what happens meanwhile ────────────────────────────────────────────────────────────────

    async def rotate(self) -> None:
        """Another key signs, once every worker has it."""
        now = asyncio.get_running_loop().time()
        self._replaced = [each for each in self._replaced if each[1] > now - KEPT_S]
        self._publish(self._signing + 1)
        await asyncio.sleep(FETCHED_S)
        self._replaced.append((self._signing, asyncio.get_running_loop().time()))
        self._signing += 1

    async def renew(self) -> None:
        """Another certificate stands in the files."""
        self._authority.issue("front", HOST)

    async def unpublish(self, seconds: float) -> None:
        """The key server is gone for a while; the keys stay."""
        await self.keys.stop()
        await asyncio.sleep(seconds)
        await self.keys.start()

    def _publish(self, newest: int) -> None:
        numbers = {newest, self._signing, *(number for number, _ in self._replaced)}
        self.keys.reply = document(jwks(*(jwk("ES256", f"k{n}", n) for n in sorted(numbers))))


def _bearer(signed: bytes) -> str:
    return f"Bearer {signed.decode()}"
