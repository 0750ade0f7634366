"""The endpoint's answers: relayed whole, never made to look whole, never given to another."""

import pytest

from proxy.observability import telemetry
from tests.support.messages import ask, chunked, post
from tests.support.wire import Wire, playbook

GET = ask()
GET_10 = b"GET / HTTP/1.0\r\nHost: h\r\n\r\n"
GET_10_KEPT = b"GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@playbook()
def test_an_answer_with_a_length_is_relayed(wire: Wire) -> None:
    wire.client.sends(GET)
    wire.endpoint(0).sends(b"HTTP/1.1 201 Very Well\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello")
    answer = wire.client.answer()
    assert answer.line == b"HTTP/1.1 201 Very Well"
    assert (answer.body, answer["X-A"], answer["X-Turnout-Slot"]) == (b"hello", b"b", b"blue")
    wire.client.got_nothing()
    assert wire.client.open


@playbook()
def test_a_chunked_answer_is_chunked_anew(wire: Wire) -> None:
    wire.client.sends(GET)
    wire.endpoint(0).sends(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n"
        b"5;x=y\r\nhello\r\n006\r\n world\r\n0\r\nX-T: t\r\nContent-Type: evil\r\n\r\n"
    )
    answer = wire.client.answer()
    assert answer.body == b"hello world"
    assert "Trailer" not in answer
    wire.client.got_nothing()
    wire.client.sends(GET)
    wire.endpoint(0).sends(OK)
    assert "Content-Type" not in wire.client.answer()


@playbook()
def test_an_answer_until_the_close_becomes_chunked(wire: Wire) -> None:
    wire.client.sends(GET)
    wire.endpoint(0).sends(b"HTTP/1.1 200 OK\r\n\r\nhello")
    assert b"0\r\n\r\n" not in wire.client.transport.arrived
    wire.endpoint(0).ends()
    answer = wire.client.answer()
    assert answer.body == b"hello"
    assert answer.chunks is not None
    assert wire.client.open
    wire.client.sends(GET)
    wire.endpoint(1).sends(OK)
    assert wire.client.answer().body == b"ok"


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n"])
@pytest.mark.parametrize("ask_10", [GET_10, GET_10_KEPT])
@playbook()
def test_an_http_10_client_gets_it_until_the_close(wire: Wire, ask_10: bytes, head: bytes) -> None:
    wire.client.sends(ask_10)
    wire.endpoint(0).sends(head + b"hello")
    wire.endpoint(0).ends()
    assert wire.client.closed
    answer = wire.client.answer()
    assert answer.body == b"hello"
    assert "Transfer-Encoding" not in answer
    assert answer["Connection"] == b"close"


@playbook()
def test_an_http_10_client_gets_chunks_without_their_frames(wire: Wire) -> None:
    wire.client.sends(GET_10_KEPT)
    wire.endpoint(0).sends(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"hello", b" world")
    )
    assert wire.client.closed
    assert wire.client.answer().body == b"hello world"


@playbook()
def test_an_http_10_client_is_closed_unless_it_asks(wire: Wire) -> None:
    wire.client.sends(GET_10)
    wire.endpoint(0).sends(OK)
    assert wire.client.answer()["Connection"] == b"close"
    assert wire.client.closed


@playbook()
def test_an_http_10_client_that_asks_is_kept(wire: Wire) -> None:
    for _ in range(2):
        wire.client.sends(GET_10_KEPT)
        assert wire.endpoint(0).request().line == b"GET / HTTP/1.1"
        wire.endpoint(0).sends(OK)
        assert wire.client.answer()["Connection"] == b"keep-alive"
        assert wire.client.open


@playbook()
def test_a_client_that_asks_for_the_close_gets_it(wire: Wire) -> None:
    wire.client.sends(ask(b"Connection: close"))
    assert "Connection" not in wire.endpoint(0).request()
    wire.endpoint(0).sends(OK)
    assert wire.client.answer()["Connection"] == b"close"
    assert wire.client.closed
    wire.connects().sends(GET)
    assert wire.endpoint(0).request().target == b"/"


@pytest.mark.parametrize(
    ("method", "head"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        (b"HEAD", b"HTTP/1.1 200 OK\r\n\r\n"),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\n\r\n"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\n\r\n"),
        (b"GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ],
)
@playbook()
def test_an_answer_without_a_body_ends_with_its_head(
    wire: Wire, method: bytes, head: bytes
) -> None:
    wire.client.sends(ask(method=method))
    wire.endpoint(0).request()
    wire.endpoint(0).sends(head)
    answer = wire.client.answer(method)
    assert answer.line == head[: head.index(b"\r\n")]
    assert answer.all("Content-Length") == (
        [b"500"] if b"500" in head else answer.all("Content-Length")
    )
    assert wire.client.open
    wire.client.sends(ask(target=b"/next"))
    assert wire.endpoints[-1].request().target == b"/next"
    wire.endpoints[-1].sends(OK)
    assert wire.client.answer().body == b"ok"


@playbook()
def test_local_replies_to_head_have_no_body(wire: Wire) -> None:
    wire.refuses("10.0.1.0")
    wire.client.sends(ask(method=b"HEAD"))
    answer = wire.client.answer(b"HEAD")
    assert answer.status == 502
    wire.client.got_nothing()


@playbook()
def test_early_hints_are_passed_on_to_http_11(wire: Wire) -> None:
    wire.client.sends(GET)
    wire.endpoint(0).sends(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 2)
    wire.endpoint(0).sends(OK)
    assert [wire.client.answer().status for _ in range(3)] == [103, 103, 200]


@playbook()
def test_early_hints_are_kept_from_http_10(wire: Wire) -> None:
    wire.client.sends(GET_10)
    wire.endpoint(0).sends(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK)
    assert wire.client.answer().status == 200


@pytest.mark.parametrize(
    "answer",
    [
        b"garbage\r\n\r\n",
        b"HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: b\x00c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: b\rc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: b\r\n folded\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A : b\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 101 + b"\r\n",
    ],
)
@playbook()
def test_an_answer_out_of_form_is_502(wire: Wire, answer: bytes) -> None:
    wire.client.sends(GET)
    wire.endpoint(0).sends(answer)
    wire.client.refused(502, closes=False)
    assert wire.endpoint(0).closed
    wire.client.sends(GET)
    wire.endpoint(1).sends(OK)
    assert wire.client.answer().body == b"ok"


@pytest.mark.parametrize(
    "part",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ],
)
@pytest.mark.parametrize("how", ["ends", "vanishes"])
@playbook()
def test_an_answer_cut_short_is_seen_to_be(wire: Wire, part: bytes, how: str) -> None:
    wire.client.sends(GET)
    wire.endpoint(0).sends(part)
    getattr(wire.endpoint(0), how)()
    assert wire.client.aborted
    values = wire.block.groups[telemetry.group_of(0, telemetry.REST)].values
    assert (values[telemetry.ABORTED], values[telemetry.ANSWERS_BROKEN]) == (1, 1)
    assert not wire.client.transport.arrived.endswith(b"0\r\n\r\n")


@playbook()
def test_an_answer_until_the_close_that_is_reset_is_seen_to_be(wire: Wire) -> None:
    wire.client.sends(GET)
    wire.endpoint(0).sends(b"HTTP/1.1 200 OK\r\n\r\nhello")
    wire.endpoint(0).vanishes()
    assert wire.client.aborted
    assert not wire.client.transport.arrived.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("how", ["ends", "vanishes"])
@playbook()
def test_an_http_10_client_is_reset_when_its_answer_is_cut_short(wire: Wire, how: str) -> None:
    """Its answer ends with the connection: a plain end of file would make the part look whole."""
    wire.client.sends(GET_10)
    wire.endpoint(0).sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    getattr(wire.endpoint(0), how)()
    assert wire.client.aborted
    assert wire.client.transport.resets


@pytest.mark.parametrize("chunk", [b"x\r\n", b"5\nhello\r\n", b"5\r\nhello!\r\n"])
@playbook()
def test_a_bad_chunk_within_an_answer_is_seen_to_be(wire: Wire, chunk: bytes) -> None:
    wire.client.sends(GET)
    wire.endpoint(0).sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    wire.endpoint(0).sends(chunk)
    assert wire.client.aborted
    assert wire.endpoint(0).closed
    assert not wire.client.transport.arrived.endswith(b"0\r\n\r\n")


@playbook()
def test_an_early_answer_is_relayed_at_once_and_both_are_closed_after(wire: Wire) -> None:
    wire.client.sends(ask(b"Content-Length: 10", method=b"POST") + b"hello")
    wire.endpoint(0).sends(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\n")
    assert wire.client.transport.arrived.startswith(b"HTTP/1.1 403 ")
    wire.endpoint(0).sends(b"no")
    answer = wire.client.answer()
    assert (answer.status, answer.body, answer["Connection"]) == (403, b"no", b"close")
    assert wire.client.closed
    assert wire.endpoint(0).closed


@playbook()
def test_what_comes_after_an_early_answer_is_not_passed_on(wire: Wire) -> None:
    wire.client.sends(ask(b"Content-Length: 10", method=b"POST") + b"hello")
    wire.endpoint(0).sends(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nn")
    wire.endpoint(0).transport.arrived.clear()
    wire.client.sends(b"world" + GET)
    wire.endpoint(0).sends(b"o")
    wire.client.sends(GET)
    assert wire.client.answer().body == b"no"
    wire.client.got_nothing()
    for endpoint in wire.endpoints:
        endpoint.got_nothing()


@pytest.mark.parametrize("unasked", [OK, b"HTTP/1.1 100 Continue\r\n\r\n", b"x", b"\r\n", b"\x00"])
@playbook()
def test_unasked_bytes_on_an_idle_connection_end_it(wire: Wire, unasked: bytes) -> None:
    wire.client.sends(GET)
    wire.endpoint(0).sends(OK)
    wire.client.answer()
    wire.endpoint(0).sends(unasked)
    assert wire.endpoint(0).closed
    wire.client.sends(GET)
    wire.endpoint(1).sends(OK)
    assert wire.client.answer().body == b"ok"
    wire.client.got_nothing()


@pytest.mark.parametrize(
    "second", [OK, OK.replace(b"ok", b"no"), b"HTTP/1.1 204 No Content\r\n\r\n"]
)
@pytest.mark.parametrize(
    ("method", "first"),
    [
        (b"GET", OK),
        (b"GET", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(b"ok")),
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n"),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
    ],
)
@playbook(cuts=("whole",))
def test_the_second_answer_in_one_segment_never_meets_the_second_request(
    wire: Wire, method: bytes, first: bytes, second: bytes
) -> None:
    wire.client.sends(ask(method=method) + ask(target=b"/2"))
    wire.endpoint(0).sends(first + second)
    wire.client.answer(method)
    wire.client.got_nothing()
    assert wire.endpoint(0).closed
    assert wire.endpoint(1).request().target == b"/2"
    wire.endpoint(1).sends(OK.replace(b"ok", b"2!"))
    assert wire.client.answer().body == b"2!"


@playbook()
def test_an_endpoint_that_asks_for_the_close_is_closed(wire: Wire) -> None:
    wire.client.sends(GET)
    wire.endpoint(0).sends(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
    assert "Connection" not in wire.client.answer()
    assert wire.client.open
    assert wire.endpoint(0).closed


@playbook()
def test_pipelined_requests_go_one_at_a_time_and_in_order(wire: Wire) -> None:
    wire.client.sends(ask(target=b"/1") + post(b"two", target=b"/2") + ask(target=b"/3"))
    for target, body in ((b"/1", b""), (b"/2", b"two"), (b"/3", b"")):
        request = wire.endpoint(0).request()
        assert (request.target, request.body) == (target, body)
        wire.endpoint(0).got_nothing()
        wire.endpoint(0).answers(target)
        assert wire.client.answer().body == target
    assert len(wire.endpoints) == 1


@playbook()
def test_many_pipelined_local_replies_come_in_order(wire: Wire) -> None:
    wire.client.sends(ask(b"Expect: x", target=b"/1") * 50 + GET)
    statuses = [wire.client.answer().status for _ in range(50)]
    assert statuses == [417] * 50
    wire.endpoint(0).sends(OK)
    assert wire.client.answer().body == b"ok"


@playbook()
def test_a_client_that_half_closes_still_gets_its_answer(wire: Wire) -> None:
    wire.client.sends(GET)
    wire.client.ends()
    wire.endpoint(0).sends(OK)
    assert wire.client.answer().body == b"ok"
    assert wire.client.transport.lost
