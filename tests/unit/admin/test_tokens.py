"""What a token has to be; the table of forged ones is driven through HTTP in integration."""

import json
import time

import jwt
import pytest

from admin.tokens import Role, TokenError, create_token, verify_token

SECRET = "a secret of the tests, 32 bytes or more"


def test_a_token_names_who_made_it_for_whom():
    principal = verify_token(SECRET, create_token(SECRET, "ann", "operator", 60, ["b", "a"]))
    assert (principal.subject, principal.role) == ("ann", Role.OPERATOR)
    assert sorted(principal.tenants or ()) == ["a", "b"]
    assert 59 < principal.expires - time.time() <= 61


def test_without_a_scope_a_token_is_for_all_tenants():
    assert verify_token(SECRET, create_token(SECRET, "ann", "admin", 60)).tenants is None


def test_an_empty_scope_is_for_no_tenant():
    assert verify_token(SECRET, create_token(SECRET, "ann", "admin", 60, [])).tenants == frozenset()


@pytest.mark.parametrize(
    ("subject", "role", "ttl_s", "tenants"),
    [
        ("", "admin", 60, None),
        ("a\nb", "admin", 60, None),
        ("x" * 201, "admin", 60, None),
        ("ann", "root", 60, None),
        ("ann", "admin", 0, None),
        ("ann", "admin", float("nan"), None),
        ("ann", "admin", float("inf"), None),
        ("ann", "admin", 60, ["Acme"]),
    ],
)
def test_what_would_not_verify_is_not_made(subject, role, ttl_s, tenants):
    with pytest.raises(ValueError):
        create_token(SECRET, subject, role, ttl_s, tenants)


@pytest.mark.parametrize(
    ("claim", "value"),
    [
        ("exp", "soon"),
        ("exp", True),
        ("exp", float("inf")),
        ("exp", float("nan")),
        ("exp", [1]),
        ("sub", 7),
        ("sub", ""),
        ("sub", "a\u0000b"),
        ("role", ["admin"]),
        ("role", None),
        ("tenants", {"a": 1}),
        ("tenants", ["a"] * 1001),
        ("iat", "yesterday"),
        ("nbf", 4_000_000_000),
    ],
)
def test_a_claim_of_another_kind_is_refused(claim, value):
    claims = {
        "iss": "turnout",
        "aud": "turnout-admin",
        "sub": "ann",
        "role": "admin",
        "exp": int(time.time()) + 60,
    }
    unchecked = jwt.api_jws.encode(json.dumps(claims | {claim: value}).encode(), SECRET)
    with pytest.raises(TokenError):
        verify_token(SECRET, unchecked)


def test_clocks_may_differ_by_the_leeway():
    claims = {
        "iss": "turnout",
        "aud": "turnout-admin",
        "sub": "ann",
        "role": "admin",
        "exp": int(time.time()) - 30,
    }
    token = jwt.encode(claims, SECRET)
    assert verify_token(SECRET, token, leeway_s=60).subject == "ann"
    with pytest.raises(TokenError, match="expired"):
        verify_token(SECRET, token, leeway_s=10)


def test_roles_build_on_each_other():
    allowed = [(role, needed) for role in Role for needed in Role if role.allows(needed)]
    assert len(allowed) == 6
    assert not Role.VIEWER.allows(Role.OPERATOR)
    assert not Role.OPERATOR.allows(Role.ADMIN)
    assert Role.ADMIN.allows(Role.VIEWER)


def test_an_error_shows_neither_token_nor_secret():
    token = create_token("another secret, also of 32 bytes or more", "ann", "admin", 60)
    with pytest.raises(TokenError) as caught:
        verify_token(SECRET, token)
    assert token not in str(caught.value)
    assert SECRET not in str(caught.value)
