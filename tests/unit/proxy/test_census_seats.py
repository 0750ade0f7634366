"""Who is connected as of a look, and what of it is to be told."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.census.seats import Held, Seats
from proxy.routing.census import Seat
from proxy.routing.model import Slot


def seat(device: str, slot: Slot = Slot.BLUE, tenant: str = "acme") -> Seat:
    return Seat(slot, "websocket", tenant, device)


A, B, C = (seat(name) for name in "abc")


def told(seats: Seats, most: int = 9) -> tuple[list[tuple[Seat, Held]], list[Seat], bool]:
    batch = seats.batch(most)
    seats.told(batch)
    return list(batch.taken), list(batch.free), batch.last


def test_only_what_changed_is_told() -> None:
    seats = Seats(9)
    seats.look([A, B, A], 1.0)
    assert told(seats) == ([(A, Held(2, 1.0)), (B, Held(1, 1.0))], [], True)
    assert not seats.has_news
    seats.look([B, A, C], 2.0)
    assert told(seats) == ([(A, Held(1, 1.0)), (C, Held(1, 2.0))], [], True)
    seats.look([C], 3.0)
    taken, free, last = told(seats)
    assert (taken, set(free), last) == ([], {A, B}, True)


def test_who_left_and_came_back_is_there_since_then() -> None:
    seats = Seats(9)
    for now, found in ((1.0, [A]), (2.0, []), (3.0, [A])):
        seats.look(found, now)
    assert told(seats) == ([(A, Held(1, 3.0))], [], True)


def test_on_another_slot_it_sits_on_another_seat() -> None:
    seats, moved = Seats(9), seat("a", Slot.GREEN)
    seats.look([A], 1.0)
    told(seats)
    seats.look([A, moved], 2.0)
    assert told(seats) == ([(moved, Held(1, 2.0))], [], True)
    seats.look([moved], 3.0)
    assert told(seats) == ([], [A], True)


def test_batches_are_bounded() -> None:
    seats = Seats(9)
    seats.look([A, B, C], 1.0)
    assert [len(told(seats, 2)[0]) for _ in range(2)] == [2, 1]
    seats.look([], 2.0)
    assert told(seats, 2)[1:] == ([A, B], False)
    assert told(seats, 2)[1:] == ([C], True)


def test_what_the_store_lost_is_told_anew() -> None:
    seats = Seats(9)
    seats.look([A, B], 1.0)
    told(seats)
    seats.look([B], 2.0)
    seats.forget()
    assert told(seats) == ([(B, Held(1, 1.0))], [], True)


def test_of_too_many_the_rest_is_counted_and_who_was_told_stays() -> None:
    seats, unnamed = Seats(2), seat("", tenant="")
    seats.look([B, C], 1.0)
    seats.look([A, A, B, C], 2.0)
    assert dict(told(seats)[0]) == {B: Held(1, 1.0), C: Held(1, 1.0), unnamed: Held(2, 2.0)}
    seats.look([A, C], 3.0)
    taken, free, _ = told(seats)
    assert (dict(taken), set(free)) == ({A: Held(1, 3.0)}, {B, unnamed})


@given(st.lists(st.lists(st.sampled_from([A, B, C, seat("a", Slot.GREEN)]))), st.integers(1, 3))
def test_who_is_told_all_batches_knows_who_is_there(looks: list[list[Seat]], most: int) -> None:
    seats, known = Seats(9), dict[Seat, int]()
    for now, found in enumerate(looks):
        seats.look(found, float(now))
        while seats.has_news:
            taken, free, last = told(seats, most)
            known |= {each: held.connections for each, held in taken}
            for each in free:
                known.pop(each, None)
            assert last is not seats.has_news
        assert known == {each: found.count(each) for each in found}
