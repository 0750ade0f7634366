"""Slow, hostile and odd peers: what a reader of the code feared, played."""

from proxy.http1.fields import MAX_REMEMBERED, FieldReader, request_fields
from tests.support.wire import Wire, playbook, table

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
OLD_GET = b"GET / HTTP/1.0\r\nHost: h\r\n\r\n"


@playbook(cuts=("whole",))
def test_a_slow_client_keeps_its_time_for_the_end_of_an_answer(wire: Wire) -> None:
    wire.client.sends(OLD_GET)
    wire.endpoint(0).request()
    wire.client.stalls()
    wire.endpoint(0).sends(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + b"x" * 1000)
    wire.endpoint(0).ends()
    wire.later(30)
    assert not wire.client.aborted, "the limit of a pause in writing is 60 s, not linger's 5"
    wire.later(31)
    assert wire.client.transport.resets, "an end of file would make the cut answer look whole"


@playbook(
    cuts=("whole",),
    settings={"limits": {"endpoint_connections": 1}, "timeouts": {"endpoint_fresh_s": 1e-9}},
)
def test_an_idle_connection_makes_room_for_a_post(wire: Wire) -> None:
    wire.client.sends(GET)
    wire.endpoint(0).request()
    wire.endpoint(0).answers()
    wire.client.answer()
    # Used too long ago for a request that must not be sent twice.
    wire.client.sends(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n")
    wire.endpoint(1).request()
    wire.endpoint(1).answers()
    assert wire.client.answer().status == 200
    assert wire.endpoint(0).closed


@playbook()
def test_an_interim_answer_has_no_body(wire: Wire) -> None:
    wire.client.sends(GET)
    wire.endpoint(0).request()
    wire.endpoint(0).sends(b"HTTP/1.1 110 X\r\nContent-Length: 5\r\n\r\nhello")
    assert wire.client.answer().status == 502


@playbook(cuts=("whole",))
def test_an_endpoint_that_stops_reading_is_not_the_client_s_fault(wire: Wire) -> None:
    wire.client.sends(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 400000\r\n\r\n")
    wire.endpoint(0).stalls()
    wire.client.sends(b"x" * 200_000)
    wire.later(31)
    assert wire.client.answer().status == 504, "a 408 would invite the client to send it again"


@playbook(cuts=("whole",), settings={"timeouts": {"body_idle_s": 20, "first_byte_s": 5}})
def test_a_chunked_body_that_never_begins_has_the_time_of_a_body(wire: Wire) -> None:
    wire.client.sends(b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
    wire.later(19)
    wire.client.got_nothing()
    wire.later(2)
    assert wire.client.answer().status == 408


@playbook(routing=table(blue=1))
def test_nothing_is_sent_again_after_an_interim_answer(wire: Wire) -> None:
    wire.client.sends(GET)
    wire.endpoint(0).request()
    wire.endpoint(0).answers()
    wire.client.answer()
    wire.client.sends(GET)
    wire.endpoint(0).request()
    wire.endpoint(0).sends(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
    assert wire.client.answer().status == 103
    wire.endpoint(0).vanishes()
    assert wire.client.answer().status == 502


@playbook()
def test_no_forwarded_field_of_a_stranger_is_passed_on(wire: Wire) -> None:
    wire.client.sends(
        b"GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-Prefix: /a\r\nX_Forwarded_User: root\r\n\r\n"
    )
    sent = {name.lower() for name, _ in wire.endpoint(0).request().fields}
    assert not {b"x-forwarded-prefix", b"x_forwarded_user"} & sent
    wire.endpoint(0).answers()
    wire.client.answer()


def remembered(reader: FieldReader) -> int:
    return len(reader.plain) + len(reader.special)


def test_lines_are_remembered_within_bounds() -> None:
    reader = request_fields("X-Tenant-ID")
    for number in range(2 * MAX_REMEMBERED):
        assert reader.read(b"X-Junk: %d" % number).text == b"X-Junk: %d" % number
    assert 0 < remembered(reader) <= MAX_REMEMBERED


def test_what_is_long_or_secret_is_not_remembered() -> None:
    reader = request_fields("X-Tenant-ID")
    long = b"X-Long: " + b"a" * 30_000
    for line in (long, b"Authorization: Bearer secret", b"Cookie: session=secret"):
        assert reader.read(line).text == line
    assert remembered(reader) == 0
