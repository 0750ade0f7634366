"""A malformed change never changes anything: ContractError, short and printable, same table."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.routing.change import Change, ContractError, apply
from proxy.routing.codec import (
    MAX_OPERATIONS,
    SHAPES,
    decode_change,
    decode_operations,
    decode_table,
    encode_change,
    encode_table,
)
from proxy.routing.model import RoutingTable, Slot
from proxy.routing.values import MAX_ENDPOINTS
from tests.support.examples import examples
from tests.support.routing_strategies import operation_lists, tables

NAN, INFINITY = float("nan"), float("inf")
LONG = "x" * 5_000
CONTROLS = "\x1b[2J\r\nX-Tenant-ID: acme\x00\x7f\x85\u2028"  # what must not reach a terminal or log
JUNK: list[Any] = [
    None, True, False, 0, -1, 0.5, NAN, INFINITY, -INFINITY, 10**30, "", CONTROLS, LONG, "\ud800",
    [], {}, [None], [[[[]]]], {"op": "pin"}, [LONG] * 100, [0] * 100_000,
]  # fmt: skip

BAD: dict[str, list[Any]] = {
    "op": [*JUNK, "Pin", "pin ", "drop", "SetCanary"],
    "tenant": [*JUNK, "ACME", "a.b", "a\n", "x" * 64],
    "slot": [*JUNK, "Blue", "blue ", "red", ["blue"]],
    "to": [*JUNK, "GREEN", "green\n", "standby"],
    "percent": [
        *(junk for junk in JUNK if isinstance(junk, bool) or junk not in (0, 0.5)),
        "5", 100.01, 101, -0.01, 0.001, 33.333, 1e308, [5],
    ],
    "unit": [*JUNK, "Tenant", "user", ["tenant"]],
    "salt": [*JUNK, "x" * 65, "tab\there", "nul\0"],
    "endpoints": [
        *(junk for junk in JUNK if junk != []),
        "h:1", ["h:1", "h:1"], ["H:1", "h:1"], ["h:0"], ["h"], [f"h{n}:1" for n in range(257)],
        [CONTROLS + ":1"], [LONG + ":1"], {"0": "h:1"},
    ],
    "allow": [*(junk for junk in JUNK if junk != []), ["ACME"], ["acme", "acme"], ["t"] * 20_001],
    "deny": [*(junk for junk in JUNK if junk != []), "acme", {"acme": True}],
    "tenants": [*JUNK, "all", ["ACME"], ["acme", "acme"], {"acme": True}],
    "switch": [*JUNK, "S 1", "a.b", "x" * 65, ["s-1"]],
    "drain": [*JUNK, "D 1", "x\n", ["d-1"]],
    "per_second": [*(junk for junk in JUNK if isinstance(junk, bool) or junk != 0.5), "5", 1e308],
    "tenant_per_second": [0, -1, True, "5", [], {}, NAN, 1e308],
    "hurry": [*(junk for junk in JUNK if not isinstance(junk, bool)), "true", 1],
    "version": [*JUNK, "7", 7.0, 2**53, [7]],
    "schema": [0, 2, -1, 1.5, None, False, "1", [1], {}, NAN, LONG],
    "operations": [*(junk for junk in JUNK if junk != []), {"0": {"op": "rollback"}}, "rollback"],
}  # fmt: skip


def refused(body: bytes, table: RoutingTable | None = None) -> str:
    """Asserts that following this entry is refused and leaves the table as it was; the reason."""
    table = RoutingTable(version=6) if table is None else table
    written = encode_table(table)
    with pytest.raises(ContractError) as caught:
        apply(table, decode_change(body))
    assert encode_table(table) == written
    reason = str(caught.value)
    assert len(reason) <= 300
    assert reason.isprintable(), ascii(reason)
    return reason


def dumped(document: Any) -> bytes:
    return json.dumps(document).encode()


def document(*operations: dict[str, Any]) -> dict[str, Any]:
    return {"schema": 1, "version": 7, "operations": list(operations)}


GOOD: dict[str, dict[str, Any]] = {
    "pin": {"op": "pin", "tenant": "acme", "slot": "green"},
    "unpin": {"op": "unpin", "tenant": "acme"},
    "canary": {
        "op": "canary", "percent": 5, "unit": "tenant", "salt": "spring",
        "allow": ["acme", "bravo"], "deny": [],
    },
    "cutover": {"op": "cutover", "to": "green"},
    "rollback": {"op": "rollback"},
    "endpoints": {"op": "endpoints", "slot": "blue", "endpoints": ["10.0.0.7:8000"]},
    "register": {"op": "register", "tenant": "acme"},
    "forget": {"op": "forget", "tenant": "acme"},
    "hold": {"op": "hold", "switch": "s-1", "tenants": ["acme"]},
    "release": {"op": "release", "switch": "s-1"},
    "drain": {
        "op": "drain", "drain": "d-1", "slot": "blue", "per_second": 2.5, "tenants": ["acme"],
        "hurry": False, "tenant_per_second": 0.5,
    },
    "end-drain": {"op": "end-drain", "drain": "d-1"},
    "end-affinities": {"op": "end-affinities", "slot": "blue"},
    "end-affinities-of": {"op": "end-affinities-of", "tenants": ["acme"]},
}  # fmt: skip
FIELDS = [(name, field) for name, operation in GOOD.items() for field in operation]
OPTIONAL = {
    *(("canary", field) for field in ("unit", "salt", "allow", "deny")),
    *(("drain", field) for field in ("per_second", "tenants", "hurry", "tenant_per_second")),
    ("hold", "tenants"),
    ("end-affinities-of", "tenants"),
}


def test_the_examples_are_good_and_complete() -> None:
    assert GOOD.keys() == SHAPES.keys()
    table = RoutingTable(version=6)
    for name, operation in GOOD.items():
        assert apply(table, decode_change(dumped(document(operation)))).version == 7
        assert operation.keys() == {"op", *(field.name for field in SHAPES[name].fields)}


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_a_bad_value_in_any_field_is_refused_and_its_place_named(name: str, field: str) -> None:
    for value in BAD[field]:
        body = dumped(document({"op": "rollback"}, GOOD[name] | {field: value}))
        assert f"operations[1].{field}" in refused(body)


@pytest.mark.parametrize(("name", "field"), [pair for pair in FIELDS if pair not in OPTIONAL])
def test_a_missing_field_is_refused_and_its_place_named(name: str, field: str) -> None:
    operation = {key: value for key, value in GOOD[name].items() if key != field}
    assert f"operations[0].{field}" in refused(dumped(document(operation)))


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_a_renamed_field_is_refused(name: str, field: str) -> None:
    for new in (field.upper(), f"{field} ", f"{field}s", CONTROLS, LONG):
        operation = {new if key == field else key: value for key, value in GOOD[name].items()}
        refused(dumped(document(operation)))


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_a_field_given_twice_is_refused_even_with_one_value(name: str, field: str) -> None:
    whole = dumped(document(GOOD[name])).decode()
    pair = f"{json.dumps(field)}: {json.dumps(GOOD[name][field])}"
    assert pair in whole
    assert "names a field twice" in refused(whole.replace(pair, f"{pair}, {pair}").encode())


@pytest.mark.parametrize("name", GOOD)
def test_an_unknown_field_is_refused_by_its_name(name: str) -> None:
    reason = refused(dumped(document(GOOD[name] | {"reason": "because"})))
    assert "'reason'" in reason


@pytest.mark.parametrize("field", ["schema", "version", "operations"])
def test_the_entry_s_own_fields_are_checked(field: str) -> None:
    whole = document(GOOD["pin"])
    for value in BAD[field]:
        refused(dumped(whole | {field: value}))
    refused(dumped({key: value for key, value in whole.items() if key != field}))
    refused(dumped({key.upper(): value for key, value in whole.items()}))
    refused(dumped(whole | {"extra": 1}))
    pair = f"{json.dumps(field)}: {json.dumps(whole[field])}"
    text = dumped(whole).decode()
    assert pair in text
    refused(text.replace(pair, f"{pair}, {pair}").encode())


@pytest.mark.parametrize("version", [0, 1, 5, 6, 8, 2**53 - 1])
def test_a_gap_or_a_repeat_is_refused(version: int) -> None:
    refused(dumped(document(GOOD["pin"]) | {"version": version}))


@pytest.mark.parametrize("body", [
    b"", b"null", b"7", b'"entry"', b"[]", b"{}", b"NaN", b"{'schema': 1}", b"\x00", b"\xff\xfe",
    b"\x1b[2J", b"[" * 100_000, b'{"a":' * 100_000, b"9" * 5_000,
], ids=lambda body: ascii(body[:12]))  # fmt: skip
def test_what_is_no_entry_is_refused(body: bytes) -> None:
    refused(body)


def test_an_entry_cut_anywhere_is_refused() -> None:
    body = dumped(document(*GOOD.values()))
    for length in range(len(body)):
        refused(body[:length])
    refused(body + b"}")
    refused(body + body)


def test_invalid_utf_8_anywhere_is_refused() -> None:
    body = dumped(document(*GOOD.values()))
    for at in range(1, len(body)):
        refused(body[:at] + b"\xff" + body[at:])
        refused(body[:at] + b"\xc3(" + body[at:])


@pytest.mark.parametrize("depth", [10, 500, *range(900, 1_010, 2), 100_000])
def test_deep_nesting_is_refused_at_any_depth(depth: int) -> None:
    for nest in (b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth):
        refused(b'{"schema":1,"version":7,"operations":[{"op":"unpin","tenant":%b}]}' % nest)
        refused(b'{"schema":1,"version":7,"operations":%b}' % nest)


def test_one_operation_too_many_is_refused() -> None:
    refused(dumped(document(*[GOOD["rollback"]] * (MAX_OPERATIONS + 1))))


def test_one_endpoint_too_many_is_refused() -> None:
    listed = [f"10.0.{n // 256}.{n % 256}:80" for n in range(MAX_ENDPOINTS + 1)]
    refused(dumped(document(GOOD["endpoints"] | {"endpoints": listed})))
    decode_change(dumped(document(GOOD["endpoints"] | {"endpoints": listed[1:]})))


def test_a_bad_operation_at_the_end_undoes_the_good_ones_before_it() -> None:
    good = [GOOD["pin"], GOOD["cutover"], GOOD["canary"]] * 50
    assert "operations[150]" in refused(dumped(document(*good, {"op": "cutover", "to": "red"})))


def test_no_operations_is_no_change_to_ask_for() -> None:
    with pytest.raises(ContractError):
        decode_operations([])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid entry with one value anywhere in it replaced, by JSON of any kind."""
    written = json.loads(encode_change(Change(7, draw(operation_lists))))
    operations = written["operations"]
    target = draw(st.sampled_from([written, *operations]))
    target[draw(st.sampled_from(sorted(target)))] = draw(json_values)
    return dumped(written)


def apply_or_refuse(table: RoutingTable, body: bytes) -> None:
    """What isn't refused is a change like any other: written and read again it is the same."""
    try:
        change = decode_change(body)
        after = apply(table, change)
    except ContractError:
        refused(body, table)
        return
    assert decode_change(encode_change(change)) == change
    assert decode_table(encode_table(after)) == after


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mutated())
def test_one_value_replaced_is_a_change_or_a_refusal(body: bytes) -> None:
    apply_or_refuse(RoutingTable(version=6, pins={"acme": Slot.GREEN}), body)


@settings(deadline=None)
@given(operation_lists, st.data())
def test_one_byte_changed_is_a_change_or_a_refusal(operations: Any, data: st.DataObject) -> None:
    body = bytearray(encode_change(Change(7, operations)))
    at = data.draw(st.integers(0, len(body) - 1), label="at")
    body[at : at + data.draw(st.integers(0, 1), label="over")] = data.draw(st.binary(max_size=2))
    apply_or_refuse(RoutingTable(version=6), bytes(body))


@settings(deadline=None)
@given(st.binary(max_size=60) | json_values.map(dumped))
def test_anything_at_all_is_refused(body: bytes) -> None:
    refused(body)


@examples(50)
@given(tables, operation_lists, st.integers(0, 2**53 - 1))
def test_only_the_next_version_is_taken(table: RoutingTable, operations: Any, version: int) -> None:
    if version != table.version + 1:
        refused(encode_change(Change(version, operations)), table)
