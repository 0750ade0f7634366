"""Corners where a proxy goes wrong, most of which this one once did: a pipeline out of order, a
body for the wrong request, a connection given on in a bad state, memory without a bound.
"""

import base64

from proxy.observability import telemetry
from tests.support.wire import Wire, playbook

WS = (
    b"GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Accept: x\r\n\r\n"
)
GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
CHUNKED_POST = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
TOKENS = {"algorithms": ["HS256"], "key": "k" * 32, "issuer": "i", "audiences": ["a"]}


@playbook(cuts=("whole",))
def test_a_third_request_never_overtakes_the_second(wire: Wire) -> None:
    wire.client.sends(b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n")
    assert wire.endpoint(0).request().target == b"/1"
    wire.endpoint(0).sends_at_once(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1")
    wire.client.sends_at_once(b"GET /3 HTTP/1.1\r\nHost: h\r\n\r\n")
    wire.settle()
    assert wire.endpoint(0).request().target == b"/2"


@playbook(cuts=("whole",))
def test_the_end_of_a_body_does_not_count_as_head(wire: Wire) -> None:
    wire.client.sends(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n")
    wire.client.sends(b"x" * 60000 + b"GET /2 HTTP/1.1\r\nHo")
    wire.client.sends(b"st: h\r\n\r\n")
    wire.endpoint(0).request()
    wire.endpoint(0).answers()
    wire.client.answer()
    assert wire.endpoint(0).request().target == b"/2"


@playbook()
def test_what_came_before_garbage_is_answered(wire: Wire) -> None:
    wire.client.sends(
        b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHost: h\r\n\r\n\x00\x01garbage\r\n\r\n"
    )
    wire.endpoint(0).request()
    wire.endpoint(0).answers()
    wire.client.answer()
    assert wire.endpoint(0).request().target == b"/2"
    wire.endpoint(0).answers()
    wire.client.answer()
    assert wire.client.answer().status == 400


@playbook(cuts=("whole",))
def test_a_client_that_half_closes_still_gets_its_answer(wire: Wire) -> None:
    wire.client.sends(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    wire.client.ends()
    wire.endpoint(0).answers(b"hello")
    assert wire.client.answer().body == b"hello"


@playbook(cuts=("whole",))
def test_a_client_that_sends_too_much_and_half_closes_still_gets_its_answer(wire: Wire) -> None:
    wire.client.sends(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET")
    wire.client.ends()
    wire.endpoint(0).answers(b"hello")
    assert wire.client.answer().body == b"hello"


@playbook(cuts=("whole",))
def test_a_slow_pipelined_head_is_408_in_time(wire: Wire) -> None:
    wire.client.sends(b"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /2 HTTP/1.1\r\nHo")
    wire.endpoint(0).answers()
    wire.client.answer()
    wire.later(11)
    assert wire.client.answer().status == 408


@playbook(cuts=("whole",))
def test_a_connection_whose_request_was_cut_off_is_not_used_again(wire: Wire) -> None:
    wire.client.sends(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n12345")
    wire.endpoint(0).sends(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
    wire.client.sends(b"67890")
    wire.endpoint(0).sends(b"cd")
    assert wire.endpoint(0).closed


@playbook(cuts=("whole",))
def test_a_connection_goes_back_to_the_pool_reading(wire: Wire) -> None:
    wire.client.stalls()
    wire.client.sends(GET)
    wire.endpoint(0).answers(b"x" * 100_000)
    other = wire.connects()
    other.sends(GET)
    wire.endpoints[-1].answers(b"hello")
    assert other.answer().body == b"hello"


@playbook(cuts=("whole",))
def test_a_post_is_not_given_a_connection_that_is_closing(wire: Wire) -> None:
    wire.client.sends(b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\n")
    wire.endpoint(0).request()
    wire.endpoint(0).answers()
    wire.client.answer()
    wire.endpoint(0).sends_at_once(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    wire.client.sends_at_once(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
    wire.settle()
    wire.endpoints[-1].answers()
    assert wire.client.answer().status == 200


@playbook(cuts=("whole",))
def test_an_endpoint_name_that_cannot_be_looked_up_is_502(wire: Wire) -> None:
    wire.refuses("10.0.1.0", UnicodeError("label empty or too long"))
    wire.client.sends(GET)
    wire.later(4)
    assert wire.client.answer().status == 502


@playbook(cuts=("whole",))
def test_a_request_begun_at_the_end_of_keep_alive_is_not_timed_out(wire: Wire) -> None:
    wire.client.sends(b"GET /1 HTTP/1.1\r\nHost: h\r\n\r\n")
    wire.endpoint(0).request()
    wire.endpoint(0).answers()
    wire.client.answer()
    wire.endpoint(0).ends()
    wire.later(74.9)
    wire.hangs("10.0.1.0")
    wire.client.sends(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\n")
    wire.later(0.2)
    wire.client.got_nothing()
    assert not wire.client.closed


@playbook(cuts=("whole",))
def test_answers_to_a_client_that_does_not_read_stay_bounded(wire: Wire) -> None:
    wire.client.stalls()
    for _ in range(20):
        wire.client.sends(GET)
    for _ in range(20):
        last = wire.endpoints[-1]
        if last.transport.arrived:
            last.transport.arrived.clear()
            last.sends(
                b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 60000\r\n\r\n"
                + b"x" * 60_000
            )
    assert wire.client.unflushed < 200_000


@playbook(cuts=("whole",))
def test_a_pipelined_body_is_not_gathered(wire: Wire) -> None:
    wire.client.sends(b"GET /slow HTTP/1.1\r\nHost: h\r\n\r\n" + CHUNKED_POST)
    for _ in range(20):
        wire.client.sends(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
    assert wire.client.paused


@playbook(cuts=("whole",))
def test_trailers_are_bounded(wire: Wire) -> None:
    wire.client.sends(CHUNKED_POST + b"1\r\nx\r\n0\r\nX: ")
    for _ in range(20):
        wire.client.sends(b"y" * 10000)
    assert wire.client.answer().status in {400, 431}


@playbook(cuts=("whole",))
def test_chunk_extensions_are_bounded(wire: Wire) -> None:
    wire.client.sends(CHUNKED_POST + b"1;a=")
    for _ in range(20):
        wire.client.sends(b"y" * 10000)
    assert wire.client.answer().status in {400, 431}


@playbook()
def test_a_head_over_the_limit_is_431(wire: Wire) -> None:
    fields = b"".join(b"X-%d: %b\r\n" % (n, b"y" * 1000) for n in range(40))
    wire.client.sends(b"GET / HTTP/1.1\r\nHost: h\r\n" + fields + b"\r\n")
    assert wire.client.answer().status == 431


@playbook(cuts=("whole",))
def test_fields_of_every_kind_count(wire: Wire) -> None:
    wire.client.sends(b"GET / HTTP/1.1\r\nHost: h\r\n" + b"X-Forwarded-For: a\r\n" * 120 + b"\r\n")
    assert wire.client.answer().status == 431


@playbook()
def test_garbage_behind_a_refused_request_raises_nothing(wire: Wire) -> None:
    wire.client.sends(b"POST / HTTP/1.1\r\nHost: h\r\nHost: g\r\n\r\nhello\r\n")
    assert wire.client.answer().status == 400
    wire.client.got_nothing()


@playbook()
def test_the_body_of_an_unknown_coding_raises_nothing(wire: Wire) -> None:
    wire.client.sends(
        b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\n\r\n1\r\nx\r\n0\r\n\r\n"
    )
    assert wire.client.answer().status == 501
    wire.client.got_nothing()


@playbook(cuts=("whole",))
def test_absolute_form_does_not_excuse_two_hosts(wire: Wire) -> None:
    wire.client.sends(b"GET http://a/ HTTP/1.1\r\nHost: h\r\nHost: g\r\n\r\n")
    assert wire.client.answer().status == 400


@playbook(cuts=("whole",))
def test_absolute_form_of_http_10_needs_a_valid_authority(wire: Wire) -> None:
    wire.client.sends(b'GET http://a"b<c>/ HTTP/1.0\r\n\r\n')
    assert wire.client.answer().status == 400


@playbook(cuts=("whole",), trusted=True)
def test_a_trusted_forwarded_host_stands_once(wire: Wire) -> None:
    wire.client.sends(b"GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-Host: orig\r\n\r\n")
    assert wire.endpoint(0).request()["X-Forwarded-Host"] == b"orig"


@playbook(cuts=("whole",))
def test_an_interim_answer_has_no_body(wire: Wire) -> None:
    wire.client.sends(GET)
    wire.endpoint(0).sends(
        b"HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\nhello"
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
    )
    if wire.client.transport.arrived.startswith(b"HTTP/1.1 103"):
        wire.client.answer()
    assert wire.client.answer().status == 502


@playbook(cuts=("whole",))
def test_interim_answers_are_capped(wire: Wire) -> None:
    wire.client.sends(GET)
    for _ in range(1000):
        wire.endpoint(0).sends(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
    assert wire.endpoint(0).closed


@playbook(cuts=("whole",))
def test_a_status_outside_100_to_599_is_502(wire: Wire) -> None:
    wire.client.sends(GET)
    wire.endpoint(0).sends(b"HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n")
    assert wire.client.answer().status == 502


@playbook(cuts=("whole",))
def test_a_status_below_100_is_502(wire: Wire) -> None:
    wire.client.sends(GET)
    wire.endpoint(0).sends(b"HTTP/1.1 099 What\r\nContent-Length: 0\r\n\r\n")
    assert wire.client.answer().status == 502


@playbook(cuts=("whole",))
def test_an_answers_head_over_the_limit_is_502(wire: Wire) -> None:
    wire.client.sends(GET)
    wire.endpoint(0).sends(b"HTTP/1.1 200 OK\r\nX: ")
    for _ in range(20):
        wire.endpoint(0).sends(b"y" * 10000)
    assert wire.client.answer().status == 502


@playbook(cuts=("whole",))
def test_101_without_an_upgrade_field_is_502(wire: Wire) -> None:
    wire.client.sends(GET)
    wire.endpoint(0).sends(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
    assert wire.client.answer().status == 502


@playbook(cuts=("whole",))
def test_upgrade_required_keeps_its_upgrade_field(wire: Wire) -> None:
    wire.client.sends(WS)
    wire.endpoint(0).sends(
        b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: upgrade\r\nContent-Length: 0\r\n\r\n"
    )
    assert wire.client.answer()["Upgrade"] == b"websocket"


@playbook(cuts=("whole",))
def test_a_tunnel_ends_when_both_directions_have_ended(wire: Wire) -> None:
    wire.client.sends(WS)
    wire.endpoint(0).request()
    wire.endpoint(0).sends(SWITCH)
    wire.client.answer()
    wire.endpoint(0).ends()
    wire.client.ends()
    assert wire.client.transport.lost
    assert wire.endpoint(0).transport.lost


@playbook(cuts=("whole",))
def test_a_tunnel_whose_client_reads_no_more_ends_at_the_deadline(wire: Wire) -> None:
    wire.client.sends(WS)
    wire.endpoint(0).sends(SWITCH)
    wire.client.stalls()
    wire.endpoint(0).sends(b"x" * 1000)
    wire.endpoint(0).vanishes()
    for _ in range(3):
        wire.later(3601)
    assert wire.client.transport.lost


@playbook(cuts=("whole",))
def test_304_with_a_length_ends_with_its_head(wire: Wire) -> None:
    wire.client.sends(GET)
    wire.endpoint(0).sends(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n")
    assert wire.client.answer().status == 304
    wire.client.sends(b"GET /2 HTTP/1.1\r\nHost: h\r\n\r\n")
    assert wire.endpoints[-1].transport.arrived.count(b"GET /2 ") == 1


@playbook(cuts=("whole",))
def test_204_with_chunked_ends_with_its_head(wire: Wire) -> None:
    wire.client.sends(GET)
    wire.endpoint(0).sends(b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert wire.client.answer().status in {204, 502}
    assert wire.gauge(telemetry.IN_FLIGHT) == 0


@playbook(cuts=("whole",), settings={"identity": {"jwt": TOKENS}})
def test_a_deep_token_is_401(wire: Wire) -> None:
    deep = base64.urlsafe_b64encode(b"[" * 3000).rstrip(b"=")
    wire.client.sends(
        b"GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer " + deep + b".e30.AA\r\n\r\n"
    )
    assert wire.client.answer().status == 401


@playbook(cuts=("whole",))
def test_a_client_that_asks_on_without_reading_waits_its_turn(wire: Wire) -> None:
    wire.client.stalls()
    answer = (
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 60000\r\n\r\n" + b"x" * 60_000
    )
    for _ in range(20):
        wire.client.sends(GET)
        if wire.endpoints[-1].transport.arrived:
            wire.endpoints[-1].request()
            wire.endpoints[-1].sends(answer)
    assert wire.client.unflushed < 200_000
    wire.client.flows()
    while wire.endpoints[-1].transport.arrived:
        wire.endpoints[-1].request()
        wire.endpoints[-1].sends(answer)
    assert [len(wire.client.answer().body) for _ in range(20)] == [60_000] * 20


@playbook(cuts=("whole",))
def test_an_empty_chunked_body_that_was_refused_leaves_nothing_for_the_next(wire: Wire) -> None:
    wire.refuses("10.0.1.0")
    wire.client.sends(CHUNKED_POST + b"0\r\n\r\n")
    assert wire.client.answer().status == 502
    wire._refusals.clear()
    wire.client.sends(GET)
    assert wire.endpoints[-1].request().target == b"/"
    wire.endpoints[-1].got_nothing()
