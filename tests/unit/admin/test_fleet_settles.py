"""After Redis was away for longer than a lease, nobody's absence means that all have acked."""

from time import monotonic
from types import SimpleNamespace
from typing import Any, cast

from admin.routing.events import Hub
from admin.routing.fleet import SETTLE_S, Fleet
from admin.routing.publish import Lease, Snapshot
from admin.routing.view import DEFAULT_LEASE_S
from proxy.routing.ack import WorkerStatus
from proxy.routing.keys import Keys


def fleet() -> Fleet:
    """One that is only told; it asks nobody."""
    nobody = cast("Any", None)
    publisher = cast("Any", SimpleNamespace(forget_s=60.0))
    return Fleet(nobody, Keys(), publisher, Hub(listeners=1, queue=1), 1.0)


def snapshot(remaining_ms: int | None, served: int = 7) -> Snapshot:
    status = WorkerStatus("w", "n", 1, served, "serving")
    leases = () if remaining_ms is None else (Lease("w", remaining_ms, status),)
    return Snapshot(10.0, 7, 7, leases)


def test_a_reading_after_an_outage_in_which_leases_ended_converges_nothing():
    told = fleet()
    told.take(snapshot(3000))
    assert told.is_converged(7)
    told.reachable = False
    told.take(snapshot(-500))
    assert not told.is_converged(7), "the worker is on its way back"


def test_a_reading_after_an_outage_that_finds_nobody_converges_nothing():
    told = fleet()
    told.reachable = False
    told.take(snapshot(None))
    assert not told.is_converged(7)


def test_who_has_not_known_the_workers_waits_for_as_long_as_a_lease():
    knows, began = fleet(), fleet()
    knows.take(snapshot(3000))
    for told in (knows, began):
        told.reachable = False
        told.take(snapshot(-500))
    now = monotonic()
    assert now < knows._settled_at <= now + SETTLE_S
    assert now + SETTLE_S < began._settled_at <= now + DEFAULT_LEASE_S


def test_a_longer_wait_is_not_cut_short():
    told = fleet()
    told.settle(60.0)
    told.settle()
    assert told._settled_at > monotonic() + 50.0


def test_a_short_outage_costs_no_time():
    told = fleet()
    told.take(snapshot(3000))
    told.reachable = False
    told.take(snapshot(1000))
    assert told.is_converged(7)


def test_a_fleet_of_nobody_at_the_first_reading_has_converged():
    told = fleet()
    told.take(snapshot(None))
    assert told.is_converged(7)
