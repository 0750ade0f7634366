"""Which keys requests carry, which are born with answers, and what settings say no to."""

import re
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.affinity.rules import Key, Rule, Rules, cookie, values_of
from proxy.affinity.settings import AffinityRule, AffinityStore
from proxy.config import Settings

SESSION = {"name": "session", "cookie": "sid"}
PAYMENT = {"name": "payment", "header": "Idempotency-Key"}
JOB = {
    "name": "job",
    "path": "/api/prints/{key}",
    "born": {"status": [202], "header": "Location", "pattern": "/api/prints/{key}"},
    "ends_on": {"status": [404, 410]},
}
TOKENS = st.text("abcXYZ019-_.~", min_size=1, max_size=40).map(str.encode)


def rules(*of: dict[str, Any], secret: bytes = b"secret") -> Rules:
    return Rules([msgspec.convert(each, AffinityRule) for each in of], secret)


def rule(of: dict[str, Any]) -> Rule:
    return Rule(msgspec.convert(of, AffinityRule), b"")


def named(keys: list[Key]) -> list[str]:
    return [key.rule.name for key in keys]


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        ([b"Cookie: sid=1"], b"1"),
        ([b"cookie: a=b; sid=1; c=d"], b"1"),
        ([b"Cookie: a=b", b"Cookie: sid=2"], b"2"),
        ([b'Cookie: sid="1"'], b"1"),
        ([b"Cookie: sid=1; sid=2"], b"1"),
        ([b"Cookie: xsid=1; sidx=2; sid"], b""),
        ([b"Cookie: sid="], b""),
        ([b"X-Cookie: sid=1", b"Cookies: sid=1"], b""),
        ([], b""),
    ],
)
def test_a_cookie_is_read_by_its_name(lines: list[bytes], value: bytes) -> None:
    assert rule(SESSION).carried(b"/", lines) == value


@pytest.mark.parametrize(
    ("lines", "value"),
    [
        ([b"Idempotency-Key: k"], b"k"),
        ([b"idempotency-key:k "], b"k"),
        ([b"Idempotency-Key: k", b"IDEMPOTENCY-KEY: k"], b"k"),
        ([b"Idempotency-Key: k", b"Idempotency-Key: j"], b""),
        ([b"Idempotency-Key:"], b""),
        ([b"Idempotency-Keys: k"], b""),
    ],
)
def test_a_header_that_says_two_things_is_no_key(lines: list[bytes], value: bytes) -> None:
    assert rule(PAYMENT).carried(b"/", lines) == value


@pytest.mark.parametrize(
    ("target", "value"),
    [
        (b"/api/prints/7", b"7"),
        (b"/api/prints/7?x=/8", b"7"),
        (b"/api/prints/7/wait?timeout_ms=5", b"7"),
        (b"/api/prints/", b""),
        (b"/api/prints", b""),
        (b"/v2/api/prints/7", b""),
        (b"/api/printsx/7", b""),
        (b"/x?/api/prints/7", b""),
    ],
)
def test_a_path_is_read_by_its_segments(target: bytes, value: bytes) -> None:
    assert rule(JOB).carried(target, []) == value


def test_a_star_is_any_one_segment() -> None:
    found = rule({"name": "a", "path": "/t/*/jobs/{key}"})
    assert found.carried(b"/t/acme/jobs/7", []) == b"7"
    assert found.carried(b"/t/acme/more/jobs/7", []) == b""


@pytest.mark.parametrize(
    ("status", "line", "value"),
    [
        (202, b"Location: /api/prints/7", b"7"),
        (202, b"location: https://erp.example.com/api/prints/7?fresh=1", b"7"),
        (202, b"Location: //erp/api/prints/7", b"7"),
        (201, b"Location: /api/prints/7", b""),
        (202, b"Location: /api/jobs/7", b""),
        (202, b"Content-Location: /api/prints/7", b""),
    ],
)
def test_a_key_is_born_with_its_answer(status: int, line: bytes, value: bytes) -> None:
    assert rule(JOB).born(status, [line]) == value


def test_two_answers_in_one_bear_no_key() -> None:
    lines = [b"Location: /api/prints/7", b"Location: /api/prints/8"]
    assert rule(JOB).born(202, lines) == b""


def test_a_header_that_is_the_key_alone() -> None:
    found = rule(
        {"name": "a", "header": "X-Job", "born": {"header": "X-Job-Id", "pattern": "{key}"}}
    )
    assert found.born(201, [b"X-Job-Id: 7"]) == b"7"
    assert found.born(201, [b"X-Job-Id: 7 8"]) == b""


@pytest.mark.parametrize(
    ("ends", "status", "lines", "ended"),
    [
        ({"status": [404]}, 404, [], True),
        ({"status": [404]}, 200, [], False),
        ({"header": "X-State"}, 200, [b"x-state: any"], True),
        ({"header": "X-State"}, 200, [], False),
        ({"header": "X-State", "value": "done"}, 200, [b"X-State: done"], True),
        ({"header": "X-State", "value": "done"}, 200, [b"X-State: running"], False),
        ({"status": [200], "header": "X-State"}, 404, [b"X-State: done"], False),
        ({}, 404, [], False),
    ],
)
def test_what_ends_it(ends: dict[str, Any], status: int, lines: list[bytes], ended: bool) -> None:
    assert rule({**SESSION, "ends_on": ends}).ended(status, lines) is ended


def test_keys_come_in_the_order_of_the_rules() -> None:
    lines = [b"Cookie: sid=1", b"Idempotency-Key: k"]
    assert named(rules(PAYMENT, SESSION).carried("", b"/", lines)) == ["payment", "session"]
    assert named(rules(SESSION, JOB, PAYMENT).carried("", b"/api/prints/7", lines)) == [
        *("session", "job", "payment")
    ]


def test_a_key_is_the_same_in_the_answer_and_in_the_requests_after_it() -> None:
    found = rules(JOB)
    (born,) = found.born("acme", 202, [b"Location: /api/prints/7"])
    assert found.carried("acme", b"/api/prints/7/wait", []) == [born]


@given(TOKENS, st.sampled_from(["", "acme", "bravo"]), st.sampled_from([b"", b"k", b"x" * 99]))
def test_a_key_holds_no_value_and_is_its_tenants_and_rules_alone(
    value: bytes, tenant: str, secret: bytes
) -> None:
    lines = [b"Cookie: sid=" + value, b"Idempotency-Key: " + value]
    found = rules(SESSION, PAYMENT, secret=secret)
    keys = found.carried(tenant, b"/", lines)
    others = found.carried(tenant + "x", b"/", lines)
    digests = {key.digest for key in (*keys, *others)}
    assert len(digests) == 4
    assert all(re.fullmatch("[0-9a-f]{32}", digest) for digest in digests)
    assert keys == rules(SESSION, PAYMENT, secret=secret).carried(tenant, b"/", lines)
    assert keys != rules(SESSION, PAYMENT, secret=b"another").carried(tenant, b"/", lines)


@given(st.binary(max_size=60), st.lists(st.binary(max_size=40), max_size=6))
def test_any_bytes_can_be_read(target: bytes, lines: list[bytes]) -> None:
    found = rules(SESSION, PAYMENT, JOB)
    found.carried("acme", target, lines)
    found.born("acme", 202, lines)
    cookie(b"sid", target)


@given(st.lists(st.tuples(TOKENS, TOKENS), max_size=6))
def test_a_cookie_is_found_wherever_it_stands(pairs: list[tuple[bytes, bytes]]) -> None:
    field = b"; ".join(b"%b=%b" % pair for pair in pairs)
    for name, _ in pairs:
        assert cookie(name, field) == next(value for known, value in pairs if known == name)


def test_the_fields_of_a_name() -> None:
    assert values_of(b"a", [b"A: 1", b"a:2", b"ab: 3", b"b: 4"]) == [b"1", b"2"]


@pytest.mark.parametrize(
    ("of", "words"),
    [
        ({"name": "A b", "cookie": "c"}, "`name`"),
        ({"name": "a"}, "one of `cookie`, `header` and `path`"),
        ({"name": "a", "cookie": "c", "header": "H"}, "one of `cookie`, `header` and `path`"),
        ({"name": "a", "cookie": "c d"}, "`cookie`"),
        ({"name": "a", "header": "Host"}, "`header`"),
        ({"name": "a", "header": "no name"}, "`header`"),
        ({"name": "a", "path": "/jobs"}, "`path`"),
        ({"name": "a", "path": "/jobs/x{key}"}, "`path`"),
        ({"name": "a", "path": "/{key}/{key}"}, "`path`"),
        ({**SESSION, "ttl_s": 0.5}, "`ttl_s`"),
        ({**SESSION, "born": {"pattern": "{key}"}}, "`born.header`"),
        ({**SESSION, "born": {"header": "X", "pattern": "x"}}, "`born.pattern`"),
        ({**SESSION, "born": {"header": "X", "pattern": "{key}", "status": []}}, "`born.status`"),
        ({**SESSION, "ends_on": {"status": [99]}}, "`ends_on.status`"),
        ({**SESSION, "ends_on": {"value": "x"}}, "`ends_on.header`"),
    ],
)
def test_a_rule_out_of_bounds_is_refused(of: dict[str, Any], words: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=re.escape(words)):
        msgspec.convert(of, AffinityRule)


def test_rules_have_names_of_their_own_and_are_few() -> None:
    with pytest.raises(msgspec.ValidationError, match="each with its own `name`"):
        msgspec.convert({"affinity": [SESSION, SESSION]}, Settings)
    many = [{"name": f"r-{number}", "cookie": "c"} for number in range(17)]
    with pytest.raises(msgspec.ValidationError, match="at most 16"):
        msgspec.convert({"affinity": many}, Settings)


@pytest.mark.parametrize(
    "of",
    [
        *({"wait_ms": 0}, {"trust_s": -1}, {"remembered": 0}, {"waiting": -1}),
        *({"unwritten": -1}, {"first_per_s": 0}),
    ],
)
def test_the_stores_bounds(of: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError, match=f"affinity_store.{next(iter(of))}"):
        msgspec.convert(of, AffinityStore)
