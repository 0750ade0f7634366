"""What-if says what `decide` says once the change really is made."""

from dataclasses import replace
from types import MappingProxyType

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from admin.canary.whatif import Move, portions, what_if
from proxy.routing.change import Change, Cutover, Operation, Pin, Rollback, SetCanary, apply
from proxy.routing.decision import Forward, Policy, Reason, decide
from proxy.routing.model import BASIS_POINTS, Canary, RoutingTable, Slot, Unit
from proxy.routing.traffic import Traffic
from tests.support.examples import examples
from tests.support.routing_strategies import operation_lists, tables, tenants

KEYS = 1_500
TOLERANCE = 0.08
"""Six standard deviations of what so many keys measure."""
figures = st.builds(
    Traffic,
    st.dictionaries(tenants, st.integers(1, 1_000), max_size=6),
    st.integers(0, 500),
    st.just(3),
)


def freed(table: RoutingTable) -> RoutingTable:
    """Who is held goes nowhere for now: that is not what is asked."""
    return replace(table, holds=MappingProxyType({}), hold_all="")


def where(table: RoutingTable, tenant: str, key: str = "") -> Forward:
    found = decide(freed(table), Policy(), tenant, affinity_key=key, request_key=key)
    assert isinstance(found, Forward)
    return found


@examples()
@given(tables, operation_lists, figures)
def test_it_says_what_is_decided_then(
    before: RoutingTable, operations: tuple[Operation, ...], traffic: Traffic
) -> None:
    after = apply(before, Change(before.version + 1, operations))
    assume({before.canary.unit, after.canary.unit} == {Unit.TENANT})
    found = what_if(before, after, traffic)
    known = {*before.pins, *after.pins, *before.tenants, *after.tenants, *traffic.requests}
    exact = {
        Move(
            tenant,
            where(before, tenant),
            where(after, tenant),
            1.0,
            traffic.requests.get(tenant, 0),
        )
        for tenant in known
        if where(before, tenant).slot is not where(after, tenant).slot
    }
    assert set(found.moves) == exact
    assert len(found.moves) == len(exact)
    assert found.known == len(known)
    assert found.moving == sum(move.requests for move in exact)
    assert (found.total, found.others) == (traffic.total, traffic.others)
    assert 0 <= found.moving_others <= found.others


@examples()
@given(tables, operation_lists, tenants)
def test_key_by_key_it_says_which_part_moves(
    before: RoutingTable, operations: tuple[Operation, ...], tenant: str
) -> None:
    after = apply(before, Change(before.version + 1, operations))
    found = what_if(before, after, Traffic({tenant: 10}))
    (part,) = [move.part for move in found.moves if move.tenant == tenant] or [0.0]
    moved = sum(
        where(before, tenant, key).slot is not where(after, tenant, key).slot
        for key in map(str, range(KEYS))
    )
    assert abs(moved / KEYS - part) <= TOLERANCE
    if moved == 0:
        assert part <= TOLERANCE
    if before.canary == after.canary and before.active is after.active and not part:
        assert moved == 0


ALL = RoutingTable(pins=MappingProxyType({"pinned": Slot.BLUE}), canary=Canary(2_500, Unit.REQUEST))


def after(*operations: Operation) -> RoutingTable:
    return apply(ALL, Change(1, operations))


def test_a_raised_canary_of_requests_moves_what_is_added() -> None:
    found = what_if(ALL, after(SetCanary(4_000)), Traffic({"acme": 100, "pinned": 50}, 40))
    assert found.moves == [
        Move(
            "acme", Forward(Slot.BLUE, Reason.CANARY), Forward(Slot.GREEN, Reason.CANARY), 0.15, 100
        )
    ]
    assert (found.moving, found.moving_others) == (15, 6)


def test_a_cutover_moves_what_the_canary_had_not() -> None:
    found = what_if(ALL, after(Cutover(Slot.GREEN)), Traffic({"acme": 100, "pinned": 50}, 40))
    assert [(move.tenant, move.part) for move in found.moves] == [("acme", 0.75)]
    assert found.moving_others == 30


def test_a_cutover_with_a_canary_back_moves_both_ends() -> None:
    """Before, buckets below 2 500 go to green; then all from 4 000 on."""
    turned = after(Cutover(Slot.GREEN), SetCanary(4_000))
    (move,) = what_if(ALL, turned, Traffic({"acme": 100})).moves
    assert move.part == 0.85


def test_a_rollback_of_nothing_ends_the_canary() -> None:
    found = what_if(ALL, after(Rollback()), Traffic({"acme": 100}))
    (move,) = found.moves
    assert (move.after, move.part) == (Forward(Slot.BLUE, Reason.ACTIVE), 0.25)


def test_drawn_anew_half_of_a_half_moves_twice() -> None:
    halved = replace(ALL, canary=Canary(5_000, Unit.REQUEST, "one"))
    anew = apply(halved, Change(1, (SetCanary(5_000, salt="two"),)))
    (move,) = what_if(halved, anew, Traffic({"acme": 100})).moves
    assert move.part == 0.5
    assert move.before.slot is move.after.slot.other


@pytest.mark.parametrize("weight", [1, BASIS_POINTS // 2, BASIS_POINTS])
def test_the_busiest_come_first(weight: int) -> None:
    traffic = Traffic({f"t-{number}": number + 1 for number in range(50)})
    moves = what_if(RoutingTable(), RoutingTable(canary=Canary(weight)), traffic).moves
    assert [m.requests for m in moves] == sorted((m.requests for m in moves), reverse=True)
    pinned = what_if(RoutingTable(), after(Pin("x", Slot.GREEN)), traffic)
    assert "x" in {move.tenant for move in pinned.moves}


def test_it_stops_between_portions_and_says_the_same() -> None:
    names = frozenset(f"tenant-{number}" for number in range(1_001))
    before = RoutingTable(version=1, tenants=names)
    after = apply(before, Change(2, (SetCanary(500),)))
    traffic = Traffic({"tenant-7": 5})
    looking = portions(before, after, traffic, 100)
    for _ in range(11):
        next(looking)
    with pytest.raises(StopIteration) as end:
        next(looking)
    assert end.value.value == what_if(before, after, traffic)
