"""What each operation does to the table: cutover, rollback, pins, canary, endpoints, tenants."""

from dataclasses import replace

import pytest
from hypothesis import given

from proxy.routing.change import (
    Change,
    ContractError,
    Cutover,
    Forget,
    Operation,
    Pin,
    Register,
    Rollback,
    SetCanary,
    SetEndpoints,
    Unpin,
    apply,
)
from proxy.routing.model import Canary, Endpoint, RoutingTable, Slot, Unit
from tests.support.examples import examples
from tests.support.routing_strategies import operations, slots, tables

BLUE, GREEN = Slot.BLUE, Slot.GREEN
ONE = Endpoint("10.0.0.1", 80)
START = RoutingTable(
    version=3,
    canary=Canary(2_500, Unit.AFFINITY, "spring"),
    pins={"acme": GREEN, "bravo": BLUE},
    tenants=frozenset({"c-3"}),
    endpoints={BLUE: (ONE,), GREEN: ()},
)


def after(table: RoutingTable, *operations: Operation) -> RoutingTable:
    return apply(table, Change(table.version + 1, operations))


def test_a_cutover_moves_the_pointer_ends_the_canary_and_remembers_the_way_back() -> None:
    table = after(START, Cutover(GREEN))
    assert (table.active, table.fallback, table.standby) == (GREEN, BLUE, BLUE)
    assert table.canary == Canary(0, Unit.AFFINITY, "spring")


def test_a_cutover_to_the_active_slot_keeps_the_fallback() -> None:
    table = after(START, Cutover(GREEN), Cutover(GREEN))
    assert (table.active, table.fallback) == (GREEN, BLUE)
    assert after(START, Cutover(BLUE)).fallback is BLUE


def test_a_cutover_to_the_active_slot_ends_the_canary() -> None:
    assert after(START, Cutover(BLUE)).canary.basis_points == 0


def test_a_cutover_there_and_back_remembers_where_it_came_from() -> None:
    table = after(START, Cutover(GREEN), Cutover(BLUE))
    assert (table.active, table.fallback) == (BLUE, GREEN)


def test_a_rollback_returns_to_the_fallback_and_ends_the_canary() -> None:
    table = after(START, Cutover(GREEN), SetCanary(100), Rollback())
    assert (table.active, table.fallback) == (BLUE, BLUE)
    assert table.canary.basis_points == 0


def test_a_rollback_with_nothing_cut_over_ends_the_canary_and_nothing_else() -> None:
    expected = replace(START, version=4, canary=replace(START.canary, basis_points=0))
    assert after(START, Rollback()) == expected


@examples(50)
@given(tables, slots)
def test_a_second_rollback_changes_nothing(table: RoutingTable, to: Slot) -> None:
    once = after(after(table, Cutover(to)), Rollback())
    assert after(once, Rollback()) == replace(once, version=once.version + 1)


@examples(50)
@given(tables, slots)
def test_a_rollback_undoes_any_cutover(table: RoutingTable, to: Slot) -> None:
    rolled_back = after(table, Cutover(to), Rollback())
    assert rolled_back.active is (table.fallback if to is table.active else table.active)


@examples(50)
@given(tables, slots)
def test_pins_tenants_and_endpoints_outlast_cutover_and_rollback(
    table: RoutingTable, to: Slot
) -> None:
    for taken in ((Cutover(to),), (Rollback(),), (Cutover(to), Rollback())):
        moved = after(table, *taken)
        assert moved.pins == table.pins
        assert moved.tenants == table.tenants
        assert moved.endpoints == table.endpoints
        assert moved.canary == replace(table.canary, basis_points=0)


def test_a_pin_is_set_moved_and_taken_off() -> None:
    assert after(START, Pin("new", GREEN)).pins == {"acme": GREEN, "bravo": BLUE, "new": GREEN}
    assert after(START, Pin("acme", BLUE)).pins == {"acme": BLUE, "bravo": BLUE}
    assert after(START, Unpin("acme")).pins == {"bravo": BLUE}


def test_unpinning_the_unpinned_changes_nothing() -> None:
    assert after(START, Unpin("nobody")) == replace(START, version=4)


def test_the_canary_keeps_what_is_not_named() -> None:
    assert after(START, SetCanary(7)).canary == Canary(7, Unit.AFFINITY, "spring")
    assert after(START, SetCanary(7, Unit.REQUEST)).canary == Canary(7, Unit.REQUEST, "spring")
    assert after(START, SetCanary(7, salt="x")).canary == Canary(7, Unit.AFFINITY, "x")


def test_endpoints_are_replaced_whole_and_for_one_slot() -> None:
    two = Endpoint("10.0.0.2", 80)
    assert after(START, SetEndpoints(BLUE, (two,))).endpoints == {BLUE: (two,), GREEN: ()}
    assert after(START, SetEndpoints(GREEN, (two,))).endpoints == {BLUE: (ONE,), GREEN: (two,)}
    assert after(START, SetEndpoints(BLUE, ())).endpoints == {BLUE: (), GREEN: ()}


def test_tenants_are_registered_and_forgotten_and_their_pins_stay() -> None:
    assert after(START, Register("new")).tenants == {"c-3", "new"}
    assert after(START, Register("c-3")).tenants == {"c-3"}
    table = after(START, Register("acme"), Forget("acme"), Forget("nobody"))
    assert table.tenants == {"c-3"}
    assert table.pins == START.pins
    assert table.knows("acme")


def test_operations_of_one_change_take_effect_in_order() -> None:
    table = after(START, Pin("x", BLUE), Pin("x", GREEN), Unpin("acme"), Pin("acme", BLUE))
    assert table.pins == {"x": GREEN, "acme": BLUE, "bravo": BLUE}
    assert after(START, Cutover(GREEN), SetCanary(5)).canary.basis_points == 5


def test_an_empty_change_moves_the_version_only() -> None:
    assert after(START) == replace(START, version=4)


@pytest.mark.parametrize("version", [-1, 0, 2, 3, 5, 400])
def test_a_version_that_does_not_follow_is_refused(version: int) -> None:
    with pytest.raises(ContractError, match=rf"^version {version} does not follow 3$"):
        apply(START, Change(version, (Cutover(GREEN),)))


def test_a_table_can_not_be_written_to() -> None:
    table = after(START, Pin("x", BLUE), SetEndpoints(BLUE, ()))
    with pytest.raises(TypeError):
        table.pins["x"] = GREEN  # type: ignore[index]
    with pytest.raises(TypeError):
        table.endpoints[BLUE] = (ONE,)  # type: ignore[index]
    with pytest.raises(AttributeError):
        table.active = GREEN  # type: ignore[misc]


@examples(50)
@given(operations)
def test_an_operation_is_a_value(operation: Operation) -> None:
    assert len({operation, replace(operation)}) == 1
