"""Backpressure both ways, and clients that vanish: nothing is gathered, nothing is left."""

from collections.abc import Callable

import pytest

from proxy.observability import telemetry
from tests.support.messages import ask, chunked, post
from tests.support.wire import State, Wire, playbook, table

GET = ask()
POST_HEAD = ask(b"Content-Length: 400000", method=b"POST")
PIECE = b"x" * 20_000
Situation = Callable[[Wire], None]


@playbook(cuts=("whole",))
def test_an_answer_comes_no_faster_than_the_client_reads(wire: Wire) -> None:
    wire.client.sends(GET)
    wire.client.stalls()
    wire.endpoint(0).sends(b"HTTP/1.1 200 OK\r\nContent-Length: 400000\r\n\r\n")
    for _ in range(20):
        wire.endpoint(0).sends(PIECE)
    assert wire.endpoint(0).paused
    assert wire.client.unflushed < 150_000
    wire.client.flows()
    assert wire.endpoint(0).reads
    assert wire.client.answer().body == PIECE * 20


@playbook(cuts=("whole",))
def test_a_body_goes_no_faster_than_the_endpoint_reads(wire: Wire) -> None:
    wire.client.sends(POST_HEAD)
    wire.endpoint(0).stalls()
    for _ in range(20):
        wire.client.sends(PIECE)
    assert wire.client.paused
    assert wire.endpoint(0).unflushed < 150_000
    wire.endpoint(0).flows()
    assert wire.client.reads
    assert wire.endpoint(0).request().body == PIECE * 20


@playbook(cuts=("whole",))
def test_a_body_waits_while_the_connection_is_made(wire: Wire) -> None:
    wire.hangs("10.0.1.0")
    wire.client.sends(POST_HEAD)
    for _ in range(20):
        wire.client.sends(PIECE)
    assert wire.client.paused
    wire.answers_calls()
    assert wire.client.reads
    assert wire.endpoint(0).request().body == PIECE * 20


@playbook(cuts=("whole",), routing=table(blue=2))
def test_a_body_that_waited_is_not_lost_when_the_first_endpoint_refuses(wire: Wire) -> None:
    wire.refuses("10.0.1.1")
    wire.client.sends(POST_HEAD)
    for _ in range(20):
        wire.client.sends(PIECE)
    assert wire.endpoint(0).request().body == PIECE * 20


@playbook(cuts=("whole",))
def test_what_is_pipelined_waits_unread(wire: Wire) -> None:
    wire.client.sends(GET)
    for _ in range(20):
        wire.client.sends(post(PIECE))
    assert wire.client.paused
    wire.endpoint(0).request()
    wire.endpoint(0).answers()
    wire.client.answer()
    for _ in range(20):
        assert wire.endpoint(0).request().body == PIECE
        wire.endpoint(0).answers()
        assert wire.client.answer().status == 200
    assert wire.client.reads


@playbook(cuts=("whole",))
def test_an_early_answer_lets_a_stalled_body_go(wire: Wire) -> None:
    wire.client.sends(POST_HEAD)
    wire.endpoint(0).stalls()
    for _ in range(8):
        wire.client.sends(PIECE)
    wire.endpoint(0).answers(b"no", b"403 Forbidden")
    assert wire.client.answer().status == 403
    assert wire.client.closed
    assert wire.endpoint(0).transport.lost


def idle(wire: Wire) -> None:
    _ = wire.client


def within_a_head(wire: Wire) -> None:
    wire.client.sends(GET[:20])


def after_an_exchange(wire: Wire) -> None:
    wire.client.sends(GET)
    wire.endpoint(0).answers()


def connecting(wire: Wire) -> None:
    wire.hangs("10.0.1.0")
    wire.client.sends(GET)


def connecting_with_a_body(wire: Wire) -> None:
    wire.hangs("10.0.1.0")
    wire.client.sends(POST_HEAD + PIECE)


def awaiting(wire: Wire) -> None:
    wire.client.sends(GET)


def awaiting_within_a_body(wire: Wire) -> None:
    wire.client.sends(POST_HEAD + PIECE)


def awaiting_with_a_second(wire: Wire) -> None:
    wire.client.sends(GET + GET)


def relaying(wire: Wire) -> None:
    wire.client.sends(GET)
    wire.endpoint(0).sends(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello")


def relaying_early(wire: Wire) -> None:
    wire.client.sends(POST_HEAD + PIECE)
    wire.endpoint(0).sends(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello")


def relaying_to_a_stalled_client(wire: Wire) -> None:
    wire.client.stalls()
    wire.client.sends(GET)
    wire.endpoint(0).sends(b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n" + PIECE * 10)


def lingering(wire: Wire) -> None:
    wire.client.sends(ask(b"Connection: close"))
    wire.endpoint(0).answers()


def tunnelling(wire: Wire) -> None:
    wire.client.sends(ask(b"Connection: Upgrade", b"Upgrade: websocket"))
    wire.endpoint(0).sends(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )


SITUATIONS: list[Situation] = [
    idle,
    within_a_head,
    after_an_exchange,
    connecting,
    connecting_with_a_body,
    awaiting,
    awaiting_within_a_body,
    awaiting_with_a_second,
    relaying,
    relaying_early,
    relaying_to_a_stalled_client,
    lingering,
    tunnelling,
]
BUSY = SITUATIONS[5:11] + SITUATIONS[12:]


@pytest.mark.parametrize("situation", SITUATIONS)
@playbook(cuts=("whole",))
def test_a_client_that_vanishes_frees_everything(wire: Wire, situation: Situation) -> None:
    situation(wire)
    wire.client.vanishes()
    assert wire.gauge(telemetry.IN_FLIGHT) == 0
    assert wire.gauge(telemetry.TUNNELS) == 0
    assert [State(exchange.state) for exchange in wire.exchanges] == [State.ENDED]
    if situation in BUSY:
        assert wire.endpoint(0).transport.lost
    wire.answers_calls()
    other = wire.connects()
    other.sends(GET)
    wire.endpoints[-1].answers(b"mine")
    assert other.answer().body == b"mine"


@pytest.mark.parametrize("situation", SITUATIONS)
@playbook(cuts=("whole",))
def test_an_aborted_connection_frees_everything(wire: Wire, situation: Situation) -> None:
    situation(wire)
    wire.client.transport.abort()
    wire.settle()
    assert wire.gauge(telemetry.IN_FLIGHT) == 0
    assert wire.gauge(telemetry.TUNNELS) == 0


@pytest.mark.parametrize("situation", SITUATIONS)
@playbook(cuts=("whole",))
def test_a_worker_that_ends_leaves_nothing(wire: Wire, situation: Situation) -> None:
    situation(wire)
    wire.client.connection.close()
    wire.settle()
    wire.client.flows()
    wire.later(wire.settings.timeouts.linger_s)  # a WebSocket is told, and may answer
    assert wire.client.transport.lost
    assert wire.gauge(telemetry.IN_FLIGHT) == 0


@pytest.mark.parametrize("situation", BUSY)
@pytest.mark.parametrize("how", ["ends", "vanishes"])
@playbook(cuts=("whole",))
def test_an_endpoint_that_goes_frees_everything(wire: Wire, situation: Situation, how: str) -> None:
    situation(wire)
    getattr(wire.endpoint(0), how)()
    wire.client.flows()
    if not (situation is tunnelling and how == "ends"):
        assert wire.endpoint(0).transport.lost


@playbook(cuts=("whole",))
def test_a_connection_made_for_a_client_that_left_serves_another(wire: Wire) -> None:
    connecting(wire)
    wire.client.vanishes()
    wire.answers_calls()
    wire.endpoint(0).got_nothing()
    other = wire.connects()
    other.sends(GET)
    assert wire.endpoint(0).request().target == b"/"
    assert len(wire.endpoints) == 1


@playbook(cuts=("whole",))
def test_a_request_cut_short_never_ends_whole(wire: Wire) -> None:
    wire.client.sends(ask(b"Transfer-Encoding: chunked", method=b"POST") + chunked(b"hello")[:-5])
    wire.client.ends()
    assert wire.endpoint(0).transport.lost
    assert not wire.endpoint(0).transport.arrived.endswith(b"0\r\n\r\n")
