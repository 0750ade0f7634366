"""The log and the table say the same: replaying, loading, and the written form of both."""

import json
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.routing.change import Change, Operation, Pin, Unpin, apply
from proxy.routing.codec import (
    MAX_OPERATIONS,
    SHAPES,
    decode_change,
    decode_operations,
    decode_table,
    encode_change,
    encode_operation,
    encode_table,
    table_document,
)
from proxy.routing.model import BASIS_POINTS, RoutingTable, Slot
from proxy.routing.values import decode_percent, percent
from tests.support.examples import examples
from tests.support.routing_strategies import changes, logs, operations, tables, tenants

Log = tuple[RoutingTable, list[Change]]


def states(log: Log) -> list[RoutingTable]:
    """The table before the log and after each of its changes."""
    table, changes = log
    return list(accumulate(changes, apply, initial=table))


@settings(deadline=None)
@given(logs(), st.data())
def test_a_table_loaded_anywhere_and_followed_is_the_table_replayed(
    log: Log, data: st.DataObject
) -> None:
    replayed = states(log)
    at = data.draw(st.integers(0, len(log[1])), label="loaded after this many changes")
    table = decode_table(encode_table(replayed[at]))
    assert table == replayed[at]
    for change in log[1][at:]:
        table = apply(table, decode_change(encode_change(change)))
    assert table == replayed[-1]
    assert table.version == log[0].version + len(log[1])


@examples(50)
@given(logs())
def test_apply_never_touches_the_table_it_is_given(log: Log) -> None:
    seen: list[tuple[RoutingTable, bytes]] = []
    table = log[0]
    for change in log[1]:
        seen.append((table, encode_table(table)))
        table = apply(table, change)
    for before, written in seen:
        assert encode_table(before) == written


@examples(30)
@given(logs())
def test_apply_gives_the_same_table_each_time(log: Log) -> None:
    assert states(log) == states(log)


@examples(50)
@given(logs(), tenants)
def test_the_last_word_on_a_tenant_is_its_pin(log: Log, tenant: str) -> None:
    expected = log[0].pins.get(tenant)
    for change in log[1]:
        for operation in change.operations:
            if isinstance(operation, Pin | Unpin) and operation.tenant == tenant:
                expected = operation.slot if isinstance(operation, Pin) else None
    assert states(log)[-1].pins.get(tenant) is expected


@settings(deadline=None)
@given(changes)
def test_a_change_is_read_as_it_was_written(change: Change) -> None:
    assert decode_change(encode_change(change)) == change


@settings(deadline=None)
@given(operations)
def test_an_operation_is_read_as_it_was_written(operation: Operation) -> None:
    assert decode_operations([encode_operation(operation)]) == (operation,)


@examples(50)
@given(tables)
def test_a_table_is_read_as_it_was_written(table: RoutingTable) -> None:
    body = encode_table(table)
    assert decode_table(body) == table
    assert json.loads(body) == {"schema": 1, **table_document(table)}


@examples(10)
@given(tables)
def test_a_loaded_table_can_not_be_written_to(table: RoutingTable) -> None:
    loaded = decode_table(encode_table(table))
    with pytest.raises(TypeError):
        loaded.pins["acme"] = Slot.BLUE  # type: ignore[index]


def test_every_operation_has_one_written_form() -> None:
    shapes = {shape.of for shape in SHAPES.values()}
    assert shapes == set(Operation.__args__)
    assert len(SHAPES) == len(shapes)


def test_a_percentage_survives_its_written_form_at_each_of_the_10_001_steps() -> None:
    for basis_points in range(BASIS_POINTS + 1):
        written = json.loads(json.dumps(percent(basis_points)))
        assert decode_percent(written) == basis_points


@pytest.mark.parametrize(
    ("written", "basis_points"),
    [(0, 0), (0.01, 1), (0.5, 50), (1, 100), (25, 2_500), (25.0, 2_500), (33.33, 3_333),
     (99.99, 9_999), (100, 10_000), (100.0, 10_000)],
)  # fmt: skip
def test_percentages_as_people_write_them(written: float, basis_points: int) -> None:
    assert decode_percent(written) == basis_points


def test_a_percentage_is_written_without_needless_decimals() -> None:
    assert [percent(n) for n in (0, 1, 50, 2_500, 10_000)] == [0, 0.01, 0.5, 25, 100]
    assert isinstance(percent(2_500), int)


def test_a_change_of_the_greatest_size_is_read() -> None:
    change = Change(1, tuple(Pin(f"t{number}", Slot.GREEN) for number in range(MAX_OPERATIONS)))
    assert len(apply(RoutingTable(), decode_change(encode_change(change))).pins) == MAX_OPERATIONS
