"""Streams of events under a drain: they end after a whole event, and look whole to the client."""

from typing import Any

from proxy.routing.model import Drain, RoutingTable, Slot
from tests.support.draining import Drains, drains_of
from tests.support.messages import ask
from tests.support.wire import Wire, playbook, table

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
FIRST, SECOND = b"id: 1\ndata: one\n\n", b"id: 2\r\ndata: two\r\n\r\n"
HINT = b"retry: 1000\n\n"
ACME = ask(b"X-Tenant-ID: acme")


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def drained(**parts: Any) -> RoutingTable:
    """acme belongs to green by now, and blue is drained."""
    pins = {"acme": Slot.GREEN}
    return table(drains={"d-1": Drain(Slot.BLUE, **parts)}, pins=pins)


def streaming(wire: Wire, *chunks: bytes, head: bytes = CHUNKED) -> Drains:
    """A stream of acme's from blue that has begun with these chunks."""
    drains = drains_of(wire)
    wire.client.sends(ACME)
    wire.endpoint(0).request()
    wire.endpoint(0).sends(head + b"".join(chunks))
    return drains


@playbook(trusted=True)
def test_between_events_it_ends_at_once(wire: Wire) -> None:
    drains = streaming(wire, chunk(FIRST))
    drains.use(drained())
    assert drains.step() == {"d-1": 1}
    assert [want.wanted for want in drains.wants] == [1]
    answer = wire.client.answer()
    assert (answer.status, answer.body) == (200, FIRST + HINT)
    wire.client.got_nothing()
    assert wire.endpoint(0).closed, "it would send on"
    assert drains.step() == {"d-1": 0}
    wire.client.sends(ACME)
    assert wire.endpoint(1).host == "10.0.2.0"
    wire.endpoint(1).answers()
    assert wire.client.answer().status == 200


@playbook(trusted=True)
def test_within_an_event_its_end_is_waited_for(wire: Wire) -> None:
    drains = streaming(wire, chunk(FIRST), chunk(SECOND[:9]))
    drains.use(drained())
    assert drains.step() == {"d-1": 1}
    assert drains.step() == {"d-1": 1}
    assert not drains.wants, "it has been told"
    wire.endpoint(0).sends(chunk(SECOND[9:] + b"data: dropped\n\n") + chunk(FIRST))
    # Where the last CR came without its LF, that ended the event just as well.
    body = wire.client.answer().body
    assert body in {FIRST + SECOND + HINT, FIRST + SECOND[:-1] + HINT}
    wire.client.got_nothing()
    assert drains.step() == {"d-1": 0}


@playbook(trusted=True, cuts=("whole",))
def test_one_that_has_said_nothing_yet_ends_as_well(wire: Wire) -> None:
    drains = streaming(wire)
    drains.use(drained())
    drains.step()
    assert wire.client.answer().body == HINT


@playbook(trusted=True, cuts=("whole",), settings={"tunnels": {"events_retry_ms": 0}})
def test_the_hint_may_be_left_out(wire: Wire) -> None:
    drains = streaming(wire, chunk(FIRST))
    drains.use(drained())
    drains.step()
    assert wire.client.answer().body == FIRST


@playbook(trusted=True, cuts=("whole",))
def test_one_that_never_ends_its_event_is_cut_in_a_hurry(wire: Wire) -> None:
    drains = streaming(wire, chunk(b"data: begun"))
    drains.use(drained())
    drains.step()
    assert wire.client.open
    drains.use(drained(hurry=True))
    drains.step()
    assert wire.client.aborted
    assert drains.step() == {"d-1": 0}


@playbook(trusted=True, cuts=("whole",))
def test_a_hurry_ends_whole_what_can_be(wire: Wire) -> None:
    drains = streaming(wire, chunk(FIRST))
    drains.use(drained(hurry=True))
    drains.step()
    assert wire.client.answer().body == FIRST + HINT
    assert wire.client.open


@playbook(trusted=True, cuts=("whole",))
def test_one_that_ends_by_itself_meanwhile_is_whole(wire: Wire) -> None:
    drains = streaming(wire, chunk(FIRST), chunk(b"data: last"))
    drains.use(drained())
    drains.step()
    wire.endpoint(0).sends(b"0\r\n\r\n")
    assert wire.client.answer().body == FIRST + b"data: last"
    assert wire.endpoint(0).open


@playbook(trusted=True, cuts=("whole",))
def test_the_next_answer_on_the_connection_is_not_one(wire: Wire) -> None:
    drains = streaming(wire, chunk(FIRST), b"0\r\n\r\n")
    wire.client.answer()
    wire.client.sends(ACME)
    wire.endpoint(0).sends(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1234")
    drains.use(drained())
    drains.step()
    assert not drains.wants
    wire.endpoint(0).sends(b"56789")
    assert wire.client.answer().body == b"123456789"


@playbook(trusted=True, cuts=("whole",))
def test_compressed_ones_end_by_themselves(wire: Wire) -> None:
    head = HEAD + b"Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    drains = streaming(wire, chunk(FIRST), head=head)
    drains.use(drained())
    assert drains.step() == {"d-1": 1}
    assert not drains.wants
    wire.endpoint(0).sends(b"0\r\n\r\n")
    assert wire.client.answer().body == FIRST


@playbook(trusted=True, cuts=("whole",))
def test_a_client_that_takes_nothing_gets_its_end_when_it_does(wire: Wire) -> None:
    drains = streaming(wire, chunk(FIRST))
    wire.client.stalls()
    wire.endpoint(0).sends(chunk(b"data: %b\n\n" % (b"x" * 200_000)))
    drains.use(drained())
    drains.step()
    assert wire.endpoint(0).closed
    wire.client.flows()
    assert wire.client.answer().body.endswith(b"x\n\n" + HINT)


@playbook(trusted=True, cuts=("whole",))
def test_the_longest_silent_stream_goes_first(wire: Wire) -> None:
    drains = streaming(wire, chunk(FIRST))
    drains.granted = 1
    other = wire.connects()
    other.sends(ACME)
    wire.endpoint(1).sends(CHUNKED + chunk(FIRST))
    wire.later(1.0)
    wire.endpoint(0).sends(chunk(SECOND))
    drains.use(drained())
    drains.step()
    assert other.answer().body == FIRST + HINT
    drains.step()
    assert wire.client.answer().body == FIRST + SECOND + HINT


@playbook(trusted=True, cuts=("whole",))
def test_at_the_end_of_its_worker_the_connection_ends_too(wire: Wire) -> None:
    streaming(wire, chunk(FIRST))
    wire.services.draining = True
    wire.client.connection.close()
    wire.settle()
    assert wire.client.answer().body == FIRST + HINT
    assert wire.client.closed
    assert not wire.client.aborted


@playbook(trusted=True, cuts=("whole",))
def test_a_request_after_a_stream_is_a_request(wire: Wire) -> None:
    drains = streaming(wire, chunk(FIRST), b"0\r\n\r\n")
    wire.client.answer()
    wire.client.sends(ACME)
    drains.use(drained())
    assert drains.step() == {"d-1": 1}
    assert not drains.wants
    wire.endpoint(0).answers()
    assert wire.client.answer().status == 200
