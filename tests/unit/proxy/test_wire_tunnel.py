"""Tunnels: goodbye where frames meet, half-closes, silence, abrupt ends, slow readers."""

from collections.abc import Callable

import pytest

from proxy.exchange.placing import NO_HEAD
from proxy.exchange.tunnel import TRANSITIONS, Event, State, Tunnel
from proxy.observability import telemetry
from tests.support.frames import BINARY, CLOSE, CONTINUATION, MASK, PING, TEXT, frame, goodbye
from tests.support.messages import ask
from tests.support.wire import EndpointSide, Side, Wire, playbook

OFFER = ask(b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: x", target=b"/ws")
SWITCH = b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
GOING_AWAY = goodbye(1001, b"going away")
FROM_CLIENT = frame(TEXT, b"to the endpoint", mask=MASK)
FROM_ENDPOINT = frame(TEXT, b"to the client")
TCP = {"tunnels": {"upgrades": ["websocket", "tcp"]}}
LINGER_S = 5.0


def opened(wire: Wire, protocol: bytes = b"websocket") -> EndpointSide:
    wire.client.sends(OFFER.replace(b"websocket", protocol))
    endpoint = wire.endpoint(0)
    endpoint.request()
    endpoint.sends(SWITCH.replace(b"websocket", protocol))
    assert wire.client.answer().status == 101
    return endpoint


def end(wire: Wire) -> None:
    """As the worker does at the drain limit."""
    wire.client.connection.close()
    wire.settle()


def tunnel_of(wire: Wire) -> Tunnel:
    tunnel = wire.client.connection._tunnel
    assert tunnel is not None
    return tunnel


def got_goodbye(side: Side, *, code: int = 1001, reason: bytes = b"going away") -> None:
    """A Close frame with this code has come, masked as its direction needs, and nothing else."""
    if isinstance(side, EndpointSide):
        key = bytes(side.transport.arrived[2:6])
        side.got(goodbye(code, reason, mask=key))
    else:
        side.got(goodbye(code, reason))


def gone(wire: Wire) -> None:
    assert wire.client.transport.lost
    assert wire.endpoint(0).transport.lost
    assert wire.gauge(telemetry.TUNNELS) == 0
    assert not wire.client.aborted
    assert not wire.endpoint(0).aborted


# ── saying goodbye ────────────────────────────────────────────────────────────────────────────


@playbook()
def test_between_frames_both_are_told_at_once(wire: Wire) -> None:
    endpoint = opened(wire)
    wire.client.sends(FROM_CLIENT)
    endpoint.sends(FROM_ENDPOINT)
    wire.client.got(FROM_ENDPOINT)
    endpoint.got(FROM_CLIENT)
    end(wire)
    got_goodbye(wire.client)
    got_goodbye(endpoint)
    assert wire.client.open
    wire.client.sends(goodbye(1001, mask=MASK))
    assert endpoint.open, "it is given the time to answer too"
    endpoint.sends(goodbye(1001))
    gone(wire)
    wire.client.got_nothing()
    endpoint.got_nothing()


@pytest.mark.parametrize("size", [10, 126, 5_000, 70_000])
@pytest.mark.parametrize("direction", ["to the client", "to the endpoint"])
@playbook()
def test_within_a_frame_its_end_is_waited_for(wire: Wire, direction: str, size: int) -> None:
    endpoint = opened(wire)
    here, there, mask = (
        (endpoint, wire.client, b"")
        if direction == "to the client"
        else (wire.client, endpoint, MASK)
    )
    data = frame(BINARY, b"x" * size, mask=mask)
    here.sends(data[:1])
    end(wire)
    got_goodbye(here)  # the other direction stood between frames
    there.got(data[:1])
    here.sends(data[1:] + frame(TEXT, b"dropped", mask=mask))
    arrived = bytes(there.transport.arrived)
    assert arrived.startswith(data[1:])
    del there.transport.arrived[: len(data) - 1]
    got_goodbye(there)
    here.sends(goodbye(1000, mask=mask))
    there.sends(goodbye(1001, mask=b"" if mask else MASK))
    gone(wire)


@playbook()
def test_a_fragmented_message_is_interrupted_between_its_frames(wire: Wire) -> None:
    endpoint = opened(wire)
    first = frame(TEXT, b"one", fin=False)
    endpoint.sends(first)
    assert tunnel_of(wire).endpoint.frames.in_message  # type: ignore[union-attr]
    end(wire)
    wire.client.got(first + GOING_AWAY)
    endpoint.sends(frame(CONTINUATION, b"two", fin=False) + frame(PING) + frame(CONTINUATION))
    wire.client.got_nothing()


@playbook()
def test_a_peers_own_goodbye_is_not_doubled(wire: Wire) -> None:
    endpoint = opened(wire)
    own = goodbye(1000, b"done", mask=MASK)
    wire.client.sends(own + frame(TEXT, b"after it", mask=MASK))
    endpoint.got(own)
    end(wire)
    endpoint.got_nothing()
    got_goodbye(wire.client)
    endpoint.sends(goodbye(1000))
    wire.client.got_nothing()
    gone(wire)


@playbook()
def test_a_goodbye_that_is_under_way_is_let_end(wire: Wire) -> None:
    endpoint = opened(wire)
    own = goodbye(4000, b"on its way")
    endpoint.sends(own[:5])
    end(wire)
    endpoint.sends(own[5:])
    wire.client.got(own)
    wire.client.sends(goodbye(4000, mask=MASK))
    gone(wire)


@playbook()
def test_who_does_not_answer_is_waited_for_within_a_limit(wire: Wire) -> None:
    endpoint = opened(wire)
    end(wire)
    wire.later(LINGER_S - 1)
    wire.client.sends(FROM_CLIENT)
    endpoint.sends(FROM_ENDPOINT)
    assert wire.client.open
    assert endpoint.open
    wire.later(1)
    gone(wire)


@pytest.mark.parametrize("first", ["client", "endpoint"])
@playbook()
def test_who_ends_the_connection_has_answered(wire: Wire, first: str) -> None:
    endpoint = opened(wire)
    end(wire)
    ends = [wire.client, endpoint]
    here, there = ends if first == "client" else ends[::-1]
    here.ends()
    assert there.open
    there.sends(goodbye(1001, mask=MASK if there is wire.client else b""))
    gone(wire)


@playbook()
def test_an_endpoint_that_is_cut_does_not_cut_the_clients_answer(wire: Wire) -> None:
    endpoint = opened(wire)
    end(wire)
    got_goodbye(wire.client)
    endpoint.vanishes()
    assert not wire.client.transport.lost
    wire.client.sends(goodbye(1001, mask=MASK))
    assert wire.client.transport.lost


@playbook()
def test_for_a_client_that_is_cut_no_answer_is_waited_for(wire: Wire) -> None:
    endpoint = opened(wire)
    end(wire)
    wire.client.vanishes()
    got_goodbye(endpoint)
    assert endpoint.transport.lost


@playbook()
def test_who_has_ended_its_direction_is_not_written_over(wire: Wire) -> None:
    endpoint = opened(wire)
    wire.client.ends()
    assert endpoint.transport.ended
    end(wire)
    got_goodbye(wire.client)
    endpoint.got_nothing()
    endpoint.sends(goodbye(1001))
    gone(wire)


@pytest.mark.parametrize(
    "wrong",
    [b"\x83\x00", b"\x82\x7f\xff" + bytes(7), b"\x89\x7e\x01\x00", b"\x09\x00", b"\x81\x81key.x"],
    ids=["opcode", "length", "long ping", "ping in fragments", "masked"],
)
@playbook()
def test_without_frames_bytes_go_on_and_none_are_put_in(wire: Wire, wrong: bytes) -> None:
    endpoint = opened(wire)
    endpoint.sends(wrong + b"whatever")
    wire.client.got(wrong + b"whatever")
    end(wire)
    wire.client.got_nothing()
    got_goodbye(endpoint)
    endpoint.sends(b"more")
    wire.client.got(b"more")
    wire.later(LINGER_S)
    gone(wire)


@playbook()
def test_without_frames_in_both_directions_it_is_closed(wire: Wire) -> None:
    endpoint = opened(wire)
    wire.client.sends(b"\x83\x80")
    endpoint.sends(b"\x83\x00")
    end(wire)
    gone(wire)


@playbook(settings={"tunnels": {"close_code": 1012, "close_reason": ""}})
def test_the_code_is_a_setting(wire: Wire) -> None:
    opened(wire)
    end(wire)
    got_goodbye(wire.client, code=1012, reason=b"")


@playbook(settings=TCP)
def test_another_protocol_is_closed_plainly(wire: Wire) -> None:
    endpoint = opened(wire, b"tcp")
    closing_in_frames = goodbye(1000, mask=MASK)
    wire.client.sends(closing_in_frames + b"and on")
    endpoint.got(closing_in_frames + b"and on")
    end(wire)
    wire.client.got_nothing()
    gone(wire)


@playbook()
def test_another_protocol_is_not_offered_unless_configured(wire: Wire) -> None:
    wire.client.sends(OFFER.replace(b"websocket", b"tcp"))
    assert "Upgrade" not in wire.endpoint(0).request()


@playbook(settings=TCP)
def test_a_configured_protocol_may_be_asked_for_by_post_without_a_body(wire: Wire) -> None:
    wire.client.sends(
        ask(b"Connection: Upgrade", b"Upgrade: TCP", b"Content-Length: 0", method=b"POST")
    )
    assert wire.endpoint(0).request()["Upgrade"] == b"TCP"
    wire.endpoint(0).sends(SWITCH.replace(b"websocket", b"tcp"))
    assert wire.client.answer().status == 101


@playbook()
def test_goodbye_reaches_a_slow_reader_after_what_it_is_owed(wire: Wire) -> None:
    endpoint = opened(wire)
    data = frame(BINARY, b"x" * 200_000)
    wire.client.stalls()
    for begin in range(0, len(data), 50_000):
        endpoint.sends_at_once(data[begin : begin + 50_000])
    wire.settle()
    assert endpoint.paused
    end(wire)
    wire.client.flows()
    wire.client.got(data + GOING_AWAY)
    assert endpoint.reads


@playbook()
def test_after_goodbye_a_stalled_client_does_not_stop_the_reading(wire: Wire) -> None:
    """Or the endpoint's answer would never be seen."""
    endpoint = opened(wire)
    wire.client.stalls()
    data = frame(BINARY, b"x" * 100_000)
    endpoint.sends_at_once(data)
    wire.settle()
    assert endpoint.paused
    end(wire)
    assert endpoint.reads
    endpoint.sends(goodbye(1001))
    assert tunnel_of(wire).endpoint.is_done


# ── the closing handshake of the peers ────────────────────────────────────────────────────────


@pytest.mark.parametrize("first", ["client", "endpoint"])
@playbook()
def test_after_both_said_goodbye_the_connections_end_soon(wire: Wire, first: str) -> None:
    endpoint = opened(wire)
    ends = [wire.client, endpoint]
    here, there = ends if first == "client" else ends[::-1]
    for side, other in ((here, there), (there, here)):
        mask = MASK if side is wire.client else b""
        side.sends(goodbye(1000, mask=mask) + frame(TEXT, b"too late", mask=mask))
        other.got(goodbye(1000, mask=mask))
    assert wire.client.open
    assert endpoint.open, "the server ends the connection (RFC 6455 §7.1.1)"
    wire.later(LINGER_S)
    gone(wire)


@playbook()
def test_after_goodbye_the_server_ends_the_connection(wire: Wire) -> None:
    endpoint = opened(wire)
    wire.client.sends(goodbye(1000, mask=MASK))
    endpoint.sends(goodbye(1000))
    endpoint.ends()
    assert wire.client.transport.ended
    wire.client.ends()
    gone(wire)


@playbook()
def test_frames_that_come_with_the_switch_count(wire: Wire) -> None:
    wire.client.sends(OFFER + FROM_CLIENT[:4])
    endpoint = wire.endpoint(0)
    endpoint.request()
    endpoint.sends_at_once(SWITCH + FROM_ENDPOINT[:3])
    wire.settle()
    assert wire.client.answer().status == 101
    wire.client.got(FROM_ENDPOINT[:3])
    endpoint.got(FROM_CLIENT[:4])
    end(wire)
    endpoint.sends(FROM_ENDPOINT[3:])
    wire.client.sends(FROM_CLIENT[4:])
    wire.client.got(FROM_ENDPOINT[3:] + GOING_AWAY)
    assert bytes(endpoint.transport.arrived).startswith(FROM_CLIENT[4:] + b"\x88\x8c")


# ── silence, slow readers, large frames ───────────────────────────────────────────────────────


@playbook()
def test_bytes_in_either_direction_are_no_silence(wire: Wire) -> None:
    endpoint = opened(wire)
    idle = wire.settings.timeouts.tunnel_idle_s
    for side, data in ((wire.client, FROM_CLIENT), (endpoint, FROM_ENDPOINT)) * 2:
        wire.later(idle - 1)
        side.sends(data)
    wire.later(idle - 1)
    assert wire.client.open
    wire.later(1)
    gone(wire)


@playbook()
def test_who_takes_no_bytes_at_the_end_is_cut(wire: Wire) -> None:
    endpoint = opened(wire)
    wire.client.stalls()
    endpoint.sends_at_once(frame(BINARY, b"x" * 100_000))
    wire.settle()
    wire.later(wire.settings.timeouts.tunnel_idle_s)
    assert [endpoint.transport.lost, wire.client.transport.lost] == [True, False]
    wire.later(LINGER_S)
    assert [wire.client.transport.lost, wire.client.aborted] == [True, True]


@pytest.mark.parametrize("slow", ["client", "endpoint"])
@playbook(cuts=("whole",))
def test_a_frame_of_a_hundred_megabytes_is_held_only_in_part(wire: Wire, slow: str) -> None:
    endpoint = opened(wire)
    ends = [wire.client, endpoint]
    here, there = ends[::-1] if slow == "client" else ends
    mask = MASK if here is wire.client else b""
    size, piece = 100_000_000, b"x" * 65_536
    here.sends_at_once(frame(BINARY, b"", mask=mask)[:1] + bytes((127 | (0x80 if mask else 0),)))
    here.sends_at_once(size.to_bytes(8) + mask)
    left, most = size, 0
    there.stalls()
    while left:
        while left and not here.paused:
            here.sends_at_once(piece[:left])
            left -= min(left, len(piece))
            wire.settle()
        most = max(most, there.unflushed)
        there.flows()
        there.transport.arrived.clear()
        if left:
            there.stalls()
    assert most < 200_000
    assert getattr(tunnel_of(wire), "client" if mask else "endpoint").frames.at_boundary


# ── the table, and what is let go ─────────────────────────────────────────────────────────────


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("state", State)
@playbook(cuts=("whole",))
def test_the_table_is_the_life_of_a_tunnel(wire: Wire, state: State, event: Event) -> None:
    opened(wire)
    tunnel = tunnel_of(wire)
    tunnel.state = int(state)
    if (state, event) in TRANSITIONS:
        tunnel._advance(int(event))
        assert tunnel.state == TRANSITIONS[state, event]
    else:
        with pytest.raises(RuntimeError, match=state.name):
            tunnel._advance(int(event))
    tunnel.state = int(State.OPEN)


@playbook(cuts=("whole",))
def test_an_open_tunnel_keeps_nothing_of_its_request(wire: Wire) -> None:
    endpoint = opened(wire)
    assert endpoint.transport.get_protocol() is tunnel_of(wire).endpoint
    assert wire.client.transport.get_protocol() is tunnel_of(wire).client
    assert wire.client.connection._unread == b""
    assert wire.exchanges[0]._request_bytes == b""
    assert wire.exchanges[0]._head is NO_HEAD


PLAYED: dict[str, Callable[[Wire], None]] = {
    "client vanishes": lambda wire: wire.client.vanishes(),
    "endpoint vanishes": lambda wire: wire.endpoint(0).vanishes(),
    "client ends": lambda wire: wire.client.ends(),
    "endpoint ends": lambda wire: wire.endpoint(0).ends(),
    "goodbye": end,
    "client closes": lambda wire: wire.client.sends(goodbye(1000, mask=MASK)),
    "endpoint closes": lambda wire: wire.endpoint(0).sends(goodbye(1000)),
    "client sends": lambda wire: wire.client.sends(frame(CLOSE, b"x", mask=MASK)[:4]),
    "time passes": lambda wire: wire.later(LINGER_S),
    "client stalls": lambda wire: wire.client.stalls(),
    "endpoint sends much": lambda wire: wire.endpoint(0).sends_at_once(b"\x82\x7f" + bytes(99_999)),
}


@pytest.mark.parametrize("first", PLAYED)
@pytest.mark.parametrize("second", PLAYED)
@pytest.mark.parametrize("third", ["goodbye", "time passes", "client vanishes", "endpoint ends"])
@playbook(cuts=("whole",))
def test_nothing_is_left_whatever_happens(wire: Wire, first: str, second: str, third: str) -> None:
    opened(wire)
    for step in (first, second, third):
        if not (wire.client.transport.lost or wire.endpoint(0).transport.lost):
            PLAYED[step](wire)
            wire.settle()
    wire.later(LINGER_S)
    wire.later(wire.settings.timeouts.tunnel_idle_s)
    wire.later(LINGER_S)
    wire.later(LINGER_S)
    assert wire.client.transport.lost
    assert wire.endpoint(0).transport.lost
    assert wire.gauge(telemetry.TUNNELS) == 0
