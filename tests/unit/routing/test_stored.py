"""A snapshot and the log after it lead to the table; what is torn or forged doesn't."""

from dataclasses import replace
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxy.routing.change import Change, ContractError, Operation, apply
from proxy.routing.codec import encode_change, encode_table
from proxy.routing.envelope import seal
from proxy.routing.model import RoutingTable
from proxy.routing.stored import Entry, Stored, restored
from tests.support.examples import examples
from tests.support.routing_strategies import following, operation_lists, tables

KEY = b"a routing key"


def entry_of(change: Change) -> Entry:
    body = encode_change(change)
    return Entry(change.version, body, seal("change", change.version, body, KEY))


def stored_of(snapshot: RoutingTable, changes: list[Change]) -> Stored:
    body = encode_table(snapshot)
    return Stored(
        snapshot.version + len(changes),
        snapshot.version,
        body,
        seal("table", snapshot.version, body, KEY),
        tuple(entry_of(change) for change in changes),
    )


Steps = list[tuple[Operation, ...]]


@settings(deadline=None)
@given(tables, st.lists(operation_lists, max_size=8), st.data())
def test_wherever_the_snapshot_was_taken_the_same_table_is_restored(
    table: RoutingTable, steps: Steps, data: st.DataObject
) -> None:
    changes = following(table, steps)
    states = list(accumulate(changes, apply, initial=table))
    at = data.draw(st.integers(0, len(changes)), label="the snapshot is after so many changes")
    assert restored(stored_of(states[at], changes[at:]), KEY) == states[-1]


@examples(50)
@given(tables, st.lists(operation_lists, min_size=2, max_size=5), st.data())
def test_a_log_with_a_gap_does_not_lead_on(
    table: RoutingTable, steps: Steps, data: st.DataObject
) -> None:
    stored = stored_of(table, following(table, steps))
    lost = data.draw(st.integers(0, len(steps) - 1), label="the entry that is lost")
    tail = stored.tail[:lost] + stored.tail[lost + 1 :]
    with pytest.raises(ContractError):
        restored(replace(stored, tail=tail), KEY)


@examples(50)
@given(tables, st.lists(operation_lists, min_size=1, max_size=3), st.data())
def test_what_is_not_ours_is_not_used(
    table: RoutingTable, steps: Steps, data: st.DataObject
) -> None:
    stored = stored_of(table, following(table, steps))
    forged = data.draw(st.integers(-1, len(steps) - 1), label="the entry; -1: the snapshot")
    if forged < 0:
        stored = replace(stored, mac=b"0" * 64)
    else:
        tail = list(stored.tail)
        tail[forged] = replace(tail[forged], mac=b"0" * 64)
        stored = replace(stored, tail=tuple(tail))
    with pytest.raises(ContractError, match="wrong signature"):
        restored(stored, KEY)


def test_an_entry_that_says_load_again_is_nothing_to_go_on_by() -> None:
    table = RoutingTable(3)
    with pytest.raises(ContractError, match="doesn't lead on at version 4"):
        restored(stored_of(table, [Change(4, ())]), KEY)


def test_what_was_logged_after_the_published_version_is_left_out() -> None:
    table = RoutingTable(3)
    stored = replace(stored_of(table, [Change(4, ())]), version=3)
    assert restored(stored, KEY) == table
