"""Upgrades: a tunnel only after a 101 that was asked for; all else goes on as HTTP/1.1."""

import pytest

from proxy.observability import telemetry
from tests.support.messages import ask, chunked
from tests.support.wire import Wire, playbook

WEBSOCKET = (
    b"Connection: keep-alive, Upgrade",
    b"Upgrade: websocket",
    b"Sec-WebSocket-Key: x",
    b"Sec-WebSocket-Version: 13",
)
OFFER = ask(*WEBSOCKET, target=b"/ws")
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: upgrade\r\n"
    b"Sec-WebSocket-Accept: y\r\n\r\n"
)
H2C = (
    b"Connection: Upgrade, HTTP2-Settings",
    b"Upgrade: h2c",
    b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA",
)


def opened(wire: Wire) -> None:
    """A tunnel stands between the client and endpoint 0."""
    wire.client.sends(OFFER)
    wire.endpoint(0).request()
    wire.endpoint(0).sends(SWITCH)
    assert wire.client.answer().status == 101


@playbook()
def test_the_offer_and_the_switch_are_relayed(wire: Wire) -> None:
    wire.client.sends(OFFER)
    offer = wire.endpoint(0).request()
    assert (offer["Connection"], offer["Upgrade"]) == (b"Upgrade", b"websocket")
    assert offer["Sec-WebSocket-Key"] == b"x"
    wire.endpoint(0).sends(SWITCH)
    switch = wire.client.answer()
    assert switch["Connection"].lower() == b"upgrade"
    assert switch["Upgrade"].lower() == b"websocket"
    assert switch["Sec-WebSocket-Accept"] == b"y"
    assert switch["X-Turnout-Slot"] == b"blue"
    assert wire.gauge(telemetry.TUNNELS) == 1
    assert wire.gauge(telemetry.TUNNELS_OPENED) == 1


@playbook()
def test_a_tunnel_relays_bytes_both_ways(wire: Wire) -> None:
    opened(wire)
    frames = bytes(range(256)) * 4 + b"GET / HTTP/1.1\r\n\r\n"
    wire.client.sends(frames)
    wire.endpoint(0).got(frames)
    wire.endpoint(0).sends(frames[::-1])
    wire.client.got(frames[::-1])


@playbook()
def test_bytes_that_come_before_and_with_the_switch_are_relayed(wire: Wire) -> None:
    wire.client.sends(OFFER + b"\x81\x00early")
    wire.endpoint(0).request()
    wire.endpoint(0).got_nothing()
    wire.client.sends(b"more")
    wire.endpoint(0).sends(SWITCH + b"\x81\x05hello")
    assert wire.client.answer().status == 101
    wire.client.got(b"\x81\x05hello")
    wire.endpoint(0).got(b"\x81\x00earlymore")


@pytest.mark.parametrize("first", ["client", "endpoint"])
@playbook()
def test_one_direction_ends_and_the_other_goes_on(wire: Wire, first: str) -> None:
    opened(wire)
    ends = [wire.client, wire.endpoint(0)]
    here, there = ends if first == "client" else ends[::-1]
    here.sends(b"last words")
    here.ends()
    there.got(b"last words")
    assert there.closed
    there.sends(b"answer")
    here.got(b"answer")
    there.ends()
    assert wire.client.transport.lost
    assert wire.endpoint(0).transport.lost
    assert wire.gauge(telemetry.TUNNELS) == 0


@pytest.mark.parametrize("first", ["client", "endpoint"])
@playbook()
def test_a_side_that_is_cut_takes_the_other_along(wire: Wire, first: str) -> None:
    opened(wire)
    ends = [wire.client, wire.endpoint(0)]
    here, there = ends if first == "client" else ends[::-1]
    here.sends(b"last words")
    here.vanishes()
    there.got(b"last words")
    assert there.closed
    if there is wire.client:
        # It may be sending: a reset could overtake what it has not read yet.
        there.sends(b"too late")
        assert not there.transport.lost
        there.ends()
    assert there.transport.lost


@playbook()
def test_a_client_that_goes_on_after_the_endpoint_is_cut_off_in_time(wire: Wire) -> None:
    opened(wire)
    wire.endpoint(0).vanishes()
    assert wire.client.transport.ended
    wire.later(wire.settings.timeouts.linger_s - 1)
    wire.client.sends(b"too late")
    assert not wire.client.transport.lost
    wire.later(1)
    assert wire.client.transport.lost


@playbook()
def test_a_tunnel_takes_no_faster_than_the_other_side_reads(wire: Wire) -> None:
    opened(wire)
    for here, there in ((wire.client, wire.endpoint(0)), (wire.endpoint(0), wire.client)):
        there.stalls()
        for _ in range(20):
            here.sends_at_once(b"x" * 10_000)
        wire.settle()
        assert here.paused
        assert there.unflushed < 100_000
        there.flows()
        there.got(b"x" * 200_000)
        assert here.reads


@playbook()
def test_a_silent_tunnel_is_closed_after_its_time(wire: Wire) -> None:
    opened(wire)
    wire.later(3_000)
    wire.endpoint(0).sends(b"ping")
    wire.later(3_000)
    assert wire.client.open
    wire.later(700)
    assert wire.client.transport.lost
    assert wire.endpoint(0).transport.lost


@pytest.mark.parametrize("status", [b"200 OK", b"426 Upgrade Required", b"403 Forbidden"])
@playbook()
def test_a_refused_switch_leaves_an_http_connection(wire: Wire, status: bytes) -> None:
    wire.client.sends(OFFER + ask(target=b"/2"))
    wire.endpoint(0).request()
    wire.endpoint(0).answers(b"no", status)
    answer = wire.client.answer()
    assert answer.line == b"HTTP/1.1 " + status
    assert answer.body == b"no"
    assert wire.endpoint(0).request().target == b"/2"
    wire.endpoint(0).answers()
    assert wire.client.answer().body == b"ok"
    wire.client.sends(ask(target=b"/3"))
    assert wire.endpoint(0).request().target == b"/3"


@pytest.mark.parametrize(
    "fields",
    [
        H2C,
        (b"Connection: Upgrade", b"Upgrade: TLS/1.0"),
        (b"Connection: Upgrade", b"Upgrade: websocket, h2c"),
        (b"Upgrade: websocket",),
        (b"Connection: Upgrade",),
    ],
)
@playbook()
def test_other_offers_are_answered_as_plain_http(wire: Wire, fields: tuple[bytes, ...]) -> None:
    wire.client.sends(ask(*fields) + ask(target=b"/2"))
    request = wire.endpoint(0).request()
    for name in ("Upgrade", "Connection", "HTTP2-Settings"):
        assert name not in request
    wire.endpoint(0).answers()
    assert wire.client.answer().body == b"ok"
    assert wire.endpoint(0).request().target == b"/2"


@playbook()
def test_an_h2c_offer_with_a_body_is_answered_as_plain_http(wire: Wire) -> None:
    length = b"Content-Length: 16"
    wire.client.sends(ask(*H2C, length, method=b"POST") + b"GET /x HTTP/1.1\n" + ask(target=b"/2"))
    assert wire.endpoint(0).request().body == b"GET /x HTTP/1.1\n"
    wire.endpoint(0).got_nothing()
    wire.endpoint(0).answers()
    wire.client.answer()
    assert wire.endpoint(0).request().target == b"/2"


@playbook()
def test_an_h2c_offer_with_a_chunked_body_lets_nothing_through(wire: Wire) -> None:
    body = chunked(ask(target=b"/hidden"))
    wire.client.sends(ask(*H2C, b"Transfer-Encoding: chunked", method=b"POST") + body)
    if wire.endpoints:
        assert wire.endpoint(0).request().body == ask(target=b"/hidden")
        wire.endpoint(0).got_nothing()
    else:
        wire.client.refused(400)


@pytest.mark.parametrize(
    "asked",
    [
        ask(),
        ask(*H2C),
        ask(b"Upgrade: websocket"),
        ask(*WEBSOCKET, b"Content-Length: 0", method=b"POST"),
    ],
)
@playbook()
def test_a_switch_that_was_not_asked_for_is_502(wire: Wire, asked: bytes) -> None:
    wire.client.sends(asked)
    wire.endpoint(0).sends(SWITCH + b"bytes")
    wire.client.refused(502, closes=False)
    assert wire.endpoint(0).closed
    assert wire.gauge(telemetry.TUNNELS_OPENED) == 0


@playbook()
def test_a_switch_to_another_protocol_than_asked_is_502(wire: Wire) -> None:
    wire.client.sends(OFFER)
    wire.endpoint(0).sends(SWITCH.replace(b"WebSocket", b"h2c"))
    assert wire.client.answer().status == 502
    assert wire.endpoint(0).closed


@pytest.mark.parametrize("how", ["ends", "vanishes"])
@playbook()
def test_an_endpoint_that_goes_before_the_switch_is_502(wire: Wire, how: str) -> None:
    wire.client.sends(OFFER + b"early")
    getattr(wire.endpoint(0), how)()
    assert wire.client.answer().status == 502
