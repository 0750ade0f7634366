"""RFC 9112 in the strict reading: which requests are refused, and that none of it gets further."""

import pytest

from tests.support.messages import ask, chunked, post
from tests.support.wire import Wire, playbook

CHUNKED = b"Transfer-Encoding: chunked"
GET = ask()


@pytest.mark.parametrize(
    "fields",
    [
        (b"Content-Length: 5", CHUNKED),
        (CHUNKED, b"Content-Length: 5"),
        (b"Content-Length: 5", b"Content-Length: 6"),
        (b"Content-Length: 5, 5",),
        (b"Content-Length:",),
        (b"Content-Length: +5",),
        (b"Content-Length: -5",),
        (b"Content-Length: 0x5",),
        (b"Content-Length: 1_0",),
        (b"Content-Length: 5 5",),
        (b"Content-Length: 0000000000000000005",),
        (b"Content-Length: 99999999999999999999",),
        (b"Content-Length : 5",),
        (b"X-A: b\x00c",),
        (b"X-A: b\rc",),
        (b"X-A: b\nc: d",),
        (b"X-A: b", b" folded"),
        (b"X-A: b", b"\tfolded"),
        (b" X-A: b",),
        (b"X-A : b",),
        (b"X A: b",),
        (b"X-\xc3\xa4: b",),
        (b": b",),
        (b"no colon",),
        (b"Transfer-Encoding: chunked, chunked",),
    ],
)
@playbook()
def test_a_head_that_two_readers_could_take_differently_is_refused(
    wire: Wire, fields: tuple[bytes, ...]
) -> None:
    wire.client.sends(ask(*fields, method=b"POST") + b"hello" + GET)
    assert wire.client.answer().status in {400, 501}
    wire.client.got_nothing()
    assert wire.client.closed
    assert not wire.endpoints


@pytest.mark.parametrize(
    "coding",
    [b"gzip, chunked", b"chunked, gzip", b""],
)
@playbook()
def test_only_chunked_is_a_transfer_coding(wire: Wire, coding: bytes) -> None:
    wire.client.sends(ask(b"Transfer-Encoding: " + coding, method=b"POST"))
    assert wire.client.answer().status in {400, 501}
    assert wire.client.closed
    assert not wire.endpoints


@playbook()
def test_a_transfer_coding_in_http_10_is_refused(wire: Wire) -> None:
    wire.client.sends(b"POST / HTTP/1.0\r\nHost: h\r\n" + CHUNKED + b"\r\n\r\n" + chunked(b"x"))
    assert wire.client.answer().status in {400, 501}
    assert wire.client.closed
    assert not wire.endpoints


@pytest.mark.parametrize(
    "body",
    [
        b"g\r\nx\r\n",
        b"-1\r\nx\r\n",
        b"+1\r\nx\r\n",
        b"0x1\r\nx\r\n",
        b" 1\r\nx\r\n",
        b"1 \r\nx\r\n",
        b"\r\n",
        b"fffffffffffffffff\r\nx\r\n",
        b"1\nx\r\n",
        b"1\rx\r\n",
        b"1\r\nx\n",
        b"1\r\nxy\r\n",
        b"1\x00\r\nx\r\n",
        b"1;a\nb\r\nx\r\n",
        b"1;a=\x00\r\nx\r\n",
        b"1\r\nx\r\n0\n\n",
    ],
)
@playbook()
def test_a_chunk_out_of_form_ends_both_connections(wire: Wire, body: bytes) -> None:
    wire.client.sends(ask(CHUNKED, method=b"POST") + body + b"0\r\n\r\n" + GET)
    wire.client.refused(400)
    assert len(wire.endpoints) <= 1
    for endpoint in wire.endpoints:
        assert endpoint.closed or not endpoint.transport.arrived
        assert b"0\r\n\r\n" not in endpoint.transport.arrived
        assert b"GET" not in endpoint.transport.arrived


@playbook()
def test_a_length_among_the_trailers_changes_nothing(wire: Wire) -> None:
    wire.client.sends(ask(CHUNKED, method=b"POST") + b"1\r\nx\r\n0\r\nContent-Length: 9\r\n\r\n")
    refused = bool(wire.client.transport.arrived)
    if refused:
        wire.client.refused(400)
    else:
        assert wire.endpoint(0).request().body == b"x"


@pytest.mark.parametrize("host", [b"h", b"other"])
@playbook()
def test_two_hosts_are_refused(wire: Wire, host: bytes) -> None:
    wire.client.sends(ask(b"Host: " + host))
    wire.client.refused(400)
    assert not wire.endpoints


@playbook()
def test_chunks_are_made_anew_without_extensions(wire: Wire) -> None:
    body = b'5;name=value\r\nhello\r\n0006;q="a b"\r\n world\r\n0\r\n\r\n'
    wire.client.sends(ask(CHUNKED, method=b"POST") + body)
    request = wire.endpoint(0).request()
    assert request.body == b"hello world"
    assert request["Transfer-Encoding"] == b"chunked"
    assert "Content-Length" not in request
    wire.endpoint(0).answers()
    assert wire.client.answer().body == b"ok"


@playbook()
def test_trailers_reach_neither_this_request_nor_the_next(wire: Wire) -> None:
    trailers = b"X-Tenant-ID: evil\r\nAuthorization: Bearer x\r\nHost: evil\r\nX-A: b\r\n\r\n"
    wire.client.sends(ask(CHUNKED, b"Trailer: X-A", method=b"POST") + b"1\r\nx\r\n0\r\n" + trailers)
    first = wire.endpoint(0).request()
    assert first.body == b"x"
    assert "Trailer" not in first
    wire.endpoint(0).answers()
    wire.client.answer()
    wire.client.sends(ask(target=b"/2"))
    second = wire.endpoint(0).request()
    wire.endpoint(0).got_nothing()
    for request in (first, second):
        assert request["Host"] == b"h"
        for name in ("X-Tenant-ID", "Authorization", "Content-Length", "X-A"):
            assert name not in request


@pytest.mark.parametrize(
    "line",
    [
        b"GET / HTTP/1.1 ",
        b"GET\t/ HTTP/1.1",
        b"GET / HTTP/0.9",
        b"GET / HTTP/1.2",
        b"GET / HTTP/1.10",
        b"GET / http/1.1",
        b"GET / HTTQ/1.1",
        b"GET /",
        b" GET / HTTP/1.1",
        b"G\x00T / HTTP/1.1",
        b"GET /a\x00b HTTP/1.1",
        b"GET /a\x07b HTTP/1.1",
        b"GET /a#b HTTP/1.1",
        b"GET /\xc3\xa4 HTTP/1.1",
        b"GET a HTTP/1.1",
        b"GET * HTTP/1.1",
        b"GET ftp://h/ HTTP/1.1",
        b"GET http:///a HTTP/1.1",
        b"GET http://user@h/ HTTP/1.1",
        b"GET http://user:secret@h/ HTTP/1.1",
        b"GET http://h:port/ HTTP/1.1",
        b"N(S / HTTP/1.1",
        b" / HTTP/1.1",
        b"GET  / HTTP/1.1",
        b"GET /  HTTP/1.1",
        b"\x16\x03\x01\x02\x00",
    ],
)
@playbook()
def test_a_request_line_out_of_form_is_refused(wire: Wire, line: bytes) -> None:
    wire.client.sends(line + b"\r\nHost: h\r\n\r\n")
    wire.client.refused(400)
    assert not wire.endpoints


@playbook()
def test_an_unknown_method_is_501(wire: Wire) -> None:
    wire.client.sends(ask(method=b"NOSUCH"))
    assert wire.client.answer().status == 501
    assert not wire.endpoints


@pytest.mark.parametrize("version", [b"HTTP/2.0", b"HTTP/3.0", b"HTTP/9.9"])
@playbook()
def test_another_protocol_version_is_505(wire: Wire, version: bytes) -> None:
    wire.client.sends(b"GET / " + version + b"\r\nHost: h\r\n\r\n")
    wire.client.refused(505)
    assert not wire.endpoints


@pytest.mark.parametrize(
    "host", [b"", b"a b", b"a/b", b"a@b", b"h:x", b"h:1:2", b"[::1", b'"h"', b"h\xc3\xa4", b"a?b"]
)
@playbook()
def test_an_invalid_host_is_refused(wire: Wire, host: bytes) -> None:
    wire.client.sends(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    wire.client.refused(400)
    assert not wire.endpoints


@pytest.mark.parametrize("host", [b"h", b"h:80", b"h:", b"127.0.0.1:8080", b"[::1]", b"[::1]:80"])
@playbook()
def test_a_valid_host_is_passed_on(wire: Wire, host: bytes) -> None:
    wire.client.sends(ask(host=host))
    assert wire.endpoint(0).request()["Host"] == host


@playbook()
def test_http_11_without_a_host_is_refused(wire: Wire) -> None:
    wire.client.sends(b"GET / HTTP/1.1\r\n\r\n")
    wire.client.refused(400)


@playbook()
def test_http_10_may_leave_the_host_out(wire: Wire) -> None:
    wire.client.sends(b"GET / HTTP/1.0\r\n\r\n")
    assert wire.endpoint(0).request().line == b"GET / HTTP/1.1"


@pytest.mark.parametrize(
    ("target", "host", "path"),
    [
        (b"http://other/a?b", b"other", b"/a?b"),
        (b"HTTPS://other:8443/a", b"other:8443", b"/a"),
        (b"http://other", b"other", b"/"),
        (b"http://other?q", b"other", b"/?q"),
    ],
)
@playbook()
def test_the_authority_of_an_absolute_target_replaces_host(
    wire: Wire, target: bytes, host: bytes, path: bytes
) -> None:
    wire.client.sends(ask(target=target))
    request = wire.endpoint(0).request()
    assert (request["Host"], request.target) == (host, path)
    assert request["X-Forwarded-Host"] == host


@pytest.mark.parametrize(
    "target", [b"/", b"//", b"/a/../b", b"/%2e%2E/%00", b"/a//b?c=d&e=%zz", b"/?", b'/;|"<>{}[]^`']
)
@playbook()
def test_the_path_goes_on_byte_for_byte(wire: Wire, target: bytes) -> None:
    wire.client.sends(ask(target=target))
    assert wire.endpoint(0).request().target == target


@playbook()
def test_options_asterisk_is_answered_here_and_the_connection_goes_on(wire: Wire) -> None:
    wire.client.sends(ask(method=b"OPTIONS", target=b"*"))
    answer = wire.client.answer()
    assert answer.status in {200, 204}
    assert b"GET" in answer["Allow"]
    assert not wire.endpoints
    wire.client.sends(ask(target=b"/2"))
    assert wire.endpoint(0).request().target == b"/2"


@playbook()
def test_the_body_of_options_asterisk_reaches_nobody(wire: Wire) -> None:
    hidden = ask(b"X-Tenant-ID: evil", target=b"/hidden")
    length = b"Content-Length: %d" % len(hidden)
    wire.client.sends(ask(length, method=b"OPTIONS", target=b"*") + hidden + GET)
    wire.client.answer()
    for endpoint in wire.endpoints:
        assert b"hidden" not in endpoint.transport.arrived


@pytest.mark.parametrize(
    "head",
    [
        ask(method=b"CONNECT", target=b"h:443"),
        ask(b"Content-Length: 5", method=b"CONNECT", target=b"h:443"),
        ask(CHUNKED, method=b"CONNECT", target=b"h:443"),
        ask(method=b"CONNECT", target=b"/"),
        ask(method=b"TRACE"),
        ask(CHUNKED, method=b"TRACE", target=b"http://h/"),
    ],
)
@playbook()
def test_connect_and_trace_are_405(wire: Wire, head: bytes) -> None:
    wire.client.sends(head)
    assert wire.client.answer().status == 405
    wire.client.sends(chunked(b"GET /hidden HTTP/1.1"))
    for endpoint in wire.endpoints:
        assert b"hidden" not in endpoint.transport.arrived


@pytest.mark.parametrize("expected", [b"200-ok", b"100-continue, x", b"x"])
@playbook()
def test_an_unknown_expectation_is_417(wire: Wire, expected: bytes) -> None:
    wire.client.sends(ask(b"Expect: " + expected, method=b"POST"))
    assert wire.client.answer().status == 417
    assert not wire.endpoints


@playbook()
def test_a_long_request_line_is_414(wire: Wire) -> None:
    wire.client.sends(ask(target=b"/" + b"a" * 9_000))
    assert wire.client.answer().status == 414
    assert not wire.endpoints


@playbook()
def test_too_many_fields_are_431(wire: Wire) -> None:
    wire.client.sends(ask(*(b"X-%d: y" % number for number in range(101))))
    wire.client.refused(431)


@playbook(cuts=("whole", "random"))
def test_a_head_that_never_ends_is_431(wire: Wire) -> None:
    wire.client.sends(b"GET / HTTP/1.1\r\nHost: h\r\nX: ")
    for _ in range(5):
        wire.client.sends(b"y" * 17_000)
    wire.client.refused(431)


@playbook(settings={"limits": {"body_bytes": 10}})
def test_a_declared_length_over_the_limit_is_413(wire: Wire) -> None:
    wire.client.sends(post(b"12345678901"))
    wire.client.refused(413)
    assert not wire.endpoints


@playbook(settings={"limits": {"body_bytes": 10}})
def test_a_streamed_body_over_the_limit_is_413(wire: Wire) -> None:
    wire.client.sends(ask(CHUNKED, method=b"POST") + chunked(b"12345", b"67890", b"1"))
    wire.client.refused(413)
    for endpoint in wire.endpoints:
        assert endpoint.closed or not endpoint.transport.arrived
        assert not endpoint.transport.arrived.endswith(b"0\r\n\r\n")


LARGER = {"limits": {"body_bytes": 5, "tenant_body_bytes": {"acme": 10, "tiny": 2}}}


@playbook(settings=LARGER, trusted=True)
def test_a_tenant_may_have_a_body_limit_of_its_own(wire: Wire) -> None:
    acme, tiny = b"X-Tenant-ID: acme", b"X-Tenant-ID: tiny"
    wire.client.sends(post(b"1234567890", acme))
    assert wire.endpoint(0).request().body == b"1234567890"
    wire.endpoint(0).sends(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert wire.client.answer().status == 204
    wire.client.sends(ask(CHUNKED, tiny, method=b"POST") + chunked(b"12", b"3"))
    wire.client.refused(413)


@playbook(settings=LARGER, trusted=True)
def test_other_tenants_keep_the_limit_of_all(wire: Wire) -> None:
    wire.client.sends(post(b"123456", b"X-Tenant-ID: other"))
    wire.client.refused(413)
    assert not wire.endpoints


@playbook(settings={"limits": {"body_bytes": 10}})
def test_a_body_of_the_limit_passes(wire: Wire) -> None:
    wire.client.sends(ask(CHUNKED, method=b"POST") + chunked(b"12345", b"67890"))
    assert wire.endpoint(0).request().body == b"1234567890"


@playbook()
def test_empty_lines_before_a_request_are_let_by(wire: Wire) -> None:
    wire.client.sends(b"\r\n" + GET)
    assert wire.endpoint(0).request().line == b"GET / HTTP/1.1"
