"""What is sent twice and what never: RFC 9110 §9.2.2, and the pool's choice of connections."""

import pytest

from proxy.observability import telemetry
from tests.support.messages import ask, chunked, post
from tests.support.wire import Wire, playbook, table

GET = ask()
STALE = {"timeouts": {"endpoint_fresh_s": 1e-9}}


def warmed(wire: Wire) -> None:
    """One exchange is over: its connection idles in the pool."""
    wire.client.sends(GET)
    wire.endpoint(0).request()
    wire.endpoint(0).answers()
    wire.client.answer()


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"OPTIONS"])
@pytest.mark.parametrize("how", ["ends", "vanishes"])
@playbook()
def test_a_repeatable_request_lost_on_a_reused_connection_goes_once_more(
    wire: Wire, method: bytes, how: str
) -> None:
    warmed(wire)
    wire.client.sends(ask(method=method, target=b"/2"))
    assert wire.endpoint(0).request().target == b"/2"
    getattr(wire.endpoint(0), how)()
    assert wire.endpoint(1).request().target == b"/2"
    assert wire.gauge(telemetry.RETRIES) == 1
    wire.endpoint(1).answers(b"" if method == b"HEAD" else b"ok")
    assert wire.client.answer(method).status == 200


@playbook()
def test_the_second_try_is_the_last(wire: Wire) -> None:
    warmed(wire)
    wire.client.sends(GET)
    wire.endpoint(0).ends()
    wire.endpoint(1).ends()
    wire.client.refused(502, closes=False)
    assert len(wire.endpoints) == 2


@playbook()
def test_the_second_try_never_takes_another_used_connection(wire: Wire) -> None:
    other = wire.connects()
    for client in (wire.client, other):
        client.sends(GET)
    for endpoint in wire.endpoints:
        endpoint.request()
        endpoint.answers()
    wire.client.answer()
    wire.client.sends(GET)
    used = next(endpoint for endpoint in wire.endpoints if endpoint.transport.arrived)
    used.vanishes()
    assert len(wire.endpoints) == 3
    wire.endpoint(2).answers()
    assert wire.client.answer().status == 200


@playbook()
def test_a_request_lost_on_a_fresh_connection_is_not_sent_again(wire: Wire) -> None:
    wire.client.sends(GET)
    wire.endpoint(0).ends()
    wire.client.refused(502, closes=False)
    assert len(wire.endpoints) == 1


@pytest.mark.parametrize(
    "request_bytes",
    [
        post(b"pay"),
        post(b""),
        ask(b"Content-Length: 3", method=b"PATCH") + b"pay",
        ask(method=b"DELETE"),
        ask(b"Content-Length: 3", method=b"PUT") + b"pay",
        ask(b"Content-Length: 3") + b"pay",
        ask(b"Transfer-Encoding: chunked") + chunked(b"pay"),
    ],
)
@playbook()
def test_what_may_have_happened_is_never_sent_again(wire: Wire, request_bytes: bytes) -> None:
    warmed(wire)
    wire.client.sends(request_bytes)
    wire.endpoint(0).request()
    wire.endpoint(0).vanishes()
    assert wire.client.answer().status == 502
    assert len(wire.endpoints) == 1


@playbook()
def test_nothing_is_sent_again_after_a_byte_of_answer(wire: Wire) -> None:
    warmed(wire)
    wire.client.sends(GET)
    wire.endpoint(0).sends(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    wire.endpoint(0).vanishes()
    assert wire.client.aborted
    assert len(wire.endpoints) == 1


@pytest.mark.parametrize(
    "request_bytes", [GET, post(b"pay"), ask(b"Transfer-Encoding: chunked") + chunked(b"a", b"b")]
)
@playbook(routing=table(blue=2))
def test_a_refused_connection_goes_to_the_other_endpoint_and_loses_nothing(
    wire: Wire, request_bytes: bytes
) -> None:
    wire.refuses("10.0.1.1")
    for _ in range(2):
        wire.client.sends(request_bytes)
        request = wire.endpoint(0).request()
        assert request.body in {b"", b"pay", b"ab"}
        assert bool(request.body) == (request_bytes != GET)
        wire.endpoint(0).answers()
        assert wire.client.answer().status == 200
    assert wire.endpoint(0).host == "10.0.1.0"


@playbook(routing=table(blue=3))
def test_at_most_two_endpoints_are_tried(wire: Wire) -> None:
    for number in range(3):
        wire.refuses(f"10.0.1.{number}")
    wire.client.sends(GET)
    wire.client.refused(502, closes=False)
    assert wire.gauge(telemetry.CONNECT_FAILURES) == 2


@playbook()
def test_a_connection_that_is_never_made_is_502_in_time(wire: Wire) -> None:
    wire.hangs("10.0.1.0")
    wire.client.sends(GET)
    wire.later(2.9)
    wire.client.got_nothing()
    wire.later(0.2)
    wire.client.refused(502, closes=False)


@playbook(cuts=("whole",))
def test_after_a_refused_body_the_next_request_is_read(wire: Wire) -> None:
    wire.refuses("10.0.1.0")
    for _ in range(2):
        wire.client.sends(post(b"pay"))
        wire.client.refused(502, closes=False)
        assert wire.client.reads


@playbook(routing=table(blue=0))
def test_a_slot_without_an_endpoint_is_503(wire: Wire) -> None:
    wire.client.sends(GET)
    assert "Retry-After" in wire.client.refused(503, closes=False)


@playbook(settings={"limits": {"endpoint_connections": 1}})
def test_a_slot_whose_connections_are_all_in_use_is_503(wire: Wire) -> None:
    wire.client.sends(GET)
    other = wire.connects()
    other.sends(GET)
    wire.later(0.04)
    assert "Retry-After" in other.refused(503, closes=False)
    wire.endpoint(0).answers()
    other.sends(GET)
    wire.endpoint(0).answers()
    assert other.answer().status == 200


@playbook(settings=STALE)
def test_a_post_does_not_take_a_connection_that_idled(wire: Wire) -> None:
    warmed(wire)
    wire.client.sends(post(b"pay"))
    assert wire.endpoint(1).request().body == b"pay"


@playbook()
def test_a_post_does_not_take_a_connection_that_has_something_to_read(wire: Wire) -> None:
    warmed(wire)
    wire.endpoint(0).transport.deliver_unseen(None)
    wire.client.sends(post(b"pay"))
    assert wire.endpoint(1).request().body == b"pay"


@playbook()
def test_a_post_takes_a_connection_that_was_just_used(wire: Wire) -> None:
    warmed(wire)
    wire.client.sends(post(b"pay"))
    assert wire.endpoint(0).request().body == b"pay"


@playbook(routing=table(blue=2))
def test_the_least_busy_endpoint_is_taken(wire: Wire) -> None:
    wire.client.sends(GET)
    other = wire.connects()
    other.sends(GET)
    assert {endpoint.host for endpoint in wire.endpoints} == {"10.0.1.0", "10.0.1.1"}


@playbook()
def test_an_endpoint_that_left_the_table_finishes_and_is_closed(wire: Wire) -> None:
    other = wire.connects()
    for client in (wire.client, other):
        client.sends(GET)
    wire.endpoint(1).answers()
    wire.use(table(blue=0))
    wire.settle()
    assert wire.endpoint(1).closed
    assert wire.endpoint(0).open
    wire.endpoint(0).answers()
    assert wire.client.answer().body == b"ok"
    assert wire.endpoint(0).closed


@playbook()
def test_an_endpoint_that_stays_in_the_table_keeps_its_connections(wire: Wire) -> None:
    warmed(wire)
    wire.use(table(blue=2))
    wire.use(table(blue=1))
    wire.client.sends(GET)
    assert wire.endpoint(0).request().target == b"/"
    assert len(wire.endpoints) == 1


@playbook(cuts=("whole",), routing=table(blue=2))
def test_a_client_whose_held_body_was_refused_is_read_again(wire: Wire) -> None:
    """Reading stopped while the body waited for a connection that never came."""
    wire.refuses("10.0.1.0")
    wire.refuses("10.0.1.1")
    for _ in range(2):
        wire.client.sends(post(b"a body"))
        wire.client.refused(502, closes=False)
        assert wire.client.reads
