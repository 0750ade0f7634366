"""PURE: the keys that a provider publishes (JWKS, RFC 7517), and which of them judges a token.

Rules: what a key may verify is settled when it is read: by its type, curve and length, and by its
`alg`, `use` and `key_ops`; a token only chooses among that. Only the public members are taken. A
key that can't be used, or must not be (a secret, for encryption, weak, unknown), is left out; a
set with one id for two keys can be read in two ways, and is refused whole.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from admin.login.tokens import Parts, is_key_id, read_object

MIN_RSA_BITS = 2048
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_BY_KIND: Mapping[tuple[object, object], tuple[str, ...]] = {
    ("RSA", None): _RSA,
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
_PUBLIC = ("kty", "crv", "x", "y", "n", "e")


class KeySetError(ValueError):
    """The set can't be used; the message says why and carries no part of it."""


@dataclass(frozen=True, slots=True)
class Key:
    """One public key. kid: None without one. verifiers: of the algorithms that it may verify."""

    kid: str | None
    verifiers: Mapping[str, jwt.PyJWK]

    def verifies(self, token: Parts) -> bool:
        """Whether the token's signature is this key's."""
        verifier = self.verifiers.get(token.algorithm)
        return verifier is not None and bool(
            verifier.Algorithm.verify(token.content, verifier.key, token.signature)
        )


class KeySet:
    """The keys of one provider. KeySetError if two have one id."""

    def __init__(self, keys: Iterable[Key] = ()) -> None:
        self._keys = tuple(keys)
        self._by_kid = {key.kid: key for key in self._keys if key.kid is not None}
        if len(self._by_kid) < sum(key.kid is not None for key in self._keys):
            raise KeySetError("two keys have one id")

    def __len__(self) -> int:
        """How many keys there are."""
        return len(self._keys)

    def find(self, token: Parts) -> Key | None:
        """The key that the token names; if it names none, the only one that fits it."""
        if token.kid is not None:
            key = self._by_kid.get(token.kid)
            return key if key is not None and token.algorithm in key.verifiers else None
        fitting = [key for key in self._keys if token.algorithm in key.verifiers]
        return fitting[0] if len(fitting) == 1 else None


def read_keys(raw: bytes, algorithms: Iterable[str], max_keys: int) -> KeySet:
    """The keys of a set that may verify one of the algorithms. KeySetError."""
    try:
        listed = read_object(raw).get("keys")
    except (ValueError, RecursionError):
        raise KeySetError("the keys are not JSON that can be read in one way") from None
    if not isinstance(listed, list) or len(listed) > max_keys:
        raise KeySetError(f"the keys are not a list of at most {max_keys}")
    allowed = frozenset(algorithms)
    read = (_key(jwk, allowed) for jwk in listed if isinstance(jwk, dict))
    return KeySet(key for key in read if key is not None)


def _key(jwk: dict[str, Any], allowed: frozenset[str]) -> Key | None:
    """None for what may not verify, or can't."""
    kid = jwk.get("kid")
    if (kid is not None and not is_key_id(kid)) or not _is_for_signatures(jwk):
        return None
    curve = jwk.get("crv") if jwk.get("kty") != "RSA" else None
    if not isinstance(curve, str | None) or not isinstance(jwk.get("kty"), str):
        return None
    fitting = [name for name in _BY_KIND.get((jwk["kty"], curve), ()) if name in allowed]
    if "alg" in jwk:
        fitting = [name for name in fitting if name == jwk["alg"]]
    public = {name: jwk[name] for name in _PUBLIC if name in jwk}
    try:
        verifiers = {name: jwt.PyJWK(public, name) for name in fitting}
    except (jwt.PyJWTError, ValueError, TypeError, KeyError, AttributeError):
        return None
    if any(_is_weak(verifier.key) for verifier in verifiers.values()):
        return None
    return Key(kid, verifiers) if verifiers else None


def _is_for_signatures(jwk: dict[str, Any]) -> bool:
    uses = jwk.get("key_ops", ["verify"])
    return jwk.get("use", "sig") == "sig" and isinstance(uses, list) and "verify" in uses


def _is_weak(key: object) -> bool:
    return isinstance(key, RSAPublicKey) and key.key_size < MIN_RSA_BITS
