"""ID tokens: what is believed, and everything that is not. Real keys; no server."""

import base64
import hmac
import json
import random
from typing import Any

import jwt
import pytest

from admin.login.id_token import Expected, IdTokenError, UnknownKeyError, verify
from admin.login.keys import KeySet, KeySetError, read_keys
from admin.login.tokens import take_apart
from tests.support.oidc_provider import public_jwk
from tests.support.tokens import private_key, public_pem

NOW = 1_800_000_000.0
ISSUER, CLIENT, NONCE = "https://login.example", "turnout", "n" * 43
ALLOWED = ("RS256", "ES256")
EXPECTED = Expected(ISSUER, CLIENT, NONCE, ALLOWED, 60)
CLAIMS = {
    "iss": ISSUER,
    "aud": CLIENT,
    "sub": "anna",
    "iat": int(NOW),
    "exp": int(NOW) + 60,
    "nonce": NONCE,
}
KEYS = [public_jwk("RS256", "rsa"), public_jwk("ES256", "ec")]


def key_set(*jwks: dict[str, Any], algorithms: tuple[str, ...] = ALLOWED) -> KeySet:
    return read_keys(json.dumps({"keys": jwks or KEYS}).encode(), algorithms, 50)


def signed(
    kind: str = "RS256",
    kid: str | None = "rsa",
    number: int = 0,
    header: dict[str, Any] | None = None,
    **claims: Any,
) -> str:
    said = {name: value for name, value in {**CLAIMS, **claims}.items() if value is not None}
    fields = {"kid": kid, **(header or {})} if kid else header
    return jwt.encode(said, private_key(kind, number), kind, headers=fields)


def made(header: object, claims: object = CLAIMS, signature: bytes = b"x") -> str:
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def believed(token: str, keys: KeySet | None = None, expected: Expected = EXPECTED) -> bool:
    try:
        claims = verify(take_apart(token), keys or key_set(), expected, NOW)
    except (IdTokenError, ValueError):
        return False
    assert claims["sub"] == "anna"
    return True


GOOD = {
    "RSA": signed(),
    "EC": signed("ES256", "ec"),
    "no kid, one that fits": signed("ES256", None),
    "a list of audiences with azp": signed(aud=["other", CLIENT], azp=CLIENT),
    "a list of one audience": signed(aud=[CLIENT]),
    "azp": signed(azp=CLIENT),
    "expired within the skew": signed(exp=int(NOW) - 59),
    "begun within the skew": signed(iat=int(NOW) + 59),
    "nbf": signed(nbf=int(NOW)),
    "addresses of keys are not looked at": signed(
        header={"jku": "http://127.0.0.1:1/", "x5u": "http://127.0.0.1:1/"}
    ),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_token_is_believed(name):
    assert believed(GOOD[name])


def confused(public: bytes, kid: str) -> str:
    """HS256 with what everybody knows of the provider's key; PyJWT refuses to make that."""
    head, _, _ = made({"alg": "HS256", "kid": kid}).rpartition(".")
    mark = hmac.digest(public, head.encode(), "sha256")
    return f"{head}.{base64.urlsafe_b64encode(mark).rstrip(b'=').decode()}"


BAD = {
    "alg none": made({"alg": "none", "kid": "rsa"}),
    "alg none, unsigned": made({"alg": "none"}, signature=b""),
    "no alg": made({"kid": "rsa"}),
    "a list for alg": made({"alg": ["RS256"], "kid": "rsa"}),
    "HS256 with the public key": confused(public_pem(private_key("RS256")), "rsa"),
    "HS256 with the public JWK": confused(json.dumps(KEYS[0]).encode(), "rsa"),
    "HS256 with the modulus": confused(KEYS[0]["n"].encode(), "rsa"),
    "an algorithm that is not allowed": signed("RS512"),
    "the algorithm of another key": signed("ES256", "rsa"),
    "another's key under the id": signed(number=1),
    "a key that is not known": signed(kid="two"),
    "a kid of other characters": signed(kid="../../rsa"),
    "a kid that is a number": made({"alg": "RS256", "kid": 1}),
    "crit": signed(header={"crit": ["exp"]}),
    "b64": made({"alg": "RS256", "kid": "rsa", "b64": False}),
    "a token within": signed(header={"cty": "JWT"}),
    "zip": signed(header={"zip": "DEF"}),
    "a key of its own": made({"alg": "RS256", "kid": "own", "jwk": public_jwk("RS256", "own", 1)}),
    "expired": signed(exp=int(NOW) - 60),
    "no exp": signed(exp=None),
    "exp is a word": signed(exp="soon"),
    "exp is true": signed(exp=True),
    "no iat": signed(iat=None),
    "begun in the future": signed(iat=int(NOW) + 61),
    "not yet": signed(nbf=int(NOW) + 61),
    "another issuer": signed(iss="https://evil.example"),
    "the issuer with a slash": signed(iss=ISSUER + "/"),
    "no issuer": signed(iss=None),
    "another audience": signed(aud="other"),
    "no audience": signed(aud=None),
    "the audience as a part": signed(aud=CLIENT + "-other"),
    "several audiences without azp": signed(aud=[CLIENT, "other"]),
    "azp is another": signed(azp="other"),
    "azp is another, audiences": signed(aud=[CLIENT, "other"], azp="other"),
    "azp is empty": signed(azp=""),
    "another nonce": signed(nonce="m" * 43),
    "no nonce": signed(nonce=None),
    "nonce is a list": signed(nonce=[NONCE]),
    "over 8 KiB": signed(more="x" * 9000),
    "bad padding": signed() + "=",
    "four parts": signed() + ".x",
    "empty": "",
    "not ASCII": signed() + "ä",
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_token_is_not(name):
    assert not believed(BAD[name])


def test_a_name_that_stands_twice_is_refused():
    token = signed()
    payload = json.dumps(CLAIMS)[:-1].encode() + b', "sub": "mallory"}'
    text = base64.urlsafe_b64encode(payload).rstrip(b"=").decode()
    head = token.partition(".")[0]
    with pytest.raises(ValueError, match="twice"):
        take_apart(f"{head}.{text}.AAAA")


def test_numbers_without_bounds_and_deep_nesting_are_refused():
    for payload in (b'{"exp": 1e999}', b'{"exp": NaN}', b'{"a":' + b"[" * 40 + b"]" * 40 + b"}"):
        text = base64.urlsafe_b64encode(payload).rstrip(b"=").decode()
        head = signed().partition(".")[0]
        with pytest.raises(ValueError, match=r"bounds|JSON"):
            take_apart(f"{head}.{text}.AAAA")


def test_every_changed_byte_is_found(seeded_random: random.Random):
    token = signed()
    keys = key_set()
    for _ in range(300):
        at = seeded_random.randrange(len(token))
        other = seeded_random.choice([char for char in "Aa0-_.=" if char != token[at]])
        assert not believed(token[:at] + other + token[at + 1 :], keys)


def test_an_unknown_key_is_told_apart():
    with pytest.raises(UnknownKeyError):
        verify(take_apart(signed(kid="two")), key_set(), EXPECTED, NOW)


# ── keys ──────────────────────────────────────────────────────────────────────────────────────


def test_without_a_kid_two_keys_that_fit_are_none():
    keys = key_set(public_jwk("RS256", "a"), public_jwk("RS256", "b", 1))
    assert not believed(signed(kid=None), keys)


def test_a_key_without_an_id_is_found_by_its_kind():
    assert believed(signed(kid=None), key_set(public_jwk("RS256", None)))
    assert not believed(signed(kid="rsa"), key_set(public_jwk("RS256", None)))


@pytest.mark.parametrize(
    "members",
    [
        {"use": "enc"},
        {"key_ops": ["sign"]},
        {"key_ops": "verify"},
        {"alg": "RS512"},
        {"alg": "RSA-OAEP"},
        {"alg": None, "kty": "oct"},
        {"kty": ["RSA"]},
        {"n": "AQAB"},
        {"n": 5},
        {"n": None},
        {"kid": "../x"},
    ],
    ids=str,
)
def test_a_key_that_must_not_verify_is_left_out(members):
    assert len(key_set({**public_jwk("RS256", "rsa"), **members})) == 0


def test_a_key_without_alg_is_bound_to_its_kind():
    keys = key_set(public_jwk("RS256", "rsa", alg=None))
    assert believed(signed(), keys)
    assert not believed(signed("RS512"), keys)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"[]",
        b"{}",
        b'{"keys": {}}',
        b'{"keys": [], "keys": []}',
        b"\xff",
        json.dumps({"keys": [{}] * 51}).encode(),
        json.dumps({"keys": [public_jwk("RS256", "a"), public_jwk("RS256", "a", 1)]}).encode(),
    ],
    ids=range(8),
)
def test_a_set_that_can_not_be_read_in_one_way_is_refused(raw):
    with pytest.raises(KeySetError):
        read_keys(raw, ALLOWED, 50)


def test_other_kinds_of_keys_verify_their_own_algorithm():
    for kind in ("PS256", "ES384", "EdDSA"):
        own = Expected(ISSUER, CLIENT, NONCE, (kind,), 60)
        keys = key_set(public_jwk(kind, "k"), algorithms=(kind,))
        assert believed(signed(kind, "k"), keys, own)
        assert not believed(signed(kind, "k", 1), keys, own)
