"""Holds, drains and affinities: what they do to the table, and what is decided by them."""

import pytest

from proxy.routing.change import (
    Change,
    ContractError,
    Cutover,
    EndAffinities,
    EndAffinitiesOf,
    EndDrain,
    Hold,
    Operation,
    Pin,
    Release,
    SetCanary,
    SetDrain,
    apply,
)
from proxy.routing.decision import Forward, Park, Policy, Reason, Refuse, decide
from proxy.routing.model import BASIS_POINTS, Drain, RoutingTable, Slot

BLUE, GREEN = Slot
ACME, BRAVO = frozenset({"acme"}), frozenset({"bravo"})
REFUSING = Policy(route_unidentified=False, route_unknown=False)


def after(*operations: Operation, table: RoutingTable | None = None) -> RoutingTable:
    before = RoutingTable() if table is None else table
    return apply(before, Change(before.version + 1, operations))


def test_a_held_tenant_is_parked_and_no_other() -> None:
    table = after(Hold("s-1", ACME))
    assert decide(table, Policy(), "acme") == Park("s-1")
    assert decide(table, Policy(), "bravo") == Forward(BLUE, Reason.ACTIVE)
    assert decide(table, Policy(), None) == Forward(BLUE, Reason.UNIDENTIFIED)


def test_a_hold_of_all_parks_the_unidentified_too() -> None:
    table = after(Hold("s-1"))
    assert decide(table, Policy(), "acme") == Park("s-1")
    assert decide(table, Policy(), None) == Park("s-1")


def test_a_hold_comes_before_affinity_and_pin() -> None:
    table = after(Pin("acme", GREEN), Hold("s-1", ACME))
    assert decide(table, Policy(), "acme", affinity=BLUE) == Park("s-1")


def test_who_is_refused_is_not_parked() -> None:
    table = after(Hold("s-1"))
    assert isinstance(decide(table, REFUSING, None), Refuse)
    assert isinstance(decide(table, REFUSING, "acme"), Refuse)


def test_a_switch_moves_and_releases_in_one_change() -> None:
    held = after(Hold("s-1", ACME | BRAVO))
    table = after(Pin("acme", GREEN), Pin("bravo", GREEN), Release("s-1"), table=held)
    assert not table.holds
    assert decide(table, Policy(), "acme") == Forward(GREEN, Reason.PIN)


def test_a_release_leaves_what_other_switches_hold() -> None:
    table = after(Hold("s-1", ACME), Hold("s-2", BRAVO), Release("s-1"))
    assert table.holds == {"bravo": "s-2"}
    assert after(Release("s-1"), table=table).holds == table.holds


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (Hold("s-1", ACME), Hold("s-2", ACME)),
        (Hold("s-1", ACME), Hold("s-2")),
        (Hold("s-1"), Hold("s-2", ACME)),
        (Hold("s-1"), Hold("s-2")),
    ],
)
def test_nobody_is_held_by_two_switches(first: Hold, second: Hold) -> None:
    with pytest.raises(ContractError, match="s-1 holds already"):
        after(first, second)


def test_a_switch_may_hold_more_of_its_own() -> None:
    assert after(Hold("s-1", ACME), Hold("s-1", BRAVO)).holds == {"acme": "s-1", "bravo": "s-1"}


def test_an_affinity_comes_before_pin_canary_and_active() -> None:
    table = after(Pin("acme", GREEN), SetCanary(BASIS_POINTS), Cutover(GREEN))
    assert decide(table, Policy(), "acme", affinity=BLUE) == Forward(BLUE, Reason.AFFINITY)


def test_affinities_to_a_slot_end_at_a_version() -> None:
    table = after(EndAffinities(BLUE), table=RoutingTable(version=7))
    assert table.affinities_since == {BLUE: 8, GREEN: 0}


def test_a_drain_begins_changes_and_ends() -> None:
    table = after(SetDrain("d-1", BLUE, 5.0, ACME))
    assert table.drains == {"d-1": Drain(BLUE, ACME, 5.0)}
    table = after(SetDrain("d-1", BLUE, tenant_per_second=2.0), table=table)
    assert table.drains == {"d-1": Drain(BLUE, tenant_per_second=2.0)}
    table = after(SetDrain("d-1", BLUE, hurry=True), table=table)
    assert table.drains == {"d-1": Drain(BLUE, hurry=True)}
    assert after(EndDrain("d-1"), EndDrain("d-2"), table=table).drains == {}


def test_the_lists_bound_whom_the_canary_may_draw() -> None:
    table = after(SetCanary(BASIS_POINTS, allow=ACME | BRAVO, deny=BRAVO))
    reasons = {
        tenant: decide(table, Policy(), tenant).reason  # type: ignore[union-attr]
        for tenant in ("acme", "bravo", "other")
    }
    assert reasons == {"acme": Reason.CANARY, "bravo": Reason.ACTIVE, "other": Reason.ACTIVE}


def test_lists_that_are_not_given_stay() -> None:
    table = after(SetCanary(100, allow=ACME, deny=BRAVO), SetCanary(200))
    assert (table.canary.allow, table.canary.deny) == (ACME, BRAVO)
    assert not after(SetCanary(200, allow=frozenset()), table=table).canary.allow


def test_affinities_of_a_tenant_end_at_a_version() -> None:
    table = after(EndAffinitiesOf(ACME), table=RoutingTable(version=7))
    assert table.tenant_affinities_since == {"acme": 8}
    assert table.affinity_counts_since("acme") == (8, 8)
    assert table.affinity_counts_since("bravo") == (0, 0)
    later = after(EndAffinities(BLUE), table=table)
    assert later.affinity_counts_since("acme") == (9, 8)


def test_affinities_of_all_end_at_a_version() -> None:
    table = after(EndAffinitiesOf(ACME), EndAffinitiesOf(), table=RoutingTable(version=7))
    assert table.tenant_affinities_since == {}
    assert table.affinity_counts_since("acme") == (8, 8)
