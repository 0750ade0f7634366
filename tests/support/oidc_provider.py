"""A small OpenID provider on loopback: real keys, real codes, real PKCE; it misbehaves when told to.

It consents at once, as whoever `person` describes. What it does wrong is set on its attributes:
`claims` and `header` are put over the token's (None takes one away), `signer` makes the whole token,
`checks_pkce`, `codes_last`, `iss` (the answer's own), `metadata`, `replies` (path → another answer).
"""

import asyncio
import base64
import contextlib
import json
import ssl
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any
from urllib.parse import unquote_plus, urlencode

import jwt
from aiohttp import web
from jwt.algorithms import get_default_algorithms

from tests.support.tokens import private_key

CLIENT, CLIENT_SECRET = "turnout", "canary-client-secret/+ %"
OF_THE_ISSUER = "the issuer's own"


@dataclass
class Code:
    """What was consented to."""

    redirect_uri: str
    challenge: str
    nonce: str
    used: bool = False


def public_jwk(kind: str, kid: str | None, number: int = 0, **members: Any) -> dict[str, Any]:
    """The public JWK of a key."""
    signer = get_default_algorithms()[kind]
    public = json.loads(signer.to_jwk(private_key(kind, number).public_key()))
    document = {**public, "kid": kid, "use": "sig", "alg": kind, **members}
    return {name: value for name, value in document.items() if value is not None}


@dataclass
class OidcProvider:
    """One provider. asked: the paths of the requests that came; exchanges: the forms of those for tokens."""

    url: str = ""
    kind: str = "RS256"
    kid: str | None = "one"
    number: int = 0
    secret: str | None = CLIENT_SECRET
    person: dict[str, Any] = field(
        default_factory=lambda: {"sub": "anna", "groups": ["release-managers"]}
    )
    claims: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)
    signer: Callable[[dict[str, Any]], str] | None = None
    jwks: list[dict[str, Any]] | None = None
    checks_pkce: bool = True
    codes_last: bool = False
    error: str = ""
    iss: str | None = OF_THE_ISSUER
    metadata: dict[str, Any] = field(default_factory=dict)
    replies: dict[str, Callable[[], Any]] = field(default_factory=dict)
    delay_s: float = 0.0
    asked: list[str] = field(default_factory=list)
    exchanges: list[dict[str, str]] = field(default_factory=list)
    authorizations: list[dict[str, str]] = field(default_factory=list)
    codes: dict[str, Code] = field(default_factory=dict)

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._listen])
        app.router.add_get("/.well-known/openid-configuration", self._describe)
        app.router.add_get("/authorize", self._authorize)
        app.router.add_post("/token", self._token)
        app.router.add_get("/keys", self._keys)
        return app

    def new_code(self, nonce: str, challenge: str, redirect_uri: str) -> str:
        """As if somebody had consented."""
        code = f"canary-code-{token_urlsafe(16)}"
        self.codes[code] = Code(redirect_uri, challenge, nonce)
        return code

    @web.middleware
    async def _listen(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append(request.path)
        await asyncio.sleep(self.delay_s)
        if request.path in self.replies:
            reply = self.replies[request.path]()
            assert isinstance(reply, web.StreamResponse)
            return reply
        response: web.StreamResponse = await handler(request)
        return response

    async def _describe(self, _: web.Request) -> web.StreamResponse:
        document = {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/keys",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": [self.kind],
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            **self.metadata,
        }
        kept = {name: value for name, value in document.items() if value is not None}
        return web.json_response(kept)

    async def _authorize(self, request: web.Request) -> web.StreamResponse:
        asked = dict(request.query)
        self.authorizations.append(asked)
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT
        assert "openid" in asked["scope"].split()
        assert asked["code_challenge_method"] == "S256"
        answer = {"state": asked["state"]}
        if self.error:
            answer["error"] = self.error
        else:
            answer["code"] = self.new_code(
                asked["nonce"], asked["code_challenge"], asked["redirect_uri"]
            )
        if self.iss is not None:
            answer["iss"] = self.url if self.iss is OF_THE_ISSUER else self.iss
        raise web.HTTPFound(f"{asked['redirect_uri']}?{urlencode(answer)}")

    async def _token(self, request: web.Request) -> web.StreamResponse:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.exchanges.append(form)
        if not self._is_client(request, form):
            return web.json_response({"error": "invalid_client"}, status=401)
        code = self.codes.get(form.get("code", ""))
        if code is None or (code.used and not self.codes_last):
            return web.json_response({"error": "invalid_grant"}, status=400)
        code.used = True
        if form["redirect_uri"] != code.redirect_uri or not self._proves(form, code):
            return web.json_response({"error": "invalid_grant"}, status=400)
        return web.json_response(
            {
                "access_token": token_urlsafe(),
                "token_type": "Bearer",
                "expires_in": 60,
                "id_token": self.id_token(code.nonce),
            }
        )

    def _is_client(self, request: web.Request, form: dict[str, str]) -> bool:
        if self.secret is None:
            return form.get("client_id") == CLIENT and "client_secret" not in form
        if self.metadata.get("token_endpoint_auth_methods_supported") == ["client_secret_post"]:
            return (form.get("client_id"), form.get("client_secret")) == (CLIENT, self.secret)
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        name, _, shown = base64.b64decode(text).decode().partition(":")
        return (scheme, unquote_plus(name), unquote_plus(shown)) == ("Basic", CLIENT, self.secret)

    def _proves(self, form: dict[str, str], code: Code) -> bool:
        digest = sha256(form.get("code_verifier", "").encode()).digest()
        made = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        return not self.checks_pkce or made == code.challenge

    def id_token(self, nonce: str) -> str:
        """The token for who logs in."""
        at = int(time.time())
        said = {"iss": self.url, "aud": CLIENT, "iat": at, "exp": at + 60, "nonce": nonce}
        claims = {**said, **self.person, **self.claims}
        claims = {name: value for name, value in claims.items() if value is not None}
        if self.signer is not None:
            return self.signer(claims)
        return self.signed(claims)

    def signed(self, claims: dict[str, Any]) -> str:
        """A token as it should be, whatever it says."""
        header = {"kid": self.kid, **self.header}
        header = {name: value for name, value in header.items() if value is not None}
        return jwt.encode(claims, private_key(self.kind, self.number), self.kind, headers=header)

    async def _keys(self, _: web.Request) -> web.StreamResponse:
        own = [public_jwk(self.kind, self.kid, self.number)]
        return web.json_response({"keys": own if self.jwks is None else self.jwks})


def of_another_key(claims: dict[str, Any]) -> str:
    """A signer: whole and well, by a key that only says to be the provider's."""
    return jwt.encode(claims, private_key("RS256", 1), "RS256", headers={"kid": "one"})


@contextlib.asynccontextmanager
async def oidc_provider(tls: ssl.SSLContext | None = None) -> AsyncIterator[OidcProvider]:
    """It listens on loopback for as long as the block runs."""
    provider = OidcProvider()
    runner = web.AppRunner(provider.app(), shutdown_timeout=0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    provider.url = f"http{'s' if tls else ''}://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield provider
    finally:
        await runner.cleanup()
