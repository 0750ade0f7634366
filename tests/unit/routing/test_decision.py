"""Where a request goes and why: the order of the reasons, and the two policies."""

import pytest

from proxy.routing.canary import bucket
from proxy.routing.decision import (
    UNIDENTIFIED,
    UNKNOWN,
    Forward,
    Policy,
    Reason,
    Refuse,
    decide,
    in_canary,
)
from proxy.routing.model import BASIS_POINTS, Canary, RoutingTable, Slot, Unit

BLUE, GREEN = Slot.BLUE, Slot.GREEN
EVERYBODY = Canary(BASIS_POINTS)
STRICT = Policy(route_unidentified=False, route_unknown=False)


@pytest.mark.parametrize(
    ("table", "tenant", "expected"),
    [
        (RoutingTable(), "acme", Forward(BLUE, Reason.ACTIVE)),
        (RoutingTable(active=GREEN), "acme", Forward(GREEN, Reason.ACTIVE)),
        (RoutingTable(canary=EVERYBODY), "acme", Forward(GREEN, Reason.CANARY)),
        (RoutingTable(active=GREEN, canary=EVERYBODY), "acme", Forward(BLUE, Reason.CANARY)),
        (RoutingTable(pins={"acme": GREEN}), "acme", Forward(GREEN, Reason.PIN)),
        (RoutingTable(pins={"acme": BLUE}), "acme", Forward(BLUE, Reason.PIN)),
        (RoutingTable(pins={"acme": GREEN}), "bravo", Forward(BLUE, Reason.ACTIVE)),
        (RoutingTable(), None, Forward(BLUE, Reason.UNIDENTIFIED)),
        (RoutingTable(active=GREEN), None, Forward(GREEN, Reason.UNIDENTIFIED)),
    ],
)
def test_each_reason(table: RoutingTable, tenant: str | None, expected: Forward) -> None:
    assert decide(table, Policy(), tenant) == expected


def test_a_pin_comes_before_the_canary() -> None:
    table = RoutingTable(canary=EVERYBODY, pins={"acme": BLUE})
    assert decide(table, Policy(), "acme") == Forward(BLUE, Reason.PIN)


@pytest.mark.parametrize("active", Slot)
def test_the_canary_takes_a_tenant_at_the_first_weight_above_its_bucket(active: Slot) -> None:
    for tenant in ("acme", *(f"tenant-{number}" for number in range(500))):
        place = bucket("turnout", tenant)
        below, above = (RoutingTable(active=active, canary=Canary(at)) for at in (place, place + 1))
        assert decide(below, Policy(), tenant) == Forward(active, Reason.ACTIVE)
        assert decide(above, Policy(), tenant) == Forward(active.other, Reason.CANARY)


def test_the_whole_canary_takes_everybody_and_none_takes_nobody() -> None:
    names = [f"tenant-{number}" for number in range(500)]
    assert all(in_canary(RoutingTable(canary=EVERYBODY), name) for name in names)
    assert not any(in_canary(RoutingTable(canary=Canary(0)), name) for name in names)


def test_the_unidentified_stay_out_of_the_canary() -> None:
    decision = decide(RoutingTable(canary=EVERYBODY), Policy(), None)
    assert decision == Forward(BLUE, Reason.UNIDENTIFIED)


def test_the_unidentified_are_refused_where_so_configured() -> None:
    assert decide(RoutingTable(), Policy(route_unidentified=False), None) is UNIDENTIFIED
    assert UNIDENTIFIED.status == 401


def test_a_tenant_nobody_named_is_refused_where_so_configured() -> None:
    table = RoutingTable(canary=EVERYBODY, tenants=frozenset({"bravo"}))
    assert decide(table, Policy(route_unknown=False), "acme") is UNKNOWN
    assert UNKNOWN.status == 403


def test_a_registered_or_pinned_tenant_is_served_under_the_strictest_policy() -> None:
    table = RoutingTable(tenants=frozenset({"bravo"}), pins={"acme": GREEN})
    assert decide(table, STRICT, "bravo") == Forward(BLUE, Reason.ACTIVE)
    assert decide(table, STRICT, "acme") == Forward(GREEN, Reason.PIN)
    assert table.knows("bravo")
    assert table.knows("acme")
    assert not table.knows("c-3")


def test_the_two_policies_do_not_touch_each_other() -> None:
    assert isinstance(decide(RoutingTable(), Policy(route_unidentified=False), "acme"), Forward)
    assert isinstance(decide(RoutingTable(), Policy(route_unknown=False), None), Forward)


def test_refusals_tell_a_machine_which_they_are() -> None:
    assert [refusal.code for refusal in (UNIDENTIFIED, UNKNOWN)] == [
        "unidentified",
        "unknown-tenant",
    ]
    assert isinstance(UNKNOWN, Refuse)


@pytest.mark.parametrize(
    ("unit", "drawn_by"),
    [
        (Unit.TENANT, "acme"),
        (Unit.AFFINITY, "acme/session-7"),
        (Unit.REQUEST, "request-42"),
    ],
)
def test_the_unit_names_the_key_that_is_drawn(unit: Unit, drawn_by: str) -> None:
    place = bucket("turnout", drawn_by)
    keys = {"affinity_key": "session-7", "request_key": "request-42"}
    assert not in_canary(RoutingTable(canary=Canary(place, unit)), "acme", **keys)
    assert in_canary(RoutingTable(canary=Canary(place + 1, unit)), "acme", **keys)


@pytest.mark.parametrize("unit", [Unit.AFFINITY, Unit.REQUEST])
def test_a_request_without_the_asked_key_is_drawn_by_its_tenant(unit: Unit) -> None:
    place = bucket("turnout", "acme")
    assert not in_canary(RoutingTable(canary=Canary(place, unit)), "acme")
    assert in_canary(RoutingTable(canary=Canary(place + 1, unit)), "acme")


def test_the_same_session_name_of_two_tenants_is_two_keys() -> None:
    by_session = Canary(BASIS_POINTS // 2, Unit.AFFINITY)
    table = RoutingTable(canary=by_session)
    places = {in_canary(table, f"tenant-{number}", affinity_key="1") for number in range(100)}
    assert places == {True, False}
