"""Tokens and keys of tests: good ones, any bytes at all under a good signature, and outcomes."""

import base64
import functools
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

from proxy.tokens.bearer import BearerError, BearerVerifier, Issuer
from proxy.tokens.jwk import read_jwks, read_keys

SECRET = "a-secret-of-the-tests-" + "64-bytes-or-more-" * 3
FAR = 4_000_000_000
ISSUER, AUDIENCE = "https://issuer.test", "turnout"
ALGORITHMS = (
    *("HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "EdDSA"),
)
_SIGNERS = get_default_algorithms()


def private_key(kind: str, number: int = 0) -> Any:
    """The private key (or secret) of an algorithm; another for each number."""
    return _made(kind, number)


@functools.cache
def _made(kind: str, number: int) -> Any:
    if kind.startswith("HS"):
        return f"{SECRET}{number or ''}".encode()
    if kind[:2] in {"RS", "PS"}:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    if kind == "ES256":
        return ec.generate_private_key(ec.SECP256R1())
    if kind == "ES384":
        return ec.generate_private_key(ec.SECP384R1())
    return ed25519.Ed25519PrivateKey.generate()


def public_pem(private: Any) -> bytes:
    pem: bytes = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return pem


def key_text(kind: str) -> bytes:
    """What the settings would hold: the secret, or the public key."""
    private = private_key(kind)
    return private if isinstance(private, bytes) else public_pem(private)


def jwk(kind: str, kid: str | None = None, number: int = 0, **members: Any) -> dict[str, Any]:
    """The public JWK of a key (with the secret, for a shared one). members: added, None removes."""
    private = private_key(kind, number)
    signer = _SIGNERS[kind]
    public = private if isinstance(private, bytes) else private.public_key()
    found = {**signer.to_jwk(public, as_dict=True), "kid": kid, **members}
    found.pop("key_ops", None) if "key_ops" not in members else None
    return {name: value for name, value in found.items() if value is not None}


def jwks(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims but for the changes; None leaves a claim out."""
    good = {"iss": ISSUER, "aud": AUDIENCE, "exp": FAR, "tenant": "acme"} | changes
    return {name: value for name, value in good.items() if value is not None}


def base64url(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")


def signed(
    header: object, payload: object, key: Any = None, kind: str = "HS256", number: int = 0
) -> bytes:
    """A token of any header and payload (bytes as they are, else as JSON), signed by `kind`."""
    parts = [
        part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)
    ]
    content = b".".join(base64url(part) for part in parts)
    signer = _SIGNERS[kind]
    signature = signer.sign(content, private_key(kind, number) if key is None else key)
    return content + b"." + base64url(signature)


def token(kind: str = "HS256", kid: str | None = None, number: int = 0, **changes: Any) -> bytes:
    """A good token but for the changes to its claims."""
    header = {"alg": kind, "typ": "JWT"} | ({} if kid is None else {"kid": kid})
    return signed(header, claims(**changes), kind=kind, number=number)


def issuer(kind: str = "HS256", **options: Any) -> Issuer:
    """An issuer whose one key is that of the kind; options as for Issuer."""
    named = {"issuer": ISSUER, "audiences": (AUDIENCE,), "algorithms": (kind,)} | options
    if "keys" not in named:
        named["keys"] = read_keys(key_text(kind), named["algorithms"], 50)
    return Issuer(**named)


def issuer_of_set(*keys: dict[str, Any], algorithms: tuple[str, ...] = ALGORITHMS[3:]) -> Issuer:
    """An issuer with a key set."""
    return issuer(algorithms=algorithms, keys=read_jwks(jwks(*keys), algorithms, 50))


def verifier(kind: str = "HS256", **options: Any) -> BearerVerifier:
    """A verifier with one issuer with one key."""
    return BearerVerifier([issuer(kind)], **options)


class Clock:
    """Seconds since the epoch, as the test sets them."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def refused(checked: BearerVerifier, given: bytes) -> str:
    """Why; nothing of the token or the key may be told."""
    with pytest.raises(BearerError) as caught:
        checked.tenant(b"Bearer " + given)
    said = str(caught.value)
    for part in given.decode("latin-1").split("."):
        assert len(part) < 8 or part not in said
    assert SECRET not in said
    assert caught.value.__cause__ is None
    return caught.value.reason


def believed(checked: BearerVerifier, given: bytes) -> str | None:
    return checked.tenant(b"Bearer " + given)
