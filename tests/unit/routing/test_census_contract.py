"""The written form of a worker's census."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.routing.census import MAX_WORKER_SEATS, Seat, Taken, is_device, read_census
from proxy.routing.lasting import KINDS
from proxy.routing.model import Slot

PRINTER = Seat(Slot.BLUE, "websocket", "acme", "printer-7")
devices = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=64).filter(
    lambda text: not text or is_device(text)
)
seats = st.builds(
    Seat,
    st.sampled_from(Slot),
    st.sampled_from(KINDS),
    st.sampled_from(["", "acme", "b-2"]),
    devices,
)


@given(st.dictionaries(seats, st.builds(Taken, st.integers(1, 10**6), st.integers(0, 10**15))))
def test_a_census_is_read_as_it_was_written(taken: dict[Seat, Taken]) -> None:
    fields = {
        seat.field.encode(): f"{each.connections} {each.since_ms}".encode()
        for seat, each in taken.items()
    }
    assert read_census(fields | {b"whole": b"1"}) == (True, taken)
    assert read_census(fields).whole is False


@pytest.mark.parametrize("whole", [b"0", b"", b"yes", b"\xff"])
def test_it_is_whole_only_where_it_says_so(whole: bytes) -> None:
    assert not read_census({b"whole": whole}).whole


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"red|websocket|acme|printer-7", b"1 1"),
        (b"blue|web socket|acme|printer-7", b"1 1"),
        (b"blue|websocket|ACME|printer-7", b"1 1"),
        (b"blue|websocket|acme| printer", b"1 1"),
        (b"blue|websocket|acme|\xffprinter", b"1 1"),
        (b"blue|websocket|acme|" + b"p" * 65, b"1 1"),
        (b"blue|websocket|acme", b"1 1"),
        (b"", b"1 1"),
        (b"blue|websocket|acme|printer-8", b"1"),
        (b"blue|websocket|acme|printer-8", b"1 -1"),
        (b"blue|websocket|acme|printer-8", b"one 1"),
        (b"blue|websocket|acme|printer-8", b"1" * 10 + b" 1"),
    ],
)
def test_what_cannot_be_read_is_passed_over(name: bytes, value: bytes) -> None:
    good = {PRINTER.field.encode(): b"2 1700"}
    assert read_census({name: value, **good}).seats == {PRINTER: Taken(2, 1700)}


def test_a_kind_of_a_newer_worker_is_read() -> None:
    assert read_census({b"blue|quic|acme|p": b"1 1"}).seats == {
        Seat(Slot.BLUE, "quic", "acme", "p"): Taken(1, 1)
    }


def test_no_more_is_read_than_a_worker_could_tell() -> None:
    fields = {b"whole": b"1"}
    fields |= {b"blue|tcp|acme|%d" % number: b"1 1" for number in range(MAX_WORKER_SEATS + 1)}
    told = read_census(fields)
    assert (told.whole, len(told.seats)) == (False, MAX_WORKER_SEATS)


@pytest.mark.parametrize(
    ("text", "good"),
    [("p", True), ("Press 4 (hall B)", True), ("a|b", True), ("p" * 64, True), ("", False)]
    + [(text, False) for text in ("p" * 65, " p", "p ", "p\n", "p\tq", "pü", "p\x7f")],
)
def test_what_can_name_a_device(text: str, good: bool) -> None:
    assert is_device(text) is good
