"""Tokens: which are believed, for how long, and that no error repeats any of them."""

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from proxy import bearer
from proxy.bearer import BearerError, BearerVerifier

KEY = "a-secret-of-the-tests-32-bytes-or-more"
FAR = 4_000_000_000
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
PUBLIC_PEM = RSA_KEY.public_key().public_bytes(
    serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
)


class Clock:
    """Seconds since the epoch, as the test sets them."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def verifier(key: str | bytes = KEY, algorithm: str = "HS256", **options: Any) -> BearerVerifier:
    return BearerVerifier(key, algorithm, "issuer", "turnout", "tenant", 60, **options)


def claims(**changes: Any) -> dict[str, Any]:
    """Good claims but for the changes; None leaves a claim out."""
    good = {"iss": "issuer", "aud": "turnout", "exp": FAR, "tenant": "acme"} | changes
    return {name: value for name, value in good.items() if value is not None}


def token(**changes: Any) -> bytes:
    return jwt.encode(claims(**changes), KEY, "HS256").encode()


def part(value: object) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")


def signed(header: object, key: bytes = KEY.encode(), payload: bytes | None = None) -> bytes:
    """A token with any header at all, signed by HMAC-SHA256."""
    content = part(header) + b"." + (part(claims()) if payload is None else payload)
    digest = hmac.new(key, content, hashlib.sha256).digest()
    return content + b"." + base64.urlsafe_b64encode(digest).rstrip(b"=")


def refused(checked: BearerVerifier, given: bytes) -> str:
    with pytest.raises(BearerError) as caught:
        checked.tenant(b"Bearer " + given)
    assert not given or given.decode("latin-1") not in str(caught.value)
    assert KEY not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("scheme", [b"Bearer ", b"bearer ", b"BEARER  "])
def test_a_good_token_names_its_tenant(scheme: bytes) -> None:
    assert verifier().tenant(scheme + token()) == "acme"


def test_a_token_signed_by_the_private_key_names_its_tenant() -> None:
    given = jwt.encode(claims(), RSA_KEY, "RS256").encode()
    assert verifier(PUBLIC_PEM, "RS256").tenant(b"Bearer " + given) == "acme"


@pytest.mark.parametrize("audience", ["turnout", ["other", "turnout"]])
def test_the_audience_is_exact_or_in_the_list(audience: object) -> None:
    assert verifier().tenant(b"Bearer " + token(aud=audience)) == "acme"


@pytest.mark.parametrize("authorization", [b"Basic eDp5", b"", b"Bearertoken", b"Digest x"])
def test_other_schemes_name_no_tenant(authorization: bytes) -> None:
    assert verifier().tenant(authorization) is None


def test_a_token_without_the_claim_names_no_tenant() -> None:
    assert verifier().tenant(b"Bearer " + token(tenant=None)) is None


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT"},
        {"alg": "none"},
        {"alg": "None"},
        {"alg": ""},
        {"alg": None},
        {"alg": ["HS256"]},
        {"alg": 1},
        {"alg": "HS384"},
        {"alg": "RS256"},
        {"alg": "hs256"},
        {"alg": "HS256", "crit": ["exp"]},
        {"alg": "HS256", "b64": False, "crit": ["b64"]},
        ["HS256"],
        "HS256",
        None,
    ],
)
def test_an_algorithm_other_than_configured_is_refused(header: object) -> None:
    refused(verifier(), signed(header))


def test_a_token_without_a_signature_is_refused() -> None:
    content = part({"alg": "none"}) + b"." + part(claims())
    for given in (content + b".", content, part({"alg": "HS256"}) + b"." + part(claims()) + b"."):
        refused(verifier(), given)


def test_the_public_key_is_no_secret() -> None:
    """Key confusion: HMAC with the public key's text, where RS256 is configured."""
    refused(verifier(PUBLIC_PEM, "RS256"), signed({"alg": "HS256"}, PUBLIC_PEM))


@pytest.mark.parametrize(
    "given",
    [
        b"",
        b".",
        b"..",
        b"...",
        b"a.b.c",
        b"\xff.\xfe.\xfd",
        b"a" * 8_000,
        token()[:-1],
        token() + b"A",
        token() + b".x",
        token().replace(b".", b"..", 1),
    ],
)
def test_what_is_not_a_token_is_refused(given: bytes) -> None:
    refused(verifier(), given)


def test_another_key_is_refused() -> None:
    refused(verifier("another secret of the tests, long enough"), token())


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": None},
        {"exp": 1_000},
        {"exp": "soon"},
        {"exp": [FAR]},
        {"exp": {}},
        {"exp": False},
        {"nbf": FAR},
        {"iss": None},
        {"iss": "other"},
        {"iss": "issuer "},
        {"iss": ["issuer"]},
        {"aud": None},
        {"aud": "other"},
        {"aud": ["other"]},
        {"aud": "turnout-admin"},
        {"aud": []},
    ],
)
def test_a_claim_that_does_not_hold_is_refused(changes: dict[str, Any]) -> None:
    content = part(claims(**changes))
    if changes.keys() & {"exp", "iss", "aud"}:
        content = part(
            {**claims(), **changes} if None not in changes.values() else claims(**changes)
        )
    refused(verifier(), signed({"alg": "HS256"}, payload=content))


@pytest.mark.parametrize("expires", ["1e400", "-1e400", "Infinity", "NaN"])
def test_an_expiry_that_is_no_finite_number_is_refused(expires: str) -> None:
    text = json.dumps(claims()).replace(str(FAR), expires)
    payload = base64.urlsafe_b64encode(text.encode()).rstrip(b"=")
    refused(verifier(), signed({"alg": "HS256"}, payload=payload))


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_a_token_nested_too_deeply_is_refused(opening: bytes) -> None:
    deep = base64.urlsafe_b64encode(opening * 1_000).rstrip(b"=")
    refused(verifier(), deep + b"." + part(claims()) + b".AA")
    refused(verifier(), signed({"alg": "HS256"}, payload=deep))


@pytest.mark.parametrize("tenant", [1, True, ["acme"], {"id": "acme"}, 1.5])
def test_a_tenant_that_is_not_a_string_is_refused(tenant: object) -> None:
    assert refused(verifier(), token(tenant=tenant)) == "the tenant claim is not a string"


def test_a_token_over_the_limit_is_refused_unread() -> None:
    assert refused(verifier(), token(extra="x" * 8_192)) == "the token is too long"


def test_a_verified_token_is_believed_until_it_expires() -> None:
    clock = Clock(FAR - 100)
    checked = verifier(wall_clock=clock)
    assert checked.tenant(b"Bearer " + token()) == "acme"
    checked._key = "changed, so that only what is remembered can be believed"
    clock.now = FAR + 59
    assert checked.tenant(b"Bearer " + token()) == "acme"
    clock.now = FAR + 60
    refused(checked, token())


def test_what_is_remembered_names_its_own_tenant_only() -> None:
    checked = verifier()
    for _ in range(2):
        assert checked.tenant(b"Bearer " + token()) == "acme"
        assert checked.tenant(b"Bearer " + token(tenant="bravo")) == "bravo"
        assert checked.tenant(b"Bearer " + token(tenant=None)) is None


def test_a_refused_token_is_not_remembered_as_good() -> None:
    checked = verifier()
    for _ in range(2):
        refused(checked, token(aud="other"))
    assert not checked._remembered


def test_tokens_are_not_kept_in_memory_and_their_number_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bearer, "MAX_REMEMBERED", 5)
    checked = verifier()
    for number in range(20):
        checked.tenant(b"Bearer " + token(jti=str(number)))
        assert len(checked._remembered) <= 5
    assert all(len(key) == 32 for key in checked._remembered)
