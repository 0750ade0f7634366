"""A malformed table is never loaded: ContractError, short and printable."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.routing.change import ContractError
from proxy.routing.codec import decode_table, encode_table, table_document
from proxy.routing.model import Drain, RoutingTable, Slot

GOOD: dict[str, Any] = {
    "schema": 1,
    **table_document(
        RoutingTable(
            7,
            pins={"acme": Slot.GREEN},
            tenants=frozenset({"bravo"}),
            holds={"acme": "s-1"},
            drains={"d-1": Drain(Slot.BLUE, frozenset({"acme"}))},
        )
    ),
}
DRAIN: dict[str, Any] = GOOD["drains"][0]
JUNK: list[Any] = [None, True, -1, 0.5, float("nan"), "\x1b[2J\r\n", "x" * 5_000, [[[]]], [None]]
BAD: dict[str, list[Any]] = {
    "schema": [0, 2, "1", None, [1]],
    "version": [*JUNK, "7", 7.0, 2**53],
    "active": [*JUNK, "red", {}],
    "fallback": [*JUNK, "Blue", {}],
    "canary": [
        *JUNK,
        {},
        *(GOOD["canary"] | {"percent": value} for value in (True, "5", 101, 0.001)),
        *(GOOD["canary"] | {"unit": value} for value in (None, "user")),
        *(GOOD["canary"] | {"salt": value} for value in (None, "", "\n")),
        *({k: v for k, v in GOOD["canary"].items() if k != gone} for gone in GOOD["canary"]),
        GOOD["canary"] | {"weight": 5},
    ],
    "pins": [*JUNK, {"acme": "red"}, {"acme": None}, {"A": "blue"}, {"": "blue"}, {"a\n": "blue"}],
    "tenants": [*JUNK, {}, ["ACME"], [7], ["acme", "a b"], "acme"],
    "endpoints": [
        *JUNK,
        {},
        {"blue": []},
        {"blue": [], "green": [], "red": []},
        {"blue": None, "green": []},
        {"blue": [], "green": ["h:0"]},
        {"blue": ["h:1", "H:1"], "green": []},
    ],
    "tenant_affinities_since": [*JUNK, {"acme": -1}, {"acme": "1"}, {"A": 1}, {"acme": None}],
    "holds": [*JUNK, {"acme": ""}, {"acme": None}, {"A": "s-1"}, {"acme": "S 1"}, ["acme"]],
    "hold_all": [*JUNK, "S 1", {}, ["s-1"]],
    "drains": [
        *JUNK,
        {"d-1": DRAIN},
        [DRAIN, DRAIN],
        [DRAIN | {"drain": f"d-{n}"} for n in range(65)],
        *([DRAIN | {"tenants": value}] for value in ([], ["A"], "all", None)),
        *([DRAIN | {"per_second": value}] for value in (0, -1, "5", None, True, float("inf"))),
        [{key: value for key, value in DRAIN.items() if key != "per_second"}],
        [DRAIN | {"since": 1}],
    ],
    "affinities_since": [
        *JUNK,
        {},
        {"blue": 1},
        {"blue": 1, "green": -1},
        {"blue": 1, "green": "1"},
    ],
}


def refused(body: bytes) -> str:
    with pytest.raises(ContractError) as caught:
        decode_table(body)
    reason = str(caught.value)
    assert len(reason) <= 300
    assert reason.isprintable(), ascii(reason)
    return reason


def dumped(document: Any) -> bytes:
    return json.dumps(document).encode()


def test_the_example_is_good_and_complete() -> None:
    assert table_document(decode_table(dumped(GOOD))) == {k: GOOD[k] for k in GOOD if k != "schema"}
    assert BAD.keys() == GOOD.keys()


@pytest.mark.parametrize("field", GOOD)
def test_a_bad_value_in_any_field_is_refused(field: str) -> None:
    for value in BAD[field]:
        refused(dumped(GOOD | {field: value}))


@pytest.mark.parametrize("field", GOOD)
def test_a_missing_renamed_or_doubled_field_is_refused(field: str) -> None:
    rest = {key: value for key, value in GOOD.items() if key != field}
    refused(dumped(rest))
    refused(dumped(rest | {f"{field}_": GOOD[field]}))
    pair = f"{json.dumps(field)}: {json.dumps(GOOD[field])}"
    text = dumped(GOOD).decode()
    assert pair in text
    refused(text.replace(pair, f"{pair}, {pair}").encode())


def test_a_tenant_pinned_twice_is_refused() -> None:
    text = dumped(GOOD).decode()
    refused(text.replace('"acme": "green"', '"acme": "green", "acme": "blue"').encode())


def test_a_table_cut_anywhere_is_refused() -> None:
    body = dumped(GOOD)
    for length in range(len(body)):
        refused(body[:length])


@settings(deadline=None)
@given(st.integers(0, len(dumped(GOOD)) - 1), st.integers(0, 1), st.binary(max_size=2))
def test_one_byte_changed_is_a_table_or_a_refusal(at: int, over: int, new: bytes) -> None:
    body = bytearray(dumped(GOOD))
    body[at : at + over] = new
    try:
        table = decode_table(bytes(body))
    except ContractError:
        refused(bytes(body))
        return
    assert decode_table(encode_table(table)) == table
