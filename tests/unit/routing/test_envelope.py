"""The seal of what lies in Redis: kind, version, body and key must all be the same."""

import hashlib
import hmac

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.routing.change import ContractError
from proxy.routing.envelope import seal, verify

KEY = b"k" * 32
BODY = b'{"schema":1,"version":7,"operations":[]}'


def test_the_code_is_the_documented_hmac() -> None:
    expected = hmac.new(KEY, b"change 7\n" + BODY, hashlib.sha256).hexdigest().encode()
    assert seal("change", 7, BODY, KEY) == expected


def test_what_was_sealed_verifies() -> None:
    verify("change", 7, BODY, seal("change", 7, BODY, KEY), KEY)


@pytest.mark.parametrize(
    ("kind", "version", "body", "key"),
    [
        ("table", 7, BODY, KEY),
        ("change", 8, BODY, KEY),
        ("change", 7, BODY + b" ", KEY),
        ("change", 7, b"", KEY),
        ("change", 7, BODY, b"another key"),
    ],
    ids=["kind", "version", "body", "empty body", "key"],
)
def test_anything_else_under_the_same_code_is_refused(
    kind: str, version: int, body: bytes, key: bytes
) -> None:
    code = seal("change", 7, BODY, KEY)
    with pytest.raises(ContractError, match=f"^the {kind} at version {version} has a wrong sig"):
        verify(kind, version, body, code, key)


@pytest.mark.parametrize("code", [b"", b"0" * 64, b"\xff" * 64, b"f" * 10_000])
def test_a_missing_or_foreign_code_is_refused(code: bytes) -> None:
    with pytest.raises(ContractError):
        verify("change", 7, BODY, code, KEY)


def test_a_code_cut_short_or_in_upper_case_is_refused() -> None:
    code = seal("change", 7, BODY, KEY)
    for other in (code[:-1], code.upper(), code + b"0", b" " + code):
        with pytest.raises(ContractError):
            verify("change", 7, BODY, other, KEY)


def test_a_refusal_carries_neither_key_nor_code_nor_body() -> None:
    code = seal("change", 7, BODY, b"another key")
    with pytest.raises(ContractError) as caught:
        verify("change", 7, BODY, code, KEY)
    for secret in (KEY.decode(), code.decode(), seal("change", 7, BODY, KEY).decode(), "schema"):
        assert secret not in str(caught.value)


def test_without_a_key_nothing_is_signed_and_nothing_is_asked_for() -> None:
    assert seal("table", 7, BODY, b"") == b""
    verify("table", 7, BODY, b"", b"")
    verify("table", 7, BODY, seal("table", 7, BODY, KEY), b"")


def test_version_and_body_can_not_be_shifted_into_each_other() -> None:
    assert seal("table", 1, b"1\nx", KEY) != seal("table", 11, b"x", KEY)
    assert seal("table", 1, b"\n1\nx", KEY) != seal("table", 1, b"1\nx", KEY)


@settings(deadline=None)
@given(
    st.sampled_from(["table", "change"]),
    st.integers(0, 2**53),
    st.binary(max_size=64),
    st.binary(min_size=1, max_size=64),
    st.integers(0, 511),
)
def test_one_flipped_bit_of_the_code_is_noticed(
    kind: str, version: int, body: bytes, key: bytes, bit: int
) -> None:
    code = bytearray(seal(kind, version, body, key))
    verify(kind, version, body, bytes(code), key)
    code[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ContractError):
        verify(kind, version, body, bytes(code), key)
