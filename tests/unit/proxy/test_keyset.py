"""Keys from settings, files and key sets: what each may verify, and what is left out or refused."""

import contextlib
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from hypothesis import given
from hypothesis import strategies as st

from proxy.tokens.jwk import ALGORITHMS, read_jwks, read_keys
from proxy.tokens.jws import take_apart
from proxy.tokens.keyset import KeySet, KeySetError
from tests.support.tokens import (
    base64url,
    claims,
    jwk,
    jwks,
    key_text,
    private_key,
    public_pem,
    signed,
    token,
)

RSA_ALGORITHMS = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}


def read(*keys: dict[str, Any]) -> KeySet:
    return read_jwks(jwks(*keys), ALGORITHMS, 50)


def verifies(keys: KeySet, given: bytes) -> bool:
    parts = take_apart(given, 32)
    key = keys.find(parts)
    return key is not None and key.verifies(parts)


@pytest.mark.parametrize(
    ("kind", "algorithms"),
    [
        ("RS256", RSA_ALGORITHMS),
        ("ES256", {"ES256"}),
        ("ES384", {"ES384"}),
        ("EdDSA", {"EdDSA"}),
    ],
)
def test_a_key_is_bound_to_its_type_and_curve(kind: str, algorithms: set[str]) -> None:
    for keys in (read(jwk(kind, "k")), read_keys(key_text(kind), ALGORITHMS, 50)):
        assert {found for key in keys._keys for found in key.algorithms} == algorithms
        assert verifies(keys, token(kind, "k"))


def test_a_key_does_not_verify_by_another_algorithm_even_when_it_is_asked() -> None:
    (key,) = read(jwk("RS256", "k", alg="RS256"))._keys
    assert key.verifies(take_apart(token("RS256"), 32))
    for other in ("RS512", "PS256"):
        forged = signed({"alg": other}, claims(), private_key("RS256"), other)
        assert not key.verifies(take_apart(forged, 32))


@pytest.mark.parametrize(
    ("bytes_", "algorithms"),
    [
        (0, set()),
        (31, set()),
        (32, {"HS256"}),
        (47, {"HS256"}),
        (48, {"HS256", "HS384"}),
        (64, {"HS256", "HS384", "HS512"}),
    ],
)
def test_a_secret_is_no_shorter_than_the_hash(bytes_: int, algorithms: set[str]) -> None:
    keys = read({"kty": "oct", "k": base64url(b"s" * bytes_).decode()})
    assert {found for key in keys._keys for found in key.algorithms} == algorithms


USELESS: dict[str, Any] = {
    "for encryption": jwk("ES256", "k", use="enc"),
    "for encryption by its operations": jwk("ES256", "k", key_ops=["encrypt"]),
    "operations are no list": jwk("ES256", "k", key_ops="verify"),
    "another algorithm": jwk("ES256", "k", alg="ES384"),
    "an unknown algorithm": jwk("ES256", "k", alg="ES521"),
    "algorithm none": jwk("RS256", "k", alg="none"),
    "algorithm is a list": jwk("RS256", "k", alg=["RS256"]),
    "a secret's algorithm": jwk("RS256", "k", alg="HS256"),
    "private": jwk("ES256", "k", d="AAAA"),
    "kid of other characters": jwk("ES256", "../k"),
    "kid is a number": jwk("ES256", 7),  # type: ignore[arg-type]
    "another curve": jwk("ES256", "k", crv="P-384"),
    "an unknown curve": jwk("ES256", "k", crv="secp256k1"),
    "a curve of another type": jwk("EdDSA", "k", crv="X25519"),
    "another type": jwk("ES256", "k", kty="RSA"),
    "an unknown type": jwk("ES256", "k", kty="AKP"),
    "type is a list": jwk("ES256", "k", kty=["EC"]),
    "a member is missing": jwk("ES256", "k", x=None),
    "a member is a number": jwk("ES256", "k", x=1),
    "a member is padded": jwk("RS256", "k", e="AQAB="),
    "a point beside the curve": jwk("ES256", "k", x=jwk("ES256")["y"]),
    "a coordinate too long": jwk("ES256", "k", x=base64url(b"\0" * 33).decode()),
    "an Ed25519 key too short": jwk("EdDSA", "k", x=base64url(b"\1" * 31).decode()),
    "exponent 1": jwk("RS256", "k", e="AQ"),
    "exponent even": jwk("RS256", "k", e="AQAA"),
    "exponent huge": jwk("RS256", "k", e=base64url(b"\xff" * 200).decode()),
    "modulus even": jwk("RS256", "k", n=base64url(b"\xff" * 255 + b"\xfe").decode()),
    "modulus short": jwk("RS256", "k", n=base64url(b"\xff" * 255).decode()),
    "modulus huge": jwk("RS256", "k", n=base64url(b"\xff" * 1_025).decode()),
    "no object": "key",
    "null": None,
}


@pytest.mark.parametrize("name", USELESS)
def test_a_key_of_no_use_is_left_out(name: str) -> None:
    good = jwk("ES256", "good", 1)
    keys = read_jwks(json.dumps({"keys": [USELESS[name], good]}).encode(), ALGORITHMS, 50)
    assert len(keys) == 1
    assert verifies(keys, token("ES256", "good", 1))


def test_a_key_with_the_mark_of_roca_is_left_out() -> None:
    """n ≡ 65537^a modulo the product of small primes, found here by multiplying up to it."""
    primes = [n for n in range(3, 168, 2) if all(n % below for below in range(3, n, 2))]
    product = 2
    for prime in primes:
        product *= prime
    n = pow(65537, 12345, product) + product * (1 << (2047 - product.bit_length() + 1))
    assert n.bit_length() == 2048
    weak = base64url(n.to_bytes(256, "big")).decode()
    assert len(read(jwk("RS256", "k", n=weak))) == 0
    near = base64url((n + 2).to_bytes(256, "big")).decode()
    assert len(read(jwk("RS256", "k", n=near))) == 1


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (b"", "strictly"),
        (b"x", "strictly"),
        (b"[]", "strictly"),
        (b"\xff", "strictly"),
        (b"{}", "no list"),
        (b'{"keys":{}}', "no list"),
        (b'{"keys":[],"keys":[]}', "strictly"),
        (b'{"keys":' + b"[" * 100 + b"]" * 100 + b"}", "strictly"),
        (b'{"keys":' + b"[" * 100_000, "strictly"),
        (jwks(*[jwk("ES256", f"k{n}") for n in range(51)]), "too many"),
        (jwks(jwk("ES256", "k"), jwk("ES256", "k", 1)), "one id"),
        (jwks(jwk("ES256", "k"), jwk("HS256", "s")), "secrets"),
        (jwks(jwk("HS256", "k"), jwk("HS256", "k", 1, k="AAAAB")), "one id"),
    ],
)
def test_a_set_that_can_be_read_in_two_ways_is_refused(document: bytes, said: str) -> None:
    with pytest.raises(KeySetError, match=said):
        read_jwks(document, ALGORITHMS, 50)


def test_keys_for_other_purposes_may_share_an_id() -> None:
    keys = read(jwk("ES256", "k"), jwk("RS256", "k", use="enc"))
    assert verifies(keys, token("ES256", "k"))


def test_an_empty_set_is_a_set() -> None:
    assert len(read()) == 0


def test_two_secrets_rotate_by_their_ids() -> None:
    keys = read_keys(jwks(jwk("HS256", "old"), jwk("HS256", "new", 1)), ["HS256"], 50)
    assert verifies(keys, token("HS256", "old"))
    assert verifies(keys, token("HS256", "new", 1))
    assert not verifies(keys, token("HS256", "new"))
    assert not verifies(keys, token("HS256"))


def private_pem() -> bytes:
    pem: bytes = private_key("ES256").private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pem


@pytest.mark.parametrize(
    ("text", "allowed"),
    [
        (key_text("RS256"), ["HS256"]),
        (key_text("RS256"), ["ES256"]),
        (key_text("ES256"), ["ES384"]),
        (key_text("ES256"), ["EdDSA"]),
        (public_pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)), ["RS256"]),
        (public_pem(ec.generate_private_key(ec.SECP521R1())), ["ES256", "ES384"]),
        (public_pem(ed448.Ed448PrivateKey.generate()), ["EdDSA"]),
        (private_pem(), ["ES256"]),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", ["RS256"]),
        (b"-----BEGIN PUBLIC KEY-----", ["HS256"]),
        (b"ssh-rsa " + b"A" * 64, ["HS256"]),
        (b"[" + b"A" * 64, ["HS256"]),
        (b"{" + b"A" * 64, ["HS256"]),
        (b"s" * 31, ["HS256"]),
        (b"s" * 32 + b"\n", ["HS384"]),
        (b"", ["HS256"]),
        (jwks(), ["ES256"]),
        (jwks(jwk("ES256")), ["RS256"]),
    ],
)
def test_a_key_that_does_not_fit_its_issuer_is_an_error(text: bytes, allowed: list[str]) -> None:
    with pytest.raises(KeySetError) as caught:
        read_keys(text, allowed, 50)
    assert len(text) < 20 or text.decode().strip() not in str(caught.value)


def test_a_secret_s_line_end_is_not_part_of_it() -> None:
    secret = b" a secret of exactly 32 bytes... "
    wanted = read_keys(secret, ["HS256"], 50).identities
    for text in (secret + b"\n", secret + b"\r\n"):
        assert read_keys(text, ["HS256"], 50).identities == wanted
    assert read_keys(secret + b"\n\n", ["HS256"], 50).identities != wanted


def test_what_a_set_changed_is_seen_in_its_identities() -> None:
    base = read(jwk("RS256", "k")).identities
    assert read(jwk("RS256", "k", use="sig", extra=1)).identities == base
    assert read(jwk("RS256", "l")).identities != base
    assert read(jwk("RS256", "k", 1)).identities != base
    assert read(jwk("RS256", "k", alg="RS256")).identities != base


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(
                    ["keys", "kty", "kid", "k", "n", "e", "x", "y", "crv", "alg", "use"]
                )
                | st.text(max_size=3),
                inner | st.sampled_from(["oct", "RSA", "EC", "OKP", "P-256", "Ed25519", "AQAB"]),
                max_size=8,
            )
        ),
    )
)
def test_any_document_is_a_set_or_refused(document: object) -> None:
    for text in (document, {"keys": [document]}, {"keys": document}):
        with contextlib.suppress(KeySetError):
            read_jwks(json.dumps(text).encode(), ALGORITHMS, 50)
