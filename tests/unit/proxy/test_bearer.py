"""Claims of tokens: which hold, which tenant they name, and what is remembered of them."""

import hashlib
import json
from typing import Any

import pytest

from proxy.observability.telemetry import REFUSED_TOKENS, TOKEN_REASONS, WORKER_CELLS
from proxy.tokens.bearer import BearerVerifier, KeysMissingError
from proxy.tokens.jwk import read_jwks
from proxy.tokens.keyset import NO_KEYS
from proxy.tokens.settings import Tokens
from tests.support.tokens import (
    ALGORITHMS,
    FAR,
    Clock,
    base64url,
    believed,
    claims,
    issuer,
    issuer_of_set,
    jwk,
    jwks,
    private_key,
    public_pem,
    refused,
    signed,
    token,
    verifier,
)

HEADER = {"alg": "HS256"}


# ── good tokens ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("scheme", [b"Bearer ", b"bearer ", b"BEARER  "])
def test_a_good_token_names_its_tenant(scheme: bytes) -> None:
    assert verifier().tenant(scheme + token()) == "acme"


@pytest.mark.parametrize("kind", ALGORITHMS)
def test_each_algorithm_verifies_what_its_key_signed_and_nothing_else(kind: str) -> None:
    checked = verifier(kind)
    assert believed(checked, token(kind)) == "acme"
    other = signed({"alg": kind}, claims(), private_key(kind, 1), kind)
    assert refused(checked, other) == "signature"
    head, payload, signature = token(kind).split(b".")
    assert refused(checked, b".".join((head, payload, signature[:-8] + b"AAAAAAAA"))) == "signature"
    longer = claims(tenant="other")
    changed = b".".join((head, base64url(json.dumps(longer).encode()), signature))
    assert refused(checked, changed) == "signature"


@pytest.mark.parametrize("audience", ["turnout", ["other", "turnout"]])
def test_the_audience_is_exact_or_in_the_list(audience: object) -> None:
    assert believed(verifier(), token(aud=audience)) == "acme"


@pytest.mark.parametrize(
    "authorization", [b"Basic eDp5", b"", b"Bearertoken", b"Digest x", b"Bearer\tx"]
)
def test_other_schemes_name_no_tenant(authorization: bytes) -> None:
    found = verifier().verified(authorization)
    assert (found.tenant, found.expires) == (None, float("inf"))


def test_a_token_without_the_claim_names_no_tenant() -> None:
    assert believed(verifier(), token(tenant=None)) is None


def test_fields_that_ask_for_nothing_are_passed_over() -> None:
    header = {**HEADER, "typ": "at+jwt", "x5t": "eA", "kid": "any", "cty": "json"}
    assert believed(verifier(), signed(header, claims(jti="x", sub="y"))) == "acme"
    assert believed(verifier(), signed(b'{"alg" :\r\n "HS256"}', claims())) == "acme"


# ── behaviour: exp, nbf, iss, aud ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exp": None}, "claims"),
        ({"exp": 1_000}, "expired"),
        ({"exp": 0}, "expired"),
        ({"exp": -1}, "claims"),
        ({"exp": "soon"}, "claims"),
        ({"exp": str(FAR)}, "claims"),
        ({"exp": [FAR]}, "claims"),
        ({"exp": {}}, "claims"),
        ({"exp": False}, "claims"),
        ({"exp": True}, "claims"),
        ({"exp": 10**15}, "claims"),
        ({"exp": 10**400}, "claims"),
        ({"nbf": FAR}, "early"),
        ({"nbf": "now"}, "claims"),
        ({"nbf": True}, "claims"),
        ({"iat": FAR}, "early"),
        ({"iat": [1]}, "claims"),
        ({"iss": None}, "issuer"),
        ({"iss": "other"}, "issuer"),
        ({"iss": "https://issuer.test "}, "issuer"),
        ({"iss": "https://issuer.test/"}, "issuer"),
        ({"iss": ["https://issuer.test"]}, "issuer"),
        ({"iss": {}}, "issuer"),
        ({"aud": None}, "claims"),
        ({"aud": "other"}, "audience"),
        ({"aud": "Turnout"}, "audience"),
        ({"aud": ["other"]}, "audience"),
        ({"aud": "turnout-admin"}, "audience"),
        ({"aud": []}, "audience"),
        ({"aud": ["turnout", 1]}, "claims"),
        ({"aud": {"turnout": 1}}, "claims"),
    ],
)
def test_a_claim_that_does_not_hold_is_refused(changes: dict[str, Any], reason: str) -> None:
    assert refused(verifier(), token(**changes)) == reason


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
def test_null_is_no_time(name: str) -> None:
    assert refused(verifier(), signed(HEADER, {**claims(), name: None})) == "claims"


@pytest.mark.parametrize("expires", ["1e400", "-1e400", "Infinity", "-Infinity", "NaN", "1E999"])
def test_an_expiry_that_is_no_finite_number_is_refused(expires: str) -> None:
    text = json.dumps(claims()).replace(str(FAR), expires)
    assert refused(verifier(), signed(HEADER, text.encode())) == "form"


def test_clocks_may_differ_by_the_leeway_and_no_more() -> None:
    clock = Clock(FAR + 59)
    checked = verifier(wall_clock=clock)
    assert believed(checked, token()) == "acme"
    late = token(exp=FAR + 1000, nbf=FAR + 119, iat=FAR + 119)
    assert believed(checked, late) == "acme"
    clock.now = FAR + 58.9
    fresh = verifier(wall_clock=clock)
    assert refused(fresh, late) == "early"
    # Not remembered as refused: it becomes good.
    clock.now = FAR + 59
    assert believed(fresh, late) == "acme"
    clock.now = FAR + 60
    assert refused(fresh, token()) == "expired"


# ── behaviour: tenant claim ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "tenant",
    [
        *(1, True, False, 1.5, ["acme"], {"id": "acme"}),
        *(
            "",
            "Acme",
            "a_b",
            "a" * 64,
            "acme\n",
            "acme\0",
            "acme\r\nX-Evil: 1",
            " acme",
            "a.b",
            "ä",
        ),
        "\ud800",
    ],
)
def test_a_tenant_that_is_no_tenant_s_id_is_refused(tenant: object) -> None:
    assert refused(verifier(), token(tenant=tenant)) == "tenant"
    assert refused(verifier(), signed(HEADER, {**claims(), "tenant": None})) == "tenant"


def test_the_claim_and_its_pattern_are_the_issuer_s() -> None:
    own = issuer(claim="org", tenant_pattern="partner-[a-z]+|acme")
    checked = BearerVerifier([own])
    assert believed(checked, token(org="partner-one")) == "partner-one"
    assert believed(checked, token(org="acme")) == "acme"
    assert believed(checked, token()) is None
    for other in ("bravo", "partner-one-1", "xacme", "acmex", "partner-ONE"):
        assert refused(checked, token(org=other)) == "tenant"


def test_no_pattern_makes_a_tenant_of_what_is_none() -> None:
    checked = BearerVerifier([issuer(tenant_pattern="(?s).*")])
    assert believed(checked, token(tenant="any-one")) == "any-one"
    for other in ("Acme", "acme\r\nX-Evil: 1", "", "a" * 64):
        assert refused(checked, token(tenant=other)) == "tenant"


@pytest.mark.parametrize(
    "text",
    [
        '{"tenant":"bravo",%s',
        '{"ten\\u0061nt":"bravo",%s',
        '{"x":{"a":1,"a":2},%s',
        '{"x":[{"a":1,"\\u0061":2}],%s',
    ],
)
def test_duplicate_keys_are_refused(text: str) -> None:
    payload = text % json.dumps(claims())[1:]
    assert refused(verifier(), signed(HEADER, payload.encode())) == "form"
    if '"x"' in text:
        header = text % '"alg":"HS256"}'
        assert refused(verifier(), signed(header.encode(), claims())) == "form"
    assert refused(verifier(), signed(b'{"alg":"HS256","alg":"HS256"}', claims())) == "form"


@pytest.mark.parametrize(
    "payload",
    [
        b'{"tenant":"ac\0me"}',
        b'{"tenant":"ac\r\nme"}',
        b"\xef\xbb\xbf" + json.dumps(claims()).encode(),
        json.dumps(claims()).encode("utf-16"),
        json.dumps(claims()).encode() + b"\0",
        json.dumps(claims()).encode() + b"x",
        json.dumps(claims()).encode() * 2,
        b'{"tenant":"\xff"}',
        b"[]",
        b"null",
        b"1",
        b"",
        b"{",
        b"{'a':1}",
        b'{"a":' + b"1" * 5_000 + b"}",
    ],
)
def test_claims_that_are_not_one_json_object_are_refused(payload: bytes) -> None:
    assert refused(verifier(), signed(HEADER, payload)) == "form"


# ── behaviour: memory of tokens ───────────────────────────────────────────────────────────────


def test_a_verified_token_is_believed_until_it_expires() -> None:
    clock = Clock(FAR - 100)
    checked = verifier(wall_clock=clock)
    found = checked.verified(b"Bearer " + token())
    assert (found.tenant, found.expires) == ("acme", FAR + 60)
    clock.now = FAR + 59
    assert checked.verified(b"Bearer " + token()) is found
    clock.now = FAR + 60
    assert refused(checked, token()) == "expired"
    assert not checked._remembered


def test_what_is_remembered_names_its_own_tenant_only() -> None:
    checked = verifier()
    for _ in range(2):
        assert believed(checked, token()) == "acme"
        assert believed(checked, token(tenant="bravo")) == "bravo"
        assert believed(checked, token(tenant=None)) is None


def test_memory_is_keyed_by_sha_256_and_bounded_the_least_used_goes_first() -> None:
    checked = verifier(limits=Tokens(remembered=5))
    often = token(jti="often")
    for number in range(20):
        believed(checked, often)
        believed(checked, token(jti=str(number)))
        assert len(checked._remembered) <= 5
    kept = [token(jti=str(number)) for number in range(16, 20)] + [often]
    assert set(checked._remembered) == {hashlib.sha256(each).digest() for each in kept}


def test_memory_is_cleared_when_a_key_goes_and_the_generation_grows() -> None:
    own = issuer_of_set(jwk("ES256", "a"), jwk("ES256", "b", 1))
    checked = BearerVerifier([own, issuer(issuer="second")])
    given = token("ES256", "a")
    assert believed(checked, given) == "acme"
    checked.use_keys(own, read_jwks(jwks(jwk("ES256", "b", 1)), ["ES256"], 50))
    assert (checked.generation, len(checked._remembered)) == (1, 0)
    assert refused(checked, given) == "key"
    assert believed(checked, token("ES256", "b", 1)) == "acme"


def test_another_key_under_the_same_id_clears_the_memory_too() -> None:
    own = issuer_of_set(jwk("ES256", "a"))
    checked = BearerVerifier([own])
    given = token("ES256", "a")
    assert believed(checked, given) == "acme"
    checked.use_keys(own, read_jwks(jwks(jwk("ES256", "a", 1)), ["ES256"], 50))
    assert checked.generation == 1
    assert refused(checked, given) == "signature"


def test_a_key_that_is_added_leaves_what_was_verified() -> None:
    own = issuer_of_set(jwk("ES256", "a"))
    checked = BearerVerifier([own])
    assert believed(checked, token("ES256", "a")) == "acme"
    assert refused(checked, token("ES256", "b", 1)) == "key"
    both = read_jwks(jwks(jwk("ES256", "a"), jwk("ES256", "b", 1)), ["ES256"], 50)
    checked.use_keys(own, both)
    assert (checked.generation, len(checked._remembered)) == (0, 1)
    assert believed(checked, token("ES256", "b", 1)) == "acme"


def test_a_refusal_is_remembered_for_seconds_and_bounded() -> None:
    clock = Clock(FAR - 100)
    checked = verifier(wall_clock=clock, limits=Tokens(refused_remembered=5, refused_s=10))
    bad = token(aud="other")
    for _ in range(2):
        assert refused(checked, bad) == "audience"
    assert not checked._remembered
    # The keys change under it: what is remembered answers, until it is too old.
    (own,) = checked.issuers.values()
    own.audiences = frozenset({"other"})
    assert refused(checked, bad) == "audience"
    clock.now += 10
    assert believed(checked, bad) == "acme"
    for number in range(20):
        refused(checked, token(aud=str(number)))
        assert len(checked._refused) <= 5


def test_refusals_that_may_pass_are_not_remembered() -> None:
    checked = BearerVerifier([issuer_of_set(jwk("ES256", "a")), issuer(keys=NO_KEYS, issuer="new")])
    assert refused(checked, token("ES256", "a", nbf=FAR)) == "early"
    assert refused(checked, token("ES256", "b")) == "key"
    assert refused(checked, token(iss="new")) == "no-keys"
    assert not checked._refused


def test_without_any_keys_the_fault_is_ours() -> None:
    checked = BearerVerifier([issuer(keys=NO_KEYS)])
    with pytest.raises(KeysMissingError):
        believed(checked, token())
    # What is wrong anyway is the token's fault all the same.
    assert refused(checked, token(aud="other")) == "audience"


def test_a_key_that_is_not_there_is_asked_for_by_good_tokens_only() -> None:
    own = issuer_of_set(jwk("ES256", "a"))
    asked = []
    own.ask = lambda: asked.append(1)
    checked = BearerVerifier([own])
    for bad in (
        token("ES256", "b", aud="other"),
        token("ES256", "b", exp=1000),
        token("HS256", "b"),
        token("RS256", "a"),
        token("ES256", "a", 1),
    ):
        refused(checked, bad)
    assert not asked
    refused(checked, token("ES256", "b"))
    assert asked == [1]


def test_refusals_are_counted_by_reason() -> None:
    cells = memoryview(bytearray(8 * WORKER_CELLS)).cast("q")
    checked = verifier(cells=cells)
    for given in (token(aud="x"), token(aud="x"), b"x", b"x" * 9_000, token(exp=1)):
        refused(checked, given)
    believed(checked, token())
    found = {reason: cells[REFUSED_TOKENS + at] for at, reason in enumerate(TOKEN_REASONS)}
    assert {reason: count for reason, count in found.items() if count} == {
        "audience": 2,
        "form": 2,
        "expired": 1,
    }


def test_a_public_key_in_pem_needs_no_line_end() -> None:
    pem = public_pem(private_key("RS256"))
    assert pem.endswith(b"\n")
    assert believed(verifier("RS256"), token("RS256")) == "acme"
