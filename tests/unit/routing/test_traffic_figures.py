"""The figures of a minute, as they lie in Redis, added up."""

from hypothesis import given
from hypothesis import strategies as st

from proxy.routing.traffic import OTHERS, Traffic, add_up, decode


def test_minutes_are_added_up() -> None:
    minutes = [{b"acme": b"3", b"*": b"2"}, {}, {b"acme": b"4", b"-": b"1"}]
    found = add_up(map(decode, minutes))
    assert found == Traffic({"acme": 7, "-": 1}, 2, 2)
    assert found.total == 10


def test_no_minutes_are_no_traffic() -> None:
    assert add_up([]) == Traffic({}, 0, 0)
    assert decode({}) == Traffic({})


@given(st.dictionaries(st.binary(max_size=70), st.binary(max_size=20), max_size=8))
def test_what_is_no_figure_is_passed_over(fields: dict[bytes, bytes]) -> None:
    found = decode(fields)
    assert found.total >= 0
    assert OTHERS not in found.requests
    assert all(count > 0 for count in found.requests.values())


def test_a_number_that_is_none_counts_nothing() -> None:
    fields = {b"acme": b"-3", b"bravo": b"1e3", b"caslon": b"9" * 16, b"Not One": b"1"}
    assert decode(fields) == Traffic({}, 0, 1)
    assert decode({b"*": "٣".encode()}) == Traffic({}, 0, 1)
