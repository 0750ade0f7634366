"""Keys that verify signatures: a secret, a PEM, a JWK, or a set of them (RFC 7517, RFC 7518 §6).

Rules: what a key may verify is settled here, by its type, curve and length, and by its `alg`,
`use` and `key_ops`; a token only chooses among that. Of a JWK only the public members are
taken. A key that can't be used, or must not be (for encryption, private, weak), is left out; a
set that could be read in two ways (one id for two keys, secrets beside public keys) is refused
whole. No error carries any part of a key.
"""

import re
from collections.abc import Iterable
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    SECP384R1,
    EllipticCurvePublicKey,
    EllipticCurvePublicNumbers,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from jwt.algorithms import get_default_algorithms

from proxy.tokens.jws import decode_base64url, is_key_id, read_object
from proxy.tokens.keyset import Key, KeySet, KeySetError

_HASH_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
_RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
ALGORITHMS: Final = frozenset({*_HASH_BYTES, *_RSA, "ES256", "ES384", "EdDSA"})
_VERIFIERS: Final = {
    name: verifier for name, verifier in get_default_algorithms().items() if name in ALGORITHMS
}
_CURVES: Final[dict[str, tuple[str, Any, int]]] = {
    "P-256": ("ES256", SECP256R1, 32),
    "P-384": ("ES384", SECP384R1, 48),
}
_MIN_RSA_BITS: Final = 2048
_MAX_RSA_BITS: Final = 8192
_MAX_EXPONENT: Final = 1 << 32
_PRIVATE_MEMBERS: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth"})
_MAX_DEPTH: Final = 32
_BEGINS_PEM: Final = b"-----BEGIN "
_BEGINS_OTHER: Final = re.compile(rb"\s*[\[{]|ssh-|ecdsa-|sk-")


def read_keys(text: bytes, allowed: Iterable[str], max_keys: int) -> KeySet:
    """What a setting or a file holds: a JWK or a set of them, a public key in PEM, or a secret.

    allowed: the algorithms that the issuer uses. A secret is the text itself, without the end of
    its line. KeySetError if it is of no use.
    """
    wanted = frozenset(allowed)
    stripped = text.strip()
    if stripped.startswith(b"{"):
        found = read_jwks(stripped, wanted, max_keys)
    elif stripped.startswith(_BEGINS_PEM):
        found = KeySet(_kept([_pem(stripped)], wanted))
    else:
        # A public key of another form must not become a secret.
        if _BEGINS_OTHER.match(text):
            raise KeySetError("the key is neither JWK nor PEM nor a secret")
        secret = text.removesuffix(b"\n").removesuffix(b"\r")
        found = KeySet(_kept([_secret(None, secret)], wanted))
    if not len(found):
        raise KeySetError("no key fits the algorithms: wrong type, too short, or not for signing")
    return found


def read_jwks(document: bytes, allowed: Iterable[str], max_keys: int) -> KeySet:
    """A JWK Set, or one JWK; keys of no use here are left out. KeySetError."""
    try:
        found = read_object(document, _MAX_DEPTH)
    except (ValueError, RecursionError):
        raise KeySetError("the key set is not a JSON object, read strictly") from None
    listed = [found] if "kty" in found else found.get("keys")
    if not isinstance(listed, list):
        raise KeySetError("the key set has no list of keys")
    if len(listed) > max_keys:
        raise KeySetError("the key set has too many keys")
    kinds = {isinstance(jwk, dict) and jwk.get("kty") == "oct" for jwk in listed}
    if len(kinds) > 1:
        raise KeySetError("the key set holds secrets beside public keys")
    named = [
        (str(jwk.get("kty")), str(jwk["kid"]))
        for jwk in listed
        if isinstance(jwk, dict) and "kid" in jwk and _is_for_verifying(jwk)
    ]
    if len(set(named)) < len(named):
        raise KeySetError("two keys have one id")
    return KeySet(_kept([_jwk(jwk) for jwk in listed], frozenset(allowed)))


def _kept(keys: Iterable[Key | None], wanted: frozenset[str]) -> list[Key]:
    return [key for key in keys if key is not None and key.algorithms & wanted]


# ── one key ───────────────────────────────────────────────────────────────────────────────────


def _key(kid: str | None, algorithms: Iterable[str], material: Any, public: bytes) -> Key:
    return Key(kid, {name: _VERIFIERS[name] for name in algorithms}, material, public)


def _secret(kid: str | None, secret: bytes) -> Key | None:
    # RFC 7518 §3.2: no shorter than the hash.
    fitting = frozenset(name for name, least in _HASH_BYTES.items() if len(secret) >= least)
    return _key(kid, fitting, secret, secret) if fitting else None


def _pem(text: bytes) -> Key | None:
    try:
        public = load_pem_public_key(text)
    except (ValueError, UnsupportedAlgorithm):
        raise KeySetError(
            "the PEM holds no public key (a private key does not belong here)"
        ) from None
    if isinstance(public, RSAPublicKey):
        numbers = public.public_numbers()
        return _rsa(None, numbers.n, numbers.e)
    if isinstance(public, EllipticCurvePublicKey):
        for algorithm, curve, _ in _CURVES.values():
            if public.curve.name == curve.name:
                return _key(None, {algorithm}, public, text)
    if isinstance(public, Ed25519PublicKey):
        return _key(None, {"EdDSA"}, public, text)
    return None


def _jwk(jwk: Any) -> Key | None:
    """RFC 7517 §4; None for one that can't be used or must not be."""
    if not isinstance(jwk, dict) or not _is_for_verifying(jwk):
        return None
    kid = jwk.get("kid")
    if kid is not None and not is_key_id(kid):
        return None
    try:
        key = _of_type(jwk, kid)
    except (ValueError, UnsupportedAlgorithm):
        return None
    if key is None or "alg" not in jwk:
        return key
    return key.only_for(jwk["alg"]) if jwk["alg"] in list(key.algorithms) else None


def _is_for_verifying(jwk: dict[str, Any]) -> bool:
    if jwk.get("use", "sig") != "sig":
        return False
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        return False
    # Who publishes a private key has lost it.
    return jwk.get("kty") == "oct" or _PRIVATE_MEMBERS.isdisjoint(jwk)


def _of_type(jwk: dict[str, Any], kid: str | None) -> Key | None:
    kind, curve = jwk.get("kty"), jwk.get("crv")
    if kind == "oct":
        return _secret(kid, _member(jwk, "k"))
    if kind == "RSA":
        return _rsa(kid, _number(jwk, "n"), _number(jwk, "e"))
    if kind == "EC" and isinstance(curve, str) and curve in _CURVES:
        return _ec(jwk, kid, curve)
    if kind == "OKP" and curve == "Ed25519":
        public = _member(jwk, "x")
        return _key(kid, {"EdDSA"}, Ed25519PublicKey.from_public_bytes(public), public)
    return None


def _rsa(kid: str | None, n: int, e: int) -> Key | None:
    usable = _MIN_RSA_BITS <= n.bit_length() <= _MAX_RSA_BITS and n % 2 == 1
    if not usable or e % 2 == 0 or not 3 <= e < _MAX_EXPONENT or _is_roca(n):
        return None
    return _key(kid, _RSA, RSAPublicNumbers(e, n).public_key(), b"RSA %x %x" % (n, e))


def _ec(jwk: dict[str, Any], kid: str | None, curve: str) -> Key | None:
    algorithm, of, size = _CURVES[curve]
    x, y = _member(jwk, "x"), _member(jwk, "y")
    if len(x) != size or len(y) != size:
        return None
    numbers = EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), of())
    return _key(kid, {algorithm}, numbers.public_key(), x + y)


def _member(jwk: dict[str, Any], name: str) -> bytes:
    value = jwk.get(name)
    if not isinstance(value, str):
        raise KeySetError("a member of a key is missing")
    return decode_base64url(value.encode())


def _number(jwk: dict[str, Any], name: str) -> int:
    return int.from_bytes(_member(jwk, name), "big")


# ── weak keys ─────────────────────────────────────────────────────────────────────────────────

_SMALL_PRIMES: Final = tuple(
    number for number in range(3, 168, 2) if all(number % below for below in range(3, number, 2))
)
_POWERS: Final = tuple(
    (prime, frozenset(pow(65537, exponent, prime) for exponent in range(prime)))
    for prime in _SMALL_PRIMES
)


def _is_roca(n: int) -> bool:
    """Whether a modulus has the mark of ROCA (CVE-2017-15361), which makes it factorable.

    Both primes of such a key are powers of 65537 modulo every small prime, and so is their
    product; of other moduli about one in 2²⁷ is.
    """
    return all(n % prime in powers for prime, powers in _POWERS)
