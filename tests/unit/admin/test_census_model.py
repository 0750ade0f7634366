"""What a census says of a roll: who is back, who is missing, when all are back."""

from typing import Any

import pytest

from admin.census.model import (
    Census,
    Connected,
    Device,
    Roll,
    Standing,
    bounded,
    census_of,
    compare,
    take,
)
from proxy.routing.census import Seat, Taken, Told
from proxy.routing.model import Drain, RoutingTable, Slot

BLUE, GREEN = Slot
A, B, C = (Device("acme", name) for name in "abc")


def seat(device: Device | None, slot: Slot = BLUE, kind: str = "websocket") -> Seat:
    return Seat(slot, kind, *("", "") if device is None else device)


def census(*seats: Seat, unknown: bool = False) -> Census:
    told = {each: Taken(seats.count(each), 1_000) for each in seats}
    return census_of({"w1": Told(not unknown, told)})


def moved(**parts: Any) -> RoutingTable:
    return RoutingTable(active=GREEN, **parts)


def test_a_device_is_one_through_all_workers_and_by_all_kinds() -> None:
    found = census_of(
        {
            "w1": Told(whole=True, seats={seat(A): Taken(1, 20), seat(A, GREEN): Taken(2, 30)}),
            "w2": Told(
                whole=True, seats={seat(A): Taken(1, 10), seat(A, kind="tcp"): Taken(1, 40)}
            ),
        }
    )
    assert found.devices == {
        A: {
            BLUE: Connected(("tcp", "websocket"), 3, 10),
            GREEN: Connected(("websocket",), 2, 30),
        }
    }
    assert (found.unknown, found.taken) == ((), True)


def test_who_has_no_name_is_counted_by_slot_and_kind() -> None:
    found = census(seat(None), seat(None), seat(None, GREEN, "tcp"), seat(A))
    assert found.unnamed == {(BLUE, "websocket"): 2, (GREEN, "tcp"): 1}
    assert list(found.devices) == [A]


def test_the_same_name_at_another_tenant_is_another_device() -> None:
    other = Device("bravo", "a")
    assert set(census(seat(A), seat(other)).devices) == {A, other}


def test_nobody_tells_anything() -> None:
    assert not census_of({}).taken


# ── the roll ──────────────────────────────────────────────────────────────────────────────────


def test_a_drain_of_all_takes_those_who_belong_elsewhere() -> None:
    stays = Device("bravo", "a")
    found = census(seat(A), seat(stays), seat(B, GREEN), seat(A, GREEN))
    roll = take(found, Drain(BLUE), moved(pins={"bravo": BLUE}))
    assert roll == Roll(BLUE, frozenset({A}), frozenset({B}))


def test_a_drain_of_tenants_takes_theirs() -> None:
    other, there = Device("bravo", "a"), Device("bravo", "b")
    found = census(seat(A), seat(other), seat(B, GREEN), seat(there, GREEN))
    roll = take(found, Drain(BLUE, frozenset({"acme"})), RoutingTable())
    assert roll == Roll(BLUE, frozenset({A}), frozenset({B}))


def test_nobodys_devices_belong_to_a_drain_of_all() -> None:
    nobodys = Device("", "a")
    assert take(census(seat(nobodys)), Drain(BLUE), moved()).there == {nobodys}
    assert not take(census(seat(nobodys)), Drain(BLUE), RoutingTable()).there


def test_a_roll_is_bounded_and_those_on_the_slot_come_first() -> None:
    roll = Roll(BLUE, frozenset({A, B}), frozenset({C}))
    assert bounded(roll, 3) == (roll, 0)
    assert bounded(roll, 2) == (Roll(BLUE, frozenset({A, B})), 1)
    assert bounded(roll, 1) == (Roll(BLUE, frozenset({A})), 2)


# ── who is back ───────────────────────────────────────────────────────────────────────────────

ROLL = Roll(BLUE, frozenset({A, B}), frozenset({C}))


@pytest.mark.parametrize(
    ("seats", "standing"),
    [
        ([seat(A), seat(B)], "still still"),
        ([seat(A, GREEN), seat(B)], "back still"),
        # It has come back before its old connection was gone.
        ([seat(A, GREEN), seat(A), seat(B)], "still still"),
        # One of its two connections has come back.
        ([seat(A, GREEN), seat(A, kind="events"), seat(B)], "still still"),
        ([seat(A, GREEN), seat(A, GREEN), seat(B, GREEN, "tcp")], "back back"),
        ([seat(B)], "missing still"),
        ([], "missing missing"),
        ([seat(Device("bravo", "a"), GREEN), seat(B, GREEN)], "missing back"),
    ],
)
def test_where_a_device_stands(seats: list[Seat], standing: str) -> None:
    found = compare(ROLL, census(*seats), frozenset({"acme"}))
    assert [str(found.standing[device]) for device in (A, B)] == standing.split()
    assert found.is_complete is (standing == "back back")
    assert found.counts["before"] == 2


def test_who_was_nowhere_is_new_and_who_was_elsewhere_is_not() -> None:
    new, other = Device("acme", "n"), Device("bravo", "n")
    found = census(seat(new, GREEN), seat(other, GREEN), seat(C, GREEN), seat(A, GREEN))
    of_all = compare(ROLL, found, None).standing
    assert {device for device, at in of_all.items() if at is Standing.NEW} == {new, other}
    assert compare(ROLL, found, frozenset({"acme"})).counts == {
        "before": 2, "back": 1, "still": 0, "missing": 1, "new": 1,
    }  # fmt: skip


def test_a_worker_that_has_not_told_all_may_have_anybody() -> None:
    back = [seat(A, GREEN), seat(B, GREEN)]
    assert compare(ROLL, census(*back), None).is_complete
    assert not compare(ROLL, census(*back, unknown=True), None).is_complete


def test_an_empty_roll_is_complete() -> None:
    assert compare(Roll(BLUE, frozenset()), census(), None).is_complete
