"""Which fields go on, which end here, and what the proxy says of the client itself."""

import pytest

from tests.support.messages import Message, ask, post
from tests.support.wire import PEER, Wire, playbook


def sent(wire: Wire, *fields: bytes) -> Message:
    """What the endpoint gets of a request by these fields."""
    wire.client.sends(ask(*fields))
    return wire.endpoint(0).request()


@playbook()
def test_end_to_end_fields_go_on_as_they_came(wire: Wire) -> None:
    request = sent(wire, b"accept: */*", b"X-A: 1", b"COOKIE: a=b; c", b"X-A:   2", b"x-\x21: \xe4")
    assert request.all("X-A") == [b"1", b"2"]
    assert (b"accept", b"*/*") in request.fields
    assert (b"COOKIE", b"a=b; c") in request.fields
    assert request["x-!"] == b"\xe4"


@playbook()
def test_authorization_goes_on(wire: Wire) -> None:
    assert sent(wire, b"Authorization: Basic eA==")["Authorization"] == b"Basic eA=="


@pytest.mark.parametrize(
    "name",
    [
        b"Connection",
        b"Keep-Alive",
        b"Proxy-Connection",
        b"Proxy-Authorization",
        b"Proxy-Authenticate",
        b"TE",
        b"Trailer",
        b"HTTP2-Settings",
        b"Upgrade",
        b"X-Turnout-Slot",
        b"kEEP-aLIVE",
    ],
)
@playbook()
def test_hop_by_hop_fields_end_here(wire: Wire, name: bytes) -> None:
    assert name.decode() not in sent(wire, name + b": x", b"X-A: b")


@playbook()
def test_fields_that_connection_names_end_here(wire: Wire) -> None:
    request = sent(
        wire, b"Connection: X-Hop, x-other , keep-alive", b"x-hop: 1", b"X-OTHER: 2", b"X-A: b"
    )
    assert "X-Hop" not in request
    assert "X-Other" not in request
    assert "Connection" not in request
    assert request["X-A"] == b"b"


@playbook()
def test_fields_that_several_connection_lines_name_end_here(wire: Wire) -> None:
    request = sent(wire, b"X-One: 1", b"Connection: X-One", b"Connection: X-Two", b"X-Two: 2")
    assert "X-One" not in request
    assert "X-Two" not in request


@playbook(trusted=True)
def test_connection_cannot_remove_what_routes_or_frames(wire: Wire) -> None:
    names = b"Connection: Host, Content-Length, Transfer-Encoding, X-Tenant-ID, X-Forwarded-For, X-Request-ID"
    wire.client.sends(post(b"hello", names, b"X-Tenant-ID: acme"))
    request = wire.endpoint(0).request()
    assert request["Host"] == b"h"
    assert request["X-Tenant-ID"] == b"acme"
    assert request["X-Forwarded-For"] == PEER.encode()
    assert "X-Request-ID" in request
    assert request.body == b"hello"


@pytest.mark.parametrize("trusted", [False, True])
@pytest.mark.parametrize(
    "name",
    [
        b"X_Tenant_ID",
        b"X-Tenant_ID",
        b"x_tenant-id",
        b"X_Forwarded_For",
        b"X_Request_ID",
        b"X_Real_IP",
        b"Content_Length",
        b"Transfer_Encoding",
        b"X_Turnout_Slot",
    ],
)
@playbook()
def test_aliases_of_trusted_fields_end_here(wire: Wire, name: bytes, *, trusted: bool) -> None:
    wire.trusted = trusted
    assert name.decode() not in sent(wire, name + b": 5")


@playbook()
def test_other_names_with_an_underscore_go_on(wire: Wire) -> None:
    assert sent(wire, b"X_Mine: 1")["X_Mine"] == b"1"


@pytest.mark.parametrize(
    "name",
    [
        b"X-Tenant-ID",
        b"X-Request-ID",
        b"X-Forwarded-For",
        b"X-Forwarded-Host",
        b"X-Forwarded-Proto",
        b"X-Forwarded-Port",
        b"X-Real-IP",
        b"Forwarded",
    ],
)
@playbook()
def test_what_an_untrusted_peer_says_of_the_client_is_replaced(wire: Wire, name: bytes) -> None:
    request = sent(wire, name + b": forged")
    assert all(value != b"forged" for _, value in request.fields)


@playbook()
def test_an_untrusted_peer_is_named_itself(wire: Wire) -> None:
    request = sent(wire)
    assert request["X-Forwarded-For"] == PEER.encode()
    assert request["X-Forwarded-Proto"] == b"http"
    assert request["X-Forwarded-Host"] == b"h"
    assert request["Via"].startswith(b"1.1 ")
    assert "X-Tenant-ID" not in request


@playbook(trusted=True)
def test_a_trusted_peer_is_believed_and_added(wire: Wire) -> None:
    request = sent(
        wire, b"X-Forwarded-For: 198.51.100.1", b"X-Forwarded-Proto: https", b"X-Request-ID: abc"
    )
    assert request["X-Forwarded-For"] == b"198.51.100.1, " + PEER.encode()
    assert request["X-Forwarded-Proto"] == b"https"
    assert request["X-Request-ID"] == b"abc"
    wire.endpoint(0).answers()
    assert wire.client.answer()["X-Request-ID"] == b"abc"


@playbook(trusted=True)
def test_a_trusted_peer_that_says_nothing_is_named_itself(wire: Wire) -> None:
    request = sent(wire)
    assert request["X-Forwarded-For"] == PEER.encode()
    assert request["X-Forwarded-Proto"] == b"http"


@pytest.mark.parametrize("given", [b"", b"a b", b"x" * 129, b"\xe4"])
@playbook(trusted=True)
def test_a_request_id_out_of_form_is_replaced(wire: Wire, given: bytes) -> None:
    assert sent(wire, b"X-Request-ID: " + given)["X-Request-ID"].startswith(b"wire-")


@playbook()
def test_request_ids_differ_and_the_client_gets_the_endpoints(wire: Wire) -> None:
    seen = set()
    for _ in range(3):
        request = sent(wire)
        wire.endpoint(0).answers()
        assert wire.client.answer()["X-Request-ID"] == request["X-Request-ID"]
        seen.add(request["X-Request-ID"])
    assert len(seen) == 3


@pytest.mark.parametrize("name", [b"X-Tenant-ID", b"X-Request-ID", b"Authorization"])
@playbook(trusted=True)
def test_a_field_that_must_stand_once_and_stands_twice_is_refused(wire: Wire, name: bytes) -> None:
    wire.client.sends(ask(name + b": a", name.lower() + b": b"))
    wire.client.refused(400)
    assert not wire.endpoints


@playbook(trusted=True)
def test_white_space_around_what_the_proxy_reads_is_not_part_of_it(wire: Wire) -> None:
    fields = (
        b"X-Tenant-ID: \t acme \t",
        b"Connection: X-Hop  ",
        b"X-Hop: 1",
        b"Content-Length:  5 ",
    )
    wire.client.sends(ask(*fields, method=b"POST", host=b" h\t") + b"hello")
    request = wire.endpoint(0).request()
    assert (request["X-Tenant-ID"], request["Host"], request.body) == (b"acme", b"h", b"hello")
    assert "X-Hop" not in request


@playbook(trusted=True)
def test_an_invalid_tenant_is_refused(wire: Wire) -> None:
    wire.client.sends(ask(b"X-Tenant-ID: No Such!"))
    assert wire.client.answer().status == 400
    assert not wire.endpoints


@playbook()
def test_hop_by_hop_fields_of_an_answer_end_here(wire: Wire) -> None:
    wire.client.sends(ask())
    wire.endpoint(0).sends(
        b"HTTP/1.1 200 OK\r\nConnection: X-Hop, keep-alive\r\nX-Hop: 1\r\nKeep-Alive: timeout=9\r\n"
        b"Proxy-Authenticate: x\r\nX-Turnout-Slot: forged\r\nX-Request-ID: forged\r\nX-A: b\r\n"
        b"Set-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n"
    )
    answer = wire.client.answer()
    for name in ("Connection", "X-Hop", "Keep-Alive", "Proxy-Authenticate"):
        assert name not in answer
    assert answer["X-Turnout-Slot"] == b"blue"
    assert answer["X-Request-ID"].startswith(b"wire-")
    assert answer["X-A"] == b"b"
    assert answer.all("Set-Cookie") == [b"a=1", b"b=2"]


@playbook()
def test_expect_goes_on_and_100_comes_back_before_the_body(wire: Wire) -> None:
    wire.client.sends(ask(b"Expect: 100-continue", b"Content-Length: 5", method=b"POST"))
    assert b"\r\nExpect: 100-continue\r\n" in wire.endpoint(0).transport.arrived
    wire.client.got_nothing()
    wire.endpoint(0).sends(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert wire.client.answer().status == 100
    wire.client.sends(b"hello")
    assert wire.endpoint(0).request().body == b"hello"
    wire.endpoint(0).answers()
    assert wire.client.answer().status == 200


@playbook()
def test_a_refused_expectation_ends_both_connections(wire: Wire) -> None:
    wire.client.sends(ask(b"Expect: 100-continue", b"Content-Length: 5", method=b"POST"))
    wire.endpoint(0).answers(status=b"403 Forbidden")
    answer = wire.client.answer()
    assert answer.status == 403
    assert answer["Connection"] == b"close"
    assert wire.client.closed
    assert wire.endpoint(0).closed
