"""Whether a worker's lease runs, by its own clock."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.lease import Lease

LASTS_S = 3.0


def taken(asked: float = 10.0, published: int = 7, now: float | None = None) -> Lease:
    lease = Lease(LASTS_S)
    lease.renewed(asked, published, asked if now is None else now)
    return lease


def test_before_the_first_renewal_there_is_none() -> None:
    assert not Lease(LASTS_S).holds(7, 1.0)


def test_it_is_counted_from_when_the_renewal_was_sent() -> None:
    lease = taken(10.0, now=12.5)
    assert lease.holds(7, 12.9)
    assert not lease.holds(7, 13.0)


def test_an_answer_that_came_too_late_gives_none() -> None:
    assert not taken(10.0, now=13.5).holds(7, 13.5)


def test_a_first_one_counts_once_what_was_published_is_served() -> None:
    lease = taken(published=7)
    assert not lease.holds(0, 11.0)
    assert not lease.holds(6, 11.0)
    assert lease.holds(7, 11.0)


def test_while_it_runs_a_new_version_takes_nothing_away() -> None:
    lease = taken(published=7)
    assert lease.holds(7, 11.0)
    lease.renewed(11.0, 9, 11.0)
    assert lease.holds(7, 13.5)


def test_one_that_was_over_counts_again_with_the_newest_table() -> None:
    lease = taken(published=7)
    assert lease.holds(7, 11.0)
    assert not lease.holds(7, 14.0)
    lease.renewed(15.0, 8, 15.0)
    assert not lease.holds(7, 15.0)
    assert lease.holds(8, 15.0)


def test_also_one_whose_end_nobody_looked_at() -> None:
    lease = taken(published=7)
    assert lease.holds(7, 11.0)
    lease.renewed(15.0, 8, 15.0)
    assert not lease.holds(7, 15.0)


def test_an_emptied_store_gives_none_back_and_takes_none_away() -> None:
    lease = taken(published=7)
    assert lease.holds(7, 11.0)
    lease.renewed(12.0, -1, 12.0)
    assert lease.holds(7, 14.0)
    lease.renewed(20.0, -1, 20.0)
    assert not lease.holds(7, 20.0)


@given(st.lists(st.tuples(st.floats(0.01, 5.0), st.integers(1, 3), st.floats(0.0, 5.0))))
def test_it_never_outlasts_the_last_renewal_that_was_sent(
    steps: list[tuple[float, int, float]],
) -> None:
    lease, now, last = Lease(LASTS_S), 0.0, float("-inf")
    for pause, published, took in steps:
        last = now + pause
        now = last + took
        lease.renewed(last, published, now)
        assert not lease.holds(published, now) or now < last + LASTS_S
        assert not lease.holds(9, last + LASTS_S)
