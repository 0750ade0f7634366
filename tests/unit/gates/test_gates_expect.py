"""What is said of an answer that isn't as expected; pointers; words in braces."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from admin.gates.checks import Expect
from admin.gates.expect import faults
from admin.gates.pointer import AbsentError, at, is_pointer
from admin.gates.words import fill, fill_all, unknown
from tests.support.examples import examples

WORDS = {"slot": "green", "tenant": "acme", "version": "1.3.0"}
BODY = {"environment": "green", "items": [{"id": 7, "ok": True}], "token": "s3cret-value"}


def said(body: Any = BODY, **expected: Any) -> list[str]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "application/json", "x-slot": "green"}
    return faults(Expect(**expected), 200, headers, raw, WORDS)


@pytest.mark.parametrize(
    "expected",
    [
        {},
        {"status": (200, 204)},
        {"headers": {"X-Slot": "{slot}"}},
        {"contains": ("environment", "{slot}")},
        {"json": {"/environment": "{slot}", "/items/0/id": 7, "/items/0/ok": True}},
        {"json": {"/items": [{"id": 7.0, "ok": True}]}},
        {"matches": {"/token": "s3.+", "/items/0/id": "[0-9]+", "": "green"}},
        {"absent": ("/nothing", "/items/1")},
    ],
)
def test_what_is_as_expected(expected: dict[str, Any]) -> None:
    assert said(**expected) == []


@pytest.mark.parametrize(
    ("expected", "fault"),
    [
        ({"status": 204}, "status 200, not 204"),
        ({"status": (201, 204)}, "status 200, not 201 or 204"),
        ({"headers": {"X-None": "1"}}, "the header X-None is missing"),
        ({"headers": {"X-Slot": "blue"}}, 'the header X-Slot is "green", not "blue"'),
        ({"contains": ("purple",)}, 'the body does not contain "purple"'),
        ({"json": {"/environment": "blue"}}, '/environment is "green", not "blue"'),
        ({"json": {"/nothing": 1}}, "/nothing is missing"),
        ({"json": {"/items/0/ok": 1}}, "/items/0/ok is true, not 1"),
        ({"json": {"/items": []}}, "/items is [{"),
        ({"matches": {"/token": "[0-9]+"}}, '/token does not match "[0-9]+"'),
        ({"matches": {"/token": "s3"}}, '/token does not match "s3"'),  # the whole value
        ({"matches": {"/none": ".*"}}, "/none is missing"),
        ({"matches": {"": "purple"}}, 'the body does not match "purple"'),
        ({"absent": ("/token",)}, "/token is there"),
    ],
)
def test_what_is_not(expected: dict[str, Any], fault: str) -> None:
    found = said(**expected)
    assert len(found) == 1
    assert found[0].startswith(fault)
    assert "s3cret-value" not in found[0]


def test_a_body_that_is_no_json_is_said_to_be_none() -> None:
    assert said(b"\xff<html>", json={"/a": 1}) == ["the body is no JSON"]
    assert said(b"[" * 100_000, json={"/a": 1}) == ["the body is no JSON"]
    assert said(b"\xff<html>", contains=("<html>",)) == []


# ── pointers: RFC 6901, section 5 ─────────────────────────────────────────────────────────────

RFC = {"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, " ": 7, "m~n": 8}


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", RFC),
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ("/ ", 7),
        ("/m~0n", 8),
    ],
)
def test_pointers_lead_where_the_rfc_says(pointer: str, value: object) -> None:
    assert is_pointer(pointer)
    assert at(RFC, pointer) == value


@pytest.mark.parametrize("pointer", ["/foo/2", "/foo/-", "/foo/00", "/foo/+1", "/bar", "/foo/0/x"])
def test_pointers_that_lead_nowhere(pointer: str) -> None:
    with pytest.raises(AbsentError):
        at(RFC, pointer)


@pytest.mark.parametrize("text", ["foo", "/a~", "/a~2b", "#/foo"])
def test_what_is_no_pointer(text: str) -> None:
    assert not is_pointer(text)


# ── words ─────────────────────────────────────────────────────────────────────────────────────


def test_only_known_words_stand_for_something() -> None:
    assert fill('{"a": "{tenant}", "b": {}, "c": "{nobody}"}', WORDS) == (
        '{"a": "acme", "b": {}, "c": "{nobody}"}'
    )
    assert fill_all({"a": ["{slot}", 1, None], "{slot}": True}, WORDS) == {
        "a": ["green", 1, None],
        "{slot}": True,
    }
    assert list(unknown("{slot} {tennant} {} {a b}", WORDS)) == ["tennant"]


@examples()
@given(st.text(), st.text())
def test_values_are_not_filled_in_again(text: str, value: str) -> None:
    assert fill("{tenant}", {"tenant": value}) == value
    assert fill(text, {}) == text


@pytest.mark.parametrize("pointer", ["environment", "/a~"])
def test_an_expectation_takes_pointers_only(pointer: str) -> None:
    with pytest.raises(msgspec.ValidationError, match="is no JSON pointer"):
        msgspec.convert({"json": {pointer: 1}}, Expect)
