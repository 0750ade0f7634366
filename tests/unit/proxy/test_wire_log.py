"""The access log, line by line: what is told of each way in which an exchange ends."""

import json
from types import MappingProxyType
from typing import Any

import pytest

from proxy.observability import telemetry
from proxy.observability.telemetry import GROUPS, STATUS_CLASS
from proxy.routing.model import Canary, Slot
from tests.support.messages import ask
from tests.support.wire import Wire, playbook, table

JSON = {"access_log": {"format": "json"}}
COMBINED = {"access_log": {"format": "combined"}}
ACME = b"X-Tenant-ID: acme"
WEBSOCKET = ask(b"Connection: Upgrade", b"Upgrade: websocket", ACME, target=b"/ws")
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"
SECRETS = (b"s3cret-token", b"s3cret-cookie", b"s3cret-query", b"s3cret-answer", b"s3cret-ref")


def raw(wire: Wire) -> list[bytes]:
    """The lines that were logged since the last look."""
    log = wire.services.observing.log
    assert log is not None
    found = list(log.sink._lines)
    log.sink._lines.clear()
    log.sink._size = 0
    return found


def lines(wire: Wire) -> list[dict[str, Any]]:
    return [json.loads(line) for line in raw(wire)]


def line(wire: Wire) -> dict[str, Any]:
    found = lines(wire)
    assert len(found) == 1, found
    return found[0]


@playbook(settings=JSON, trusted=True, routing=table(pins=MappingProxyType({"acme": Slot.GREEN})))
def test_a_line_tells_of_a_whole_exchange(wire: Wire) -> None:
    trace = b"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    wire.client.sends(
        ask(ACME, b"User-Agent: curl/8", b"X-Request-ID: one", trace, b"Content-Length: 3",
            method=b"POST", target=b"/orders?token=1") + b"abc"
    )  # fmt: skip
    assert wire.endpoint(0).request()["User-Agent"] == b"curl/8"
    wire.endpoint(0).answers(b"hello", b"201 Created")
    assert wire.client.answer().status == 201
    told = line(wire)
    assert 0 <= told.pop("connected_ms") <= told.pop("first_byte_ms") <= told.pop("ms") < 10_000
    assert told.pop("time").endswith("Z")
    assert told == {
        "id": "one",
        "client": "192.0.2.7",
        "status": 201,
        "end": "complete",
        "method": "POST",
        "host": "h",
        "path": "/orders",
        "tenant": "acme",
        "slot": "green",
        "cohort": "pilot",
        "reason": "pin",
        "received": 3,
        "sent": 5,
        "endpoint": "10.0.2.0:8000",
        "trace": "0af7651916cd43dd8448eb211c80319c",
        "agent": "curl/8",
    }


@playbook(settings={"access_log": {"format": "json", "query": True}})
def test_the_query_is_told_where_the_settings_ask_for_it(wire: Wire) -> None:
    wire.client.sends(ask(target=b'/a?b="c"\\'))
    wire.endpoint(0).answers()
    assert line(wire)["path"] == '/a?b="c"\\'


@playbook(settings=JSON)
def test_requests_of_one_connection_have_lines_of_their_own(wire: Wire) -> None:
    wire.client.sends(ask(target=b"/1") + ask(target=b"/2", method=b"HEAD"))
    wire.endpoint(0).answers(b"12345")
    wire.endpoint(0).sends(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
    first, second = lines(wire)
    assert (first["path"], first["sent"]) == ("/1", 5)
    assert (second["path"], second["method"], second.get("sent", 0)) == ("/2", "HEAD", 0)
    assert first["id"] != second["id"]


@pytest.mark.parametrize("form", ["json", "combined"])
@pytest.mark.parametrize("status", [b"200 OK", b"500 Oh"])
def test_no_secret_is_logged(form: str, status: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with Wire(settings={"access_log": {"format": form}}, trusted=True) as wire:
        wire.client.sends(
            ask(b"Authorization: Bearer s3cret-token", b"Cookie: a=s3cret-cookie",
                b"Referer: http://x/?s3cret-ref", b"Proxy-Authorization: s3cret-token",
                target=b"/a?key=s3cret-query")
        )  # fmt: skip
        wire.endpoint(0).sends(
            b"HTTP/1.1 " + status + b"\r\nSet-Cookie: s3cret-answer\r\nContent-Length: 0\r\n\r\n"
        )
        wire.client.sends(ask(b"Authorization: s3cret-token", target=b"/?s3cret-query"))
        wire.endpoint(0).sends(b"HTTP/1.1 200 OK\r\nContent-Length: s3cret-answer\r\n\r\n")
        told = raw(wire)
    assert len(told) == 2
    written = b"".join(told) + caplog.text.encode()
    assert "bad-answer" in caplog.text
    assert not [secret for secret in SECRETS if secret in written]


@playbook(settings=JSON)
def test_what_the_proxy_answers_itself_has_its_code(wire: Wire) -> None:
    wire.client.sends(ask(target=b"*", method=b"OPTIONS"))
    told = line(wire)
    assert (told["status"], told["slot"], told["end"]) == (204, "local", "complete")
    assert not {"tenant", "endpoint", "cohort"} & told.keys()
    wire.client.sends(ask(b"Content-Length: 99999999", method=b"POST"))
    told = line(wire)
    assert (told["status"], told["code"], told["end"]) == (413, "body-too-large", "complete")
    assert told["slot"] == "blue"
    assert "endpoint" not in told


@playbook(settings=JSON)
def test_what_can_t_be_read_has_a_line(wire: Wire) -> None:
    wire.client.sends(b"GET /s3cret HTTP/1.1\r\nHost: x\r\nBad Field: s3cret\r\n\r\n")
    wire.client.refused(400)
    told = line(wire)
    assert (told["status"], told["code"], told["client"]) == (400, "bad-request", "192.0.2.7")
    assert "s3cret" not in str(told)


@playbook(settings=JSON)
def test_a_bad_host_is_escaped(wire: Wire) -> None:
    wire.client.sends(b'GET / HTTP/1.1\r\nHost: "\x9b\\\r\n\r\n')
    wire.client.refused(400)
    assert line(wire)["host"] == '"\\x9b\\'


@playbook(settings=JSON)
def test_a_client_that_leaves(wire: Wire) -> None:
    wire.client.sends(ask())
    wire.client.vanishes()
    told = line(wire)
    assert (told["status"], told["end"]) == (0, "client-left")
    second = wire.connects()
    second.sends(ask())
    wire.endpoint(1).sends(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
    second.vanishes()
    told = line(wire)
    assert (told["status"], told["end"], told["sent"]) == (200, "client-left", 3)


@playbook(settings=JSON)
def test_an_answer_that_breaks_off(wire: Wire) -> None:
    wire.client.sends(ask())
    wire.endpoint(0).sends(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
    wire.endpoint(0).vanishes()
    told = line(wire)
    assert (told["status"], told["end"], told["sent"]) == (200, "broken-off", 3)
    assert wire.client.aborted


@playbook(settings=JSON)
def test_an_answer_that_the_proxy_cuts(wire: Wire) -> None:
    wire.client.sends(ask())
    wire.endpoint(0).sends(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc")
    wire.later(61)
    told = line(wire)
    assert (told["status"], told["end"]) == (200, "cut")


@playbook(settings=JSON)
def test_an_endpoint_that_does_not_answer(wire: Wire) -> None:
    wire.client.sends(ask())
    wire.later(31)
    told = line(wire)
    assert (told["status"], told["code"]) == (504, "answer-timeout")
    assert told["endpoint"] == "10.0.1.0:8000"
    assert "first_byte_ms" not in told


@playbook(settings=JSON, routing=table(blue=2))
def test_a_second_try_is_told(wire: Wire) -> None:
    wire.refuses("10.0.1.0")
    wire.refuses("10.0.1.1")
    wire.client.sends(ask())
    told = line(wire)
    assert (told["status"], told["code"], told["retries"]) == (502, "connect-failed", 1)
    assert told["endpoint"] in {"10.0.1.0:8000", "10.0.1.1:8000"}
    assert "connected_ms" not in told


@playbook(settings=JSON, trusted=True)
def test_a_tunnel_has_one_line_at_its_end(wire: Wire) -> None:
    wire.client.sends(WEBSOCKET)
    wire.endpoint(0).request()
    wire.endpoint(0).sends(SWITCH + b"early")
    assert wire.client.answer().status == 101
    wire.client.sends(b"x" * 100)
    wire.endpoint(0).sends(b"y" * 250)
    assert lines(wire) == []
    wire.client.vanishes()
    told = line(wire)
    assert (told["status"], told["end"], told["tenant"]) == (101, "tunnel", "acme")
    assert (told["received"], told["sent"]) == (100, 255)


@playbook(settings={"access_log": {"format": "json", "sample": 0.0}})
def test_what_ends_badly_is_in_every_sample(wire: Wire) -> None:
    wire.client.sends(ask())
    wire.endpoint(0).answers()
    wire.client.sends(ask())
    wire.endpoint(0).answers(b"", b"503 No")
    wire.client.sends(ask())
    wire.client.vanishes()
    assert [(told["status"], told["end"]) for told in lines(wire)] == [
        (503, "complete"),
        (0, "client-left"),
    ]


def test_a_sample_is_a_share() -> None:
    with Wire(settings={"access_log": {"format": "json", "sample": 0.25}}) as wire:
        logged = 0
        for _ in range(2000):
            wire.client.sends(ask())
            wire.endpoint(0).answers()
            logged += len(lines(wire))
        assert 400 < logged < 600


@playbook(settings={"access_log": {"format": "json", "sample": 0.0}}, trusted=True)
def test_a_tunnel_is_sampled_as_a_request_is(wire: Wire) -> None:
    wire.client.sends(WEBSOCKET)
    wire.endpoint(0).sends(SWITCH)
    wire.client.vanishes()
    assert lines(wire) == []


@playbook(settings=COMBINED, trusted=True)
def test_the_combined_format(wire: Wire) -> None:
    wire.client.sends(ask(ACME, b'User-Agent: a"b\\c\x1fd'.replace(b"\x1f", b"\t"), target=b'/"x"'))
    wire.endpoint(0).answers(b"12")
    (told,) = raw(wire)
    head, _, rest = told.partition(b" [")
    assert head == b"192.0.2.7 - acme"
    assert rest.partition(b"] ")[2] == b'"GET /\\"x\\" HTTP/1.1" 200 2 "-" "a\\"b\\\\c\\x09d"'


@pytest.mark.parametrize("form", ["json", "combined"])
def test_an_old_client_s_version_is_told(form: str) -> None:
    with Wire(settings={"access_log": {"format": form}}) as wire:
        wire.client.sends(b"GET / HTTP/1.0\r\n\r\n")
        wire.endpoint(0).answers()
        (told,) = raw(wire)
    assert (b'"http":"1.0"' if form == "json" else b'"GET / HTTP/1.0" 200') in told


@playbook()
def test_nothing_is_noted_where_nothing_is_asked_for(wire: Wire) -> None:
    wire.client.sends(ask())
    wire.endpoint(0).answers()
    assert wire.services.observing.log is None
    assert [exchange._notes for exchange in wire.exchanges] == [None]


@playbook(settings=JSON)
def test_no_head_is_kept_once_its_line_is_written(wire: Wire) -> None:
    wire.client.sends(ask(b"Authorization: Bearer s3cret"))
    wire.endpoint(0).answers()
    (exchange,) = wire.exchanges
    assert exchange._notes is not None
    assert exchange._notes.head.authorization is None
    assert not hasattr(exchange._notes.head, "lines")


# ── cohorts ───────────────────────────────────────────────────────────────────────────────────

COHORTS = table(
    pins=MappingProxyType({"pinned": Slot.BLUE, "dead": Slot.GREEN}),
    canary=Canary(basis_points=10_000),
)
"""Everyone but the pinned is a canary; without a tenant one is not."""


def counted(wire: Wire, *cells: int) -> dict[str, int]:
    """The sum of these cells for each slot and cohort that has one."""
    wire.block.publish()
    found = {}
    for number, name in enumerate(GROUPS):
        base = telemetry.group_base(number)
        total = sum(wire.block.cells[base + cell] for cell in cells)
        if total:
            found["/".join(name)] = total
    return found


ANSWERS = tuple(STATUS_CLASS + status_class for status_class in range(1, 6))


@playbook(routing=COHORTS, trusted=True)
def test_each_request_counts_for_its_cohort(wire: Wire) -> None:
    for tenant in (b"pinned", b"free", None, b"Not One!"):
        wire.client.sends(ask(*([b"X-Tenant-ID: " + tenant] if tenant else [])))
        for endpoint in wire.endpoints:
            if endpoint.transport.arrived:
                endpoint.request()
                endpoint.answers()
    once = {"blue/pilot": 1, "green/canary": 1, "blue/rest": 1, "local/": 1}
    assert counted(wire, *ANSWERS) == once
    assert counted(wire, telemetry.LATENCY_US).keys() <= once.keys()


@playbook(routing=COHORTS, trusted=True)
def test_whatever_becomes_of_a_request_counts_for_its_cohort(wire: Wire) -> None:
    wire.refuses("10.0.2.0")
    wire.client.sends(ask(b"X-Tenant-ID: dead"))
    assert counted(wire, *ANSWERS) == {"green/pilot": 1}
    wire.client.sends(ask(b"X-Tenant-ID: free"))
    assert counted(wire, *ANSWERS) == {"green/pilot": 1, "green/canary": 1}
    wire.client.sends(ask(b"X-Tenant-ID: pinned"))
    assert counted(wire, telemetry.IN_FLIGHT) == {"blue/pilot": 1}
    wire.client.vanishes()
    assert counted(wire, telemetry.IN_FLIGHT) == {}
    assert counted(wire, telemetry.ABORTED) == {"blue/pilot": 1}
    second = wire.connects()
    second.sends(WEBSOCKET.replace(b"acme", b"pinned"))
    wire.endpoint(1).sends(SWITCH)
    assert counted(wire, telemetry.TUNNELS) == {"blue/pilot": 1}
