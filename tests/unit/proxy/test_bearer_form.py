"""What a token may look like, and by which algorithm and key it may be signed."""

import json
import time
from typing import Any

import pytest

from proxy.tokens.bearer import BearerVerifier
from proxy.tokens.jwk import read_jwks
from proxy.tokens.settings import Tokens
from tests.support.tokens import (
    believed,
    claims,
    issuer,
    issuer_of_set,
    jwk,
    jwks,
    key_text,
    private_key,
    refused,
    signed,
    token,
    verifier,
)

HEADER = {"alg": "HS256"}
REFUSED_WITHIN_S = 0.005


# ── behaviour: alg none, missing, list, unexpected; key confusion ─────────────────────────────


@pytest.mark.parametrize(
    "header",
    [
        {"typ": "JWT"},
        {"alg": "none"},
        {"alg": "None"},
        {"alg": ""},
        {"alg": None},
        {"alg": ["HS256"]},
        {"alg": {"HS256": 1}},
        {"alg": 1},
        {"alg": "HS384"},
        {"alg": "RS256"},
        {"alg": "hs256"},
        {"alg": "HS256 "},
        ["HS256"],
        "HS256",
        None,
    ],
)
def test_alg_none_missing_list_or_unexpected_is_refused(header: object) -> None:
    assert refused(verifier(), signed(header, claims())) in {"form", "algorithm"}


def test_a_token_without_a_signature_is_refused() -> None:
    content = b".".join(signed({"alg": "none"}, claims()).split(b".")[:2])
    hs256 = b".".join(token().split(b".")[:2])
    for given in (content + b".", content, hs256 + b".", hs256):
        assert refused(verifier(), given) == "form"


@pytest.mark.parametrize("kind", ["RS256", "ES256", "ES384", "EdDSA"])
def test_key_confusion_the_public_key_is_no_secret(kind: str) -> None:
    """HMAC with the public key's text, where a public key is configured."""
    pem = key_text(kind)
    for secret in (pem, pem.strip(), pem + b"\n"):
        assert refused(verifier(kind), signed(HEADER, claims(), secret)) == "algorithm"


def test_each_issuer_has_its_own_allow_list() -> None:
    checked = BearerVerifier([issuer("RS256"), issuer("PS384", issuer="second")])
    assert believed(checked, token("RS256")) == "acme"
    assert believed(checked, token("PS384", iss="second")) == "acme"
    assert refused(checked, token("PS384")) == "algorithm"
    assert refused(checked, token("RS256", iss="second")) == "algorithm"


def test_an_issuer_s_key_signs_for_no_other_issuer() -> None:
    mine = read_jwks(jwks(jwk("ES256", "k", 1)), ["ES256"], 50)
    checked = BearerVerifier([issuer("ES256"), issuer("ES256", issuer="second", keys=mine)])
    assert believed(checked, token("ES256", "k", 1, iss="second")) == "acme"
    assert refused(checked, token("ES256", "k", 1)) == "signature"
    assert refused(checked, token("ES256", iss="second", kid="k")) == "signature"


def test_a_key_verifies_by_its_own_alg_only() -> None:
    checked = BearerVerifier([issuer_of_set(jwk("RS256", "k", alg="RS256"))])
    assert believed(checked, token("RS256", "k")) == "acme"
    for other in ("RS512", "PS256"):
        forged = signed({"alg": other, "kid": "k"}, claims(), private_key("RS256"), other)
        assert refused(checked, forged) == "key"


# ── behaviour: kid; jku, x5u, jwk, x5c; crit, b64=false, JWE, nested ──────────────────────────


@pytest.mark.parametrize(
    "kid",
    [
        *("", "a" * 65, "../../etc/passwd", "a b", "a\n", "a\0", "k'--", "ключ", "a.b", "a/b"),
        *(1, None, ["k"], {"k": 1}, True),
    ],
)
def test_a_kid_of_other_characters_is_refused(kid: object) -> None:
    assert refused(verifier(), signed({**HEADER, "kid": kid}, claims())) == "form"


@pytest.mark.parametrize("kid", ["k", "K_-9", "a" * 64])
def test_a_kid_is_a_dictionary_key_and_nothing_else(kid: str) -> None:
    checked = BearerVerifier([issuer_of_set(jwk("ES256", kid), jwk("ES256", "other", 1))])
    assert believed(checked, token("ES256", kid)) == "acme"
    assert refused(checked, token("ES256", "unknown")) == "key"
    assert refused(checked, token("ES256", "other")) == "signature"
    # Without a kid two keys would fit.
    assert refused(checked, token("ES256")) == "key"


def test_without_a_kid_the_only_key_that_fits_is_used() -> None:
    checked = BearerVerifier([issuer_of_set(jwk("ES256", "a"), jwk("RS256", "b"))])
    assert believed(checked, token("ES256")) == "acme"
    assert believed(checked, token("RS256")) == "acme"
    assert refused(checked, token("EdDSA")) == "key"


def test_jku_x5u_jwk_and_x5c_are_never_followed() -> None:
    forger = jwk("ES256", "k", 1)
    lures = {
        "jku": "http://127.0.0.1:1/keys",
        "x5u": "http://127.0.0.1:1/cert",
        "jwk": forger,
        "x5c": ["AAAA"],
    }
    checked = BearerVerifier([issuer_of_set(jwk("ES256", "k"))])
    for name, lure in lures.items():
        header = {"alg": "ES256", "kid": "k", name: lure}
        assert refused(checked, signed(header, claims(), kind="ES256", number=1)) == "signature"
        assert believed(checked, signed(header, claims(), kind="ES256")) == "acme"


@pytest.mark.parametrize(
    "more",
    [
        {"crit": ["exp"]},
        {"crit": []},
        {"b64": False, "crit": ["b64"]},
        {"b64": False},
        {"b64": True},
        {"enc": "A256GCM"},
        {"zip": "DEF"},
        {"cty": "JWT"},
        {"cty": "application/jwt"},
        {"cty": ["JWT"]},
        {"typ": 1},
    ],
)
def test_crit_b64_encryption_and_nesting_are_refused(more: dict[str, Any]) -> None:
    assert refused(verifier(), signed({**HEADER, **more}, claims())) == "form"


def test_an_encrypted_or_nested_token_is_refused() -> None:
    assert refused(verifier(), b"e30.YQ.YQ.YQ.YQ") == "form"
    assert refused(verifier(), signed(HEADER, token())) == "form"
    assert refused(verifier(), signed(HEADER, token().decode())) == "form"
    unencoded = signed({**HEADER, "b64": False, "crit": ["b64"]}, claims())
    assert refused(verifier(), unencoded) == "form"


# ── behaviour: size, depth, base64url ─────────────────────────────────────────────────────────


def test_a_token_over_8_kib_is_refused_unread() -> None:
    fits = (8192 - len(token(extra=""))) * 3 // 4
    checked = verifier()
    assert believed(checked, token(extra="x" * (fits - 4))) == "acme"
    assert refused(checked, token(extra="x" * (fits + 4))) == "form"
    assert refused(checked, token(extra="x" * 8_192)) == "form"
    limited = verifier(limits=Tokens(max_bytes=len(token()) - 1))
    assert refused(limited, token()) == "form"


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_json_nests_32_deep_and_no_deeper(opening: str) -> None:
    closing = "]" if opening == "[" else "}"
    for depth in (31, 32, 1_000):
        inner = opening * (depth - 1) + "1" + closing * (depth - 1)
        text = json.dumps(claims())[:-1] + f',"x":{inner}}}'
        header = f'{{"alg":"HS256","x":{inner}}}'
        if depth <= 32:
            assert believed(verifier(), signed(HEADER, text.encode())) == "acme"
            assert believed(verifier(), signed(header.encode(), claims())) == "acme"
        deeper = signed(HEADER, text.replace(inner, opening + inner + closing).encode())
        if depth > 31:
            assert refused(verifier(), deeper) == "form"
    unclosed = (opening * 1_000).encode()
    assert refused(verifier(), signed(unclosed, claims())) == "form"


def test_brackets_within_strings_are_no_depth() -> None:
    assert believed(verifier(), token(note='[[{{\\"' * 40, more=["\\", '"[']))
    flat: dict[str, list[int]] = {f"k{number}": [] for number in range(100)}
    assert believed(verifier(), token(flat=flat)) == "acme"


@pytest.mark.parametrize("place", [0, 1, 2])
def test_base64url_has_one_form_only(place: int) -> None:
    """No padding, no other alphabet, no white space, no stray bits."""
    # A length of 2 modulo 4 has four unused bits.
    made = (
        signed({**HEADER, "x": "y" * one}, claims(jti="z" * two)).split(b".")
        for one in range(3)
        for two in range(3)
    )
    parts = next(found for found in made if [len(part) % 4 for part in found[:2]] == [2, 2])
    good = b".".join(parts)
    assert believed(verifier(), good) == "acme"
    part = parts[place]
    stray = part[:-1] + bytes([part[-1] + 1])
    wrong = [part + end for end in (b"=", b"==", b"\n", b"?", b"\0", b"%3D")] + [
        part[:4] + inserted + part[4:] for inserted in (b" ", b"+", b"/", b"\r\n", b"=", b"\xe9")
    ]
    for changed in (stray, *wrong):
        given = b".".join((*parts[:place], changed, *parts[place + 1 :]))
        assert refused(verifier(), given) == "form"


@pytest.mark.parametrize(
    "given",
    [
        *(b"", b".", b"..", b"...", b"a.b.c", b"\xff.\xfe.\xfd", b"a" * 8_000, b"e30.e30.e30"),
        *(token()[:-1], token() + b"A", token() + b".x", token().replace(b".", b"..", 1)),
        *(b"{}", json.dumps({"payload": "e30", "signatures": []}).encode()),
    ],
)
def test_what_is_not_a_token_is_refused(given: bytes) -> None:
    assert refused(verifier(), given) in {"form", "signature"}


def hardest() -> dict[str, bytes]:
    """Tokens near 8 KiB, each a worst case of one step."""
    size = 5_700
    return {
        "deep": signed(HEADER, b"[" * size),
        "escapes": signed(HEADER, b'{"a":"' + b'\\"' * (size // 2)),
        "escapes after brackets": signed(HEADER, b'{"a":"' + b"[" * 40 + b'\\"' * (size // 2 - 20)),
        "brackets in strings": signed(HEADER, (b'"[",' * (size // 4))),
        "digits": signed(HEADER, b'{"exp":' + b"9" * 4_200 + b"}"),
        "names": signed(HEADER, json.dumps({f"{n:x}": 1 for n in range(580)}).encode()),
        "no dots": b"A" * 8_192,
        "signature": b".".join((*token("RS512").split(b".")[:2], b"A" * 7_000)),
        "wrong key": signed({"alg": "RS512"}, claims(x="y" * 5_000), private_key("RS256", 1), "RS512"),
    }  # fmt: skip


@pytest.mark.parametrize("name", hardest())
def test_a_bad_token_is_refused_in_5_ms(name: str) -> None:
    """The least of some tries, in processor time: what else the machine does is not counted."""
    given = hardest()[name]
    assert len(given) <= 8_192
    spent = []
    for _ in range(10):
        checked = BearerVerifier([issuer("HS256"), issuer("RS512", issuer="second")])
        began = time.thread_time()
        refused(checked, given)
        spent.append(time.thread_time() - began)
    assert min(spent) < REFUSED_WITHIN_S
