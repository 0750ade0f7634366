"""A drain's life, and when nothing is left of it."""

import pytest

from admin.drains.model import TRANSITIONS, Drain, Event, State, left_of
from proxy.routing.ack import WorkerStatus
from proxy.routing.change import EndAffinities, EndDrain
from proxy.routing.model import Slot


def status(worker: str, version: int = 5, **draining: int) -> WorkerStatus:
    counts = {name.replace("_", "-"): count for name, count in draining.items()}
    return WorkerStatus(worker, "here", 1, version, "serving", draining=counts)


@pytest.mark.parametrize("state", State)
def test_every_drain_ends(state: State) -> None:
    reached = {state}
    while more := {to for (of, _), to in TRANSITIONS.items() if of in reached} - reached:
        reached |= more
    assert State.DONE in reached
    assert not [event for of, event in TRANSITIONS if of is State.DONE]


@pytest.mark.parametrize(
    ("live", "silent", "nothing"),
    [
        ([], [], True),
        ([status("w1", d_1=0), status("w2", d_1=0)], [], True),
        ([status("w1", d_1=0), status("w2", d_1=1)], [], False),
        ([status("w1", 4, d_1=0)], [], False),
        ([status("w1")], [], False),
        ([], [status("w1", d_1=0)], True),
        ([], [status("w1", d_1=2)], False),
        ([], [status("w1")], False),
        ([], [status("w1", 4, d_1=0)], False),
    ],
)
def test_nothing_is_left_when_every_worker_says_so(
    live: list[WorkerStatus], silent: list[WorkerStatus], nothing: bool
) -> None:
    assert left_of("d-1", 5, live, silent).is_nothing is nothing


def test_affinities_end_with_what_was_drained_of_all_to_its_end() -> None:
    ended = Drain("d-1", Slot.BLUE, None, 1.0, 1.0, outcome=str(Event.EMPTY))
    stopped = Drain("d-1", Slot.BLUE, None, 1.0, 1.0, outcome=str(Event.STOPPED))
    some = Drain("d-1", Slot.BLUE, frozenset({"acme"}), 1.0, 1.0, outcome=str(Event.EMPTY))
    assert ended.end() == (EndDrain("d-1"), EndAffinities(Slot.BLUE))
    assert stopped.end() == some.end() == (EndDrain("d-1"),)


def detailed(
    worker: str, left: int, kinds: dict[str, int], tenants: dict[str, int]
) -> WorkerStatus:
    detail = {"d-1": {"kinds": kinds, "tenants": tenants}}
    return WorkerStatus(
        worker, "here", 1, 5, "serving", draining={"d-1": left}, left=detail if left else {}
    )


def test_what_is_left_is_added_up_by_kind_and_tenant() -> None:
    live = [
        detailed("w1", 5, {"websocket": 3, "events": 2}, {"acme": 4, "": 1}),
        detailed("w2", 4, {"websocket": 4}, {"bravo": 3}),
        detailed("w3", 0, {}, {}),
        status("w4", d_1=2),
    ]
    left = left_of("d-1", 5, live, [])
    assert (left.total, left.kinds) == (11, {"websocket": 7, "events": 2})
    assert (left.tenants, left.others) == ({"acme": 4, "": 1, "bravo": 3}, 3)


def test_of_many_tenants_those_with_most_are_named() -> None:
    live = [
        detailed(f"w{worker}", 20, {}, {f"t-{worker}-{n}": 1 for n in range(19)} | {"acme": 1})
        for worker in range(3)
    ]
    left = left_of("d-1", 5, live, [])
    assert (len(left.tenants), next(iter(left.tenants.items()))) == (20, ("acme", 3))
    assert left.others == 60 - 3 - 19
