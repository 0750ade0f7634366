"""Whom a drain means, by the table; and the pace that one worker keeps by itself."""

from types import MappingProxyType

import pytest

from proxy.exchange.drains import Lasting, Meaning, longest_idle_first
from proxy.pace import BURST_S, Share, Want
from proxy.routing.change import Change, Hold, Operation, Pin, SetCanary, SetDrain, apply
from proxy.routing.lasting import WEBSOCKET, is_meant
from proxy.routing.model import Drain, RoutingTable, Slot, Unit

BLUE, GREEN = Slot
ALL = Drain(BLUE)


def after(*operations: Operation) -> RoutingTable:
    return apply(RoutingTable(), Change(1, operations))


@pytest.mark.parametrize(
    ("operations", "tenant", "meant"),
    [
        ((), "acme", False),
        ((), None, False),
        ((Pin("acme", GREEN),), "acme", True),
        ((Pin("acme", GREEN),), "bravo", False),
        ((Hold("s-1", frozenset({"acme"})),), "acme", True),
        ((Hold("s-1", frozenset({"acme"})),), "bravo", False),
        ((Hold("s-1"),), None, True),
        ((SetCanary(10_000),), "acme", True),
        ((SetCanary(10_000),), None, False),
        ((SetCanary(10_000), Pin("acme", BLUE)), "acme", False),
        # By the request, or by the session: some of its requests may still be drawn here.
        ((SetCanary(9_999, Unit.REQUEST),), "acme", False),
        ((SetCanary(9_999, Unit.AFFINITY),), "acme", False),
        ((SetCanary(10_000, Unit.REQUEST),), "acme", True),
        ((SetCanary(10_000, Unit.REQUEST, deny=frozenset({"acme"})),), "acme", False),
    ],
)
def test_a_drain_of_all_means_whoever_belongs_elsewhere(
    operations: tuple[Operation, ...], tenant: str | None, meant: bool
) -> None:
    assert is_meant(ALL, after(*operations), BLUE, tenant) is meant


def test_a_drain_of_tenants_means_theirs_wherever_they_belong() -> None:
    drain = Drain(BLUE, frozenset({"acme"}))
    for table in (after(), after(Pin("acme", GREEN)), after(Hold("s-1"))):
        assert is_meant(drain, table, BLUE, "acme")
        assert not is_meant(drain, table, BLUE, "bravo")
        assert not is_meant(drain, table, BLUE, None)


def test_no_drain_means_the_other_slot() -> None:
    table = after(Pin("acme", BLUE), Hold("s-1"))
    assert not is_meant(ALL, table, GREEN, "acme")
    assert not is_meant(Drain(BLUE, frozenset({"acme"})), table, GREEN, "acme")


def test_several_drains_may_mean_one_connection() -> None:
    drains = (SetDrain("d-1", BLUE), SetDrain("d-2", BLUE, tenants=frozenset({"acme"})))
    meaning = Meaning(after(Pin("acme", GREEN), Pin("bravo", GREEN), *drains))
    found = {tenant: meaning.of(lasting(tenant=tenant)) for tenant in ("acme", "bravo", "carol")}
    assert found == {"acme": ("d-1", "d-2"), "bravo": ("d-1",), "carol": ()}


def lasting(idle_since: float = 0.0, *, tenant: str = "acme", may_end: bool = True) -> Lasting:
    return Lasting(WEBSOCKET, BLUE, tenant, idle_since, may_end)


def test_the_longest_idle_go_first_and_only_those_that_may() -> None:
    found = [(lasting(3.0), "c"), (lasting(1.0), "a"), (lasting(0.0, may_end=False), "x")]
    assert [held for _, held in longest_idle_first([*found, (lasting(2.0), "b")])] == [*"abc"]


# ── a worker's own share ──────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("per_second", [0.5, 7.0, 100.0, 30_000.0])
def test_a_share_grants_its_pace_however_often_it_is_asked(per_second: float) -> None:
    share = Share()
    granted = [
        share.take(Want("d-1", per_second, 10_000), 1_000 + turn / 50) for turn in range(501)
    ]
    assert sum(granted) <= per_second * (10 + BURST_S) + 1
    assert sum(granted) >= per_second * 10 - 1


def test_a_share_does_not_save_up_what_nobody_asked_for() -> None:
    share = Share()
    assert share.take(Want("d-1", 100.0, 1), 0.0) == 1
    assert share.take(Want("d-1", 100.0, 1_000), 60.0) == 11


def test_a_faster_pace_begins_at_once() -> None:
    share = Share()
    assert share.take(Want("d-1", 0.01, 5), 0.0) == 1
    assert share.take(Want("d-1", 0.01, 5), 1.0) == 0
    assert share.take(Want("d-1", 100.0, 5), 1.1) == 5


def test_drains_have_a_pace_each() -> None:
    share = Share()
    assert [share.take(Want(name, 1.0, 9), 0.0) for name in ("d-1", "d-2", "d-1")] == [1, 1, 0]


def test_the_slowest_pace_is_a_number_too() -> None:
    share = Share()
    assert [share.take(Want("d-1", 5e-324, 9), at) for at in (0.0, 1.0)] == [1, 0]
    assert MappingProxyType(share._paid)["d-1"] == 86_400.0
