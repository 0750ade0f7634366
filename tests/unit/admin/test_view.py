"""The fleet's view: news, readings of the registry, and what happens between the two."""

from dataclasses import replace

from admin.routing.publish import Lease, Snapshot
from admin.routing.view import DEFAULT_LEASE_S, FleetView
from proxy.routing.ack import WorkerStatus


def status(worker: str, version: int = 1, state: str = "serving", error: str = "") -> WorkerStatus:
    return WorkerStatus(worker, "here", 1, version, state, 0, error)


def reading(asked: float, *leases: Lease) -> Snapshot:
    return Snapshot(asked, 1, 1, leases)


def lease(worker: str, remaining_ms: int = 3000, version: int = 1) -> Lease:
    return Lease(worker, remaining_ms, status(worker, version))


def versions(view: FleetView) -> dict[str, int]:
    return {status.worker: status.version for status in view.live()}


def test_a_worker_counts_from_its_first_word_on():
    view = FleetView()
    assert [kind for kind, _ in view.hear(status("a", 0), 10.0)] == ["worker"]
    assert versions(view) == {"a": 0}


def test_a_reading_asked_for_before_the_news_does_not_undo_it():
    view = FleetView()
    view.hear(status("a", 2), 10.0)
    assert view.read(reading(9.9), 10.1) == []
    assert versions(view) == {"a": 2}
    view.read(reading(10.2, lease("a", version=1)), 10.3)
    assert versions(view) == {"a": 2}


def test_a_lease_that_is_over_gives_the_worker_up():
    view = FleetView()
    view.read(reading(10.0, lease("a")), 10.0)
    events = view.read(reading(13.0, lease("a", remaining_ms=0)), 13.0)
    assert events == [("worker-lost", {"worker": "a"})]
    assert versions(view) == {}


def test_a_renewal_outlives_a_reading_that_was_asked_for_before_it():
    view = FleetView()
    view.hear(status("a"), 10.0)
    assert view.read(reading(9.9, lease("a", remaining_ms=-5)), 10.1) == []
    assert versions(view) == {"a": 1}


def test_an_emptied_registry_gives_nobody_up_before_its_lease_ends():
    view = FleetView()
    view.read(reading(10.0, lease("a", remaining_ms=2000)), 10.0)
    assert view.read(reading(11.9), 11.9) == []
    assert versions(view) == {"a": 1}
    assert view.ends(("a",)) == 12.0
    assert view.read(reading(12.1), 12.1) == [("worker-lost", {"worker": "a"})]


def test_a_registry_that_forgot_renewals_gives_nobody_up_before_its_lease_ends():
    view = FleetView()
    view.read(reading(10.0, lease("a", remaining_ms=2000)), 10.0)
    view.hear(status("a"), 11.0)
    assert view.read(reading(12.5, lease("a", remaining_ms=-500)), 12.5) == []
    assert versions(view) == {"a": 1}
    assert [each.worker for each in view.silent] == ["a"]
    over = 11.0 + DEFAULT_LEASE_S
    assert view.read(reading(over, lease("a", remaining_ms=-2000)), over) == [
        ("worker-lost", {"worker": "a"})
    ]


def test_who_is_given_up_is_silent_though_the_registry_has_lost_it():
    view = FleetView(forget_s=5.0)
    view.read(reading(10.0, lease("a"), lease("b")), 10.0)
    view.read(reading(13.1), 13.1)
    assert [each.worker for each in view.silent] == ["a", "b"]
    view.hear(status("a", state="gone"), 14.0)
    view.read(reading(14.1), 14.1)
    assert [each.worker for each in view.silent] == ["b"]
    view.read(reading(18.2), 18.2)
    assert view.silent == ()


def test_who_is_back_is_silent_no_more():
    view = FleetView()
    view.read(reading(10.0, lease("a")), 10.0)
    view.read(reading(13.1), 13.1)
    view.hear(status("a"), 14.0)
    view.read(reading(14.1, lease("a")), 14.1)
    assert view.silent == ()
    assert versions(view) == {"a": 1}


def test_a_farewell_is_for_good():
    view = FleetView()
    view.hear(status("a"), 10.0)
    events = view.hear(status("a", state="gone"), 10.1)
    assert [kind for kind, _ in events] == ["worker"]
    assert view.read(reading(10.0, lease("a")), 10.2) == []
    assert view.hear(status("a"), 10.3) == []
    assert versions(view) == {}


def test_a_renewal_that_says_nothing_new_is_no_event_but_extends_the_lease():
    view = FleetView()
    view.hear(status("a"), 10.0)
    assert view.hear(status("a"), 11.0) == []
    assert view.ends(("a",)) == 11.0 + DEFAULT_LEASE_S
    assert [kind for kind, _ in view.hear(status("a", error="no"), 11.1)] == ["worker"]


def test_a_version_never_goes_down():
    view = FleetView()
    view.hear(status("a", 5), 10.0)
    assert view.hear(status("a", 4), 10.1) == []
    assert versions(view) == {"a": 5}


def test_a_longer_lease_is_learnt_from_the_registry():
    view = FleetView()
    view.read(reading(10.0, lease("a", remaining_ms=9000)), 10.0)
    view.hear(status("a"), 11.0)
    assert view.ends(("a",)) == 20.0


def test_its_repr_shows_who_counts():
    view = FleetView()
    assert repr(view) == "<FleetView empty>"
    view.hear(status("b", 2), 1.0)
    view.hear(status("a", 3), 1.0)
    assert repr(view) == "<FleetView a@3, b@2>"


def silent(view: FleetView) -> dict[str, int]:
    return {status.worker: status.version for status in view.silent}


def test_who_was_given_up_is_silent_until_forgotten():
    view = FleetView(forget_s=60.0)
    view.read(reading(10.0, lease("a", version=4)), 10.0)
    view.read(reading(14.0, lease("a", remaining_ms=-1000, version=4)), 14.0)
    assert silent(view) == {"a": 4}
    view.read(reading(72.9, lease("a", remaining_ms=-59_900, version=4)), 72.9)
    assert silent(view) == {"a": 4}
    view.read(reading(73.1), 73.1)
    assert silent(view) == {}


def test_an_emptied_registry_makes_nobody_heard_of_less_silent():
    view = FleetView(forget_s=60.0)
    view.read(reading(10.0, lease("a", remaining_ms=2000, version=4)), 10.0)
    view.read(reading(11.0), 11.0)
    assert silent(view) == {}, "it still counts"
    view.read(reading(12.1), 12.1)
    assert silent(view) == {"a": 4}
    view.read(reading(71.9), 71.9)
    assert silent(view) == {"a": 4}
    view.read(reading(72.1), 72.1)
    assert silent(view) == {}


def test_who_was_silent_before_the_registry_was_emptied_stays_so():
    view = FleetView(forget_s=60.0)
    view.read(reading(10.0, lease("a", remaining_ms=-5)), 10.0)
    view.read(reading(11.0), 11.0)
    assert silent(view) == {"a": 1}


def test_who_speaks_again_or_says_goodbye_is_silent_no_more():
    view = FleetView(forget_s=60.0)
    view.read(reading(10.0, lease("a", remaining_ms=-5), lease("b", remaining_ms=-5)), 10.0)
    view.hear(status("a"), 11.0)
    view.hear(status("b", state="gone"), 11.0)
    view.read(reading(10.9, lease("a", remaining_ms=-900), lease("b", remaining_ms=-900)), 11.1)
    assert silent(view) == {}
    assert versions(view) == {"a": 1}


def test_a_goodbye_that_was_not_heard_is_read():
    view = FleetView()
    view.read(reading(10.0, lease("a"), lease("b", remaining_ms=-5)), 10.0)
    gone = tuple(status(worker, state="gone") for worker in ("a", "b", "stranger"))
    events = view.read(replace(reading(11.0), departed=gone), 11.0)
    assert [document["worker"] for _, document in events] == ["a", "b"]
    assert (versions(view), silent(view)) == ({}, {})
    assert view.read(replace(reading(12.0), departed=gone), 12.0) == []
