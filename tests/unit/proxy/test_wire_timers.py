"""What the worker's sweep does: every wait has its end. Time is set by the test."""

import pytest

from tests.support.messages import ask, post
from tests.support.wire import Wire, playbook

GET = ask()


@playbook(cuts=("whole",))
def test_a_connection_that_says_nothing_is_closed(wire: Wire) -> None:
    wire.client.sends(b"")
    wire.later(9.9)
    assert wire.client.open
    wire.later(0.2)
    assert wire.client.closed
    wire.client.got_nothing()


@pytest.mark.parametrize("begun", [b"GET /aaa", b"GET / HTTP/1.1\r\nHost: h\r\nX-A: b"])
@playbook(cuts=("whole", "bytes"))
def test_a_slow_head_is_408(wire: Wire, begun: bytes) -> None:
    wire.client.sends(begun)
    wire.later(6)
    wire.client.sends(b"c")
    wire.later(3.9)
    wire.client.got_nothing()
    wire.later(0.2)
    wire.client.refused(408)


@playbook(cuts=("whole",))
def test_a_slow_second_head_is_408_as_soon(wire: Wire) -> None:
    wire.client.sends(GET)
    wire.endpoint(0).answers()
    wire.client.answer()
    wire.later(60)
    wire.client.sends(b"GET /slow")
    wire.later(9.9)
    wire.client.got_nothing()
    wire.later(0.2)
    wire.client.refused(408)


@playbook(cuts=("whole",))
def test_a_body_that_stops_is_408_and_the_endpoint_is_cut(wire: Wire) -> None:
    wire.client.sends(post(b"hello world")[:-3])
    wire.later(29)
    wire.client.sends(b"r")
    wire.later(29)
    wire.client.got_nothing()
    wire.later(2)
    wire.client.refused(408)
    assert wire.endpoint(0).transport.lost


@playbook(cuts=("whole",))
def test_an_idle_connection_is_closed_after_its_time(wire: Wire) -> None:
    wire.client.sends(GET)
    wire.endpoint(0).answers()
    wire.client.answer()
    wire.later(74.9)
    assert wire.client.open
    wire.later(0.2)
    assert wire.client.transport.lost
    wire.client.got_nothing()


@playbook(cuts=("whole",))
def test_an_endpoint_that_does_not_answer_is_504_and_cut(wire: Wire) -> None:
    wire.client.sends(GET)
    wire.later(29.9)
    wire.client.got_nothing()
    wire.later(0.2)
    wire.client.refused(504)
    assert wire.endpoint(0).transport.lost


@playbook(cuts=("whole",))
def test_the_answers_time_begins_with_the_end_of_the_request(wire: Wire) -> None:
    wire.client.sends(post(b"hello")[:-1])
    wire.later(25)
    wire.client.sends(b"o")
    wire.later(25)
    wire.client.got_nothing()
    wire.endpoint(0).answers()
    assert wire.client.answer().status == 200


@playbook(cuts=("whole",))
def test_an_answer_that_stops_is_cut_off(wire: Wire) -> None:
    wire.client.sends(GET)
    wire.endpoint(0).sends(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhel")
    wire.later(59)
    wire.endpoint(0).sends(b"lo")
    wire.later(59)
    assert wire.client.open
    wire.later(2)
    assert wire.client.aborted
    assert wire.endpoint(0).transport.lost


@playbook(cuts=("whole",))
def test_a_client_that_reads_no_answer_is_cut_off(wire: Wire) -> None:
    wire.client.sends(GET)
    wire.client.stalls()
    wire.endpoint(0).sends(b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n" + b"x" * 100_000)
    wire.later(61)
    assert wire.client.transport.lost
    assert wire.endpoint(0).transport.lost


@playbook(cuts=("whole",))
def test_a_client_that_never_closes_is_closed_after_a_while(wire: Wire) -> None:
    wire.client.sends(ask(b"Connection: close"))
    wire.endpoint(0).answers()
    assert wire.client.transport.ended
    assert not wire.client.transport.lost
    wire.client.sends(b"more that nobody reads")
    wire.later(5.1)
    assert wire.client.transport.lost


@playbook(cuts=("whole",))
def test_a_client_that_reads_nothing_is_not_kept_by_what_it_is_owed(wire: Wire) -> None:
    wire.client.stalls()
    wire.client.sends(GET)
    wire.endpoint(0).answers(b"x" * 50_000)
    for _ in range(3):
        wire.later(76)
    assert wire.client.transport.lost


@playbook(cuts=("whole",))
def test_an_idle_connection_to_an_endpoint_is_closed_after_its_time(wire: Wire) -> None:
    wire.client.sends(GET)
    wire.endpoint(0).answers()
    wire.client.answer()
    wire.later(29)
    assert wire.endpoint(0).open
    wire.later(2)
    assert wire.endpoint(0).transport.lost
    wire.client.sends(GET)
    wire.endpoint(1).answers()
    assert wire.client.answer().status == 200


@pytest.mark.parametrize("value", [b"timeout=5", b"timeout=5, max=100", b"max=100, timeout=5"])
@playbook(cuts=("whole",))
def test_an_endpoints_own_idle_time_is_learned(wire: Wire, value: bytes) -> None:
    wire.client.sends(GET)
    field = b"Keep-Alive: " + value
    wire.endpoint(0).sends(b"HTTP/1.1 200 OK\r\n" + field + b"\r\nContent-Length: 0\r\n\r\n")
    wire.later(3.5)
    assert wire.endpoint(0).open
    wire.later(1)
    assert wire.endpoint(0).transport.lost


@playbook(cuts=("whole",))
def test_draining_answers_with_close_and_closes_what_is_idle(wire: Wire) -> None:
    idle, busy = wire.connects(), wire.connects()
    busy.sends(GET)
    wire.services.draining = True
    for client in wire.clients:
        client.connection.drain(wire.services.now)
    wire.settle()
    assert idle.transport.lost
    wire.endpoint(0).answers()
    assert busy.answer()["Connection"] == b"close"
    assert busy.closed


@playbook(cuts=("whole",))
def test_draining_leaves_a_connection_that_was_just_used(wire: Wire) -> None:
    wire.client.sends(GET)
    wire.endpoint(0).answers()
    wire.client.answer()
    wire.services.draining = True
    wire.client.connection.drain(wire.services.now - 2)
    wire.settle()
    assert wire.client.open
    wire.client.sends(GET)
    wire.endpoint(0).answers()
    assert wire.client.answer()["Connection"] == b"close"
