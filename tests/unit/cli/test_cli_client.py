"""The client against a server that plays a script."""

import json
import socket
from collections.abc import Callable

import pytest

from admin.cli.client import AdminClient, Refused, Unreachable, parse_events, parse_url, read_answer
from tests.unit.cli.script import OK, Script, answer, key_of

Play = Callable[..., Script]


def test_a_read_returns_the_document(play: Play) -> None:
    script = play(answer({"version": 3}))
    assert AdminClient(script.url, "t.o.k", 100).read("/v1/routing") == {"version": 3}
    assert b"GET /v1/routing HTTP/1.1" in script.requests[0]
    assert b"Authorization: Bearer t.o.k" in script.requests[0]


def test_a_write_carries_its_fields_the_timeout_and_a_key(play: Play) -> None:
    script = play(answer(OK))
    fields = {"slot": "green", "expected_version": None}
    AdminClient(script.url, "", 250).change("PUT", "/v1/tenants/acme/pin", fields)
    head, _, body = script.requests[0].partition(b"\r\n\r\n")
    assert json.loads(body) == {"slot": "green", "timeout_ms": 250}
    assert len(key_of(head)) > 40
    assert b"Authorization" not in head


def test_a_deletion_has_its_fields_in_the_query(play: Play) -> None:
    script = play(answer(OK))
    AdminClient(script.url, "", 250).change(
        "DELETE", "/v1/tenants/acme/pin", {"expected_version": 4}
    )
    line = script.requests[0].split(b"\r\n")[0]
    assert line == b"DELETE /v1/tenants/acme/pin?timeout_ms=250&expected_version=4 HTTP/1.1"


def test_a_write_lost_before_its_answer_is_sent_again_with_the_same_key(play: Play) -> None:
    script = play(b"", answer(OK))
    assert AdminClient(script.url, "", 100).change("PUT", "/v1/canary", {"percent": 5}) == OK
    assert len(script.requests) == 2
    assert key_of(script.requests[0]) == key_of(script.requests[1])


def test_a_write_lost_in_the_middle_of_its_answer_is_sent_again(play: Play) -> None:
    script = play(answer(OK)[:-5], answer(OK))
    assert AdminClient(script.url, "", 100).change("PUT", "/v1/canary", {"percent": 5}) == OK
    assert key_of(script.requests[0]) == key_of(script.requests[1])


def test_a_write_is_sent_no_more_than_twice(play: Play) -> None:
    script = play(b"", b"", answer(OK))
    with pytest.raises(Unreachable) as caught:
        AdminClient(script.url, "", 100).change("PUT", "/v1/canary", {"percent": 5})
    assert caught.value.unsure
    assert len(script.requests) == 2


def test_two_writes_have_two_keys(play: Play) -> None:
    script = play(answer(OK), answer(OK))
    client = AdminClient(script.url, "", 100)
    client.change("PUT", "/v1/canary", {"percent": 5})
    client.change("PUT", "/v1/canary", {"percent": 5})
    assert key_of(script.requests[0]) != key_of(script.requests[1])


def test_a_port_that_nobody_listens_on_is_unreachable_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Unreachable, match="connection refused") as caught:
        AdminClient(f"127.0.0.1:{port}", "", 100).change("PUT", "/v1/canary", {})
    assert not caught.value.unsure


def test_a_problem_is_a_refusal(play: Play) -> None:
    problem = {"code": "version-conflict", "detail": "stale", "version": 9}
    script = play(answer(problem, "409 Conflict", "application/problem+json"))
    with pytest.raises(Refused, match="stale") as caught:
        AdminClient(script.url, "", 100).change("PUT", "/v1/canary", {})
    assert (caught.value.status, caught.value.problem) == (409, problem)


@pytest.mark.parametrize(
    "step",
    [
        answer(b"<html>", "200 OK", "text/html"),
        answer(b"{", "200 OK"),
        answer([1], "200 OK"),
        answer({"error": "x"}, "404 Not Found"),
        b"SSH-2.0-OpenSSH_9.2\r\n",
    ],
)
def test_what_is_no_admin_is_said_to_be_none(play: Play, step: bytes) -> None:
    script = play(step)
    with pytest.raises(Unreachable):
        AdminClient(script.url, "", 100).read("/v1/routing")


def test_the_live_feed_is_read_event_by_event(play: Play) -> None:
    feed = b': hello\n\nevent: change\ndata: {"version": 4}\n\n: beat\n\nevent: store\ndata: {}\n\n'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    script = play(head + feed)
    events = list(AdminClient(script.url, "", 100).follow("/v1/events", {"types": "change"}))
    assert [(event.kind, event.data) for event in events] == [
        ("change", {"version": 4}),
        ("store", {}),
    ]
    assert b"GET /v1/events?types=change " in script.requests[0]


def test_a_refused_feed_is_a_refusal(play: Play) -> None:
    script = play(answer({"code": "no-token"}, "401 Unauthorized", "application/problem+json"))
    with pytest.raises(Refused):
        list(AdminClient(script.url, "", 100).follow("/v1/events"))


def test_an_endless_event_is_refused() -> None:
    with pytest.raises(Unreachable, match="too long"):
        list(parse_events(iter([b"data: " + b"x" * 70_000] * 20)))


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("http://127.0.0.1:8081/", "http://127.0.0.1:8081"),
        ("localhost:8081", "http://localhost:8081"),
        ("https://admin.example.com/turnout/", "https://admin.example.com/turnout"),
    ],
)
def test_urls_as_people_write_them(given: str, meant: str) -> None:
    assert parse_url(given).geturl() == meant


@pytest.mark.parametrize(
    "given",
    ["", "ftp://x", "http://", "http://me:pass@x", "http://x?a=b", "http://x:99999", "http://x:a"],
)
def test_urls_that_cannot_be_used(given: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_url(given)
    assert "pass" not in str(caught.value).replace("password", "")


def test_a_success_that_is_too_long_is_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("admin.cli.client.MAX_BODY", 4)
    with pytest.raises(Unreachable):
        read_answer(200, "application/json", b'{"a": 1}')
