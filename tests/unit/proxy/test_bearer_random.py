"""Any header and any claims, under a good signature or none: believed or a BearerError."""

import json
import re
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from proxy.tokens.bearer import BearerError, BearerVerifier
from tests.support.tokens import (
    FAR,
    SECRET,
    base64url,
    claims,
    issuer,
    issuer_of_set,
    jwk,
    signed,
    token,
)

MESSAGE = re.compile(r"[a-z' ]{10,80}")
HEADER_NAMES = ("alg", "kid", "typ", "cty", "crit", "b64", "enc", "zip", "jku", "jwk", "x5c", "x5u")
CLAIM_NAMES = ("iss", "aud", "exp", "nbf", "iat", "tenant", "sub", "jti")

numbers = st.integers(-(10**20), 10**20) | st.floats() | st.sampled_from([0, FAR, 10**400])
plain = st.none() | st.booleans() | numbers | st.text(max_size=12)
values = st.recursive(
    plain,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
)
headers = st.dictionaries(
    st.sampled_from(HEADER_NAMES) | st.text(max_size=4),
    values | st.sampled_from(["HS256", "none", "JWT", "a", "ES256"]),
    max_size=4,
)
changes = st.dictionaries(
    st.sampled_from(CLAIM_NAMES) | st.text(max_size=4),
    values | st.sampled_from(["acme", "turnout", "bravo", ["turnout"]]),
    max_size=4,
)


def verifier() -> BearerVerifier:
    own = issuer_of_set(jwk("ES256", "a"))
    own.issuer = "second"
    return BearerVerifier([issuer(), own])


def outcome(authorization: bytes) -> str | None:
    """The tenant, None for a refusal, whose message comes from a fixed list of words."""
    try:
        return verifier().tenant(authorization)
    except BearerError as error:
        said, cause = str(error), error.__cause__
    assert MESSAGE.fullmatch(said), said
    assert cause is None
    return None


@given(headers, changes)
@example({"kid": "a"}, {"exp": 10**400})
@example({}, {"aud": [], "tenant": "\ud800"})
def test_signed_garbage_is_believed_only_where_it_says_what_it_must(
    header: dict[str, Any], changed: dict[str, Any]
) -> None:
    whole = {"alg": "HS256", **header}
    said = {**claims(), **changed}
    given = signed(whole, said)
    found = outcome(b"Bearer " + given)
    if found is not None:
        assert whole["alg"] == "HS256"
        assert not whole.keys() & {"crit", "b64", "enc", "zip"}
        assert found == said["tenant"]
        assert said["iss"] == claims()["iss"]
        assert "turnout" in (said["aud"] if isinstance(said["aud"], list) else [said["aud"]])
        assert 1_000_000_000 < said["exp"] < 10**12
    else:
        assert (header, changed) != ({}, {})


@given(st.binary(max_size=60), st.binary(max_size=60), st.binary(max_size=60))
def test_three_parts_of_any_bytes_are_refused(one: bytes, two: bytes, three: bytes) -> None:
    assert outcome(b"Bearer " + b".".join((one, two, three))) is None
    assert outcome(b"Bearer " + b".".join(map(base64url, (one, two, three)))) is None
    assert outcome(b"Bearer " + signed(one, two)) is None


@given(st.binary(max_size=200))
def test_any_field_value_names_no_tenant(value: bytes) -> None:
    assert outcome(value) is None
    assert outcome(b"Bearer " + value) is None


@given(st.data())
def test_a_good_token_with_any_byte_changed_is_refused(data: st.DataObject) -> None:
    good = token(secret=SECRET)
    at = data.draw(st.integers(0, len(good) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != good[at]))
    changed = good[:at] + bytes([byte]) + good[at + 1 :]
    if changed.strip(b" ") != good:
        assert outcome(b"Bearer " + changed) is None


@given(st.text('{}[]":,\\a1 ', max_size=300))
def test_depth_is_counted_as_the_decoder_goes(text: str) -> None:
    """What is not called too deep never makes the decoder go deeper than that."""
    for part in (text, json.dumps(text), '{"a":' * 30 + text):
        assert outcome(b"Bearer " + signed(part.encode(), part.encode())) is None
