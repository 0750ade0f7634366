"""The log of faults: what it says, and how seldom."""

import pytest

from proxy.observability.fault_log import FaultLog
from tests.support.messages import ask
from tests.support.wire import Wire, table


def test_one_line_a_second_for_each_endpoint(caplog: pytest.LogCaptureFixture) -> None:
    log = FaultLog()
    for number in range(1000):
        log.say("a", "no-answer", "", b"id", "acme", number * 0.001)
    log.say("b", "bad-answer", "why", b"id", "", 0.5)
    assert caplog.messages == [
        "a: no-answer (request 'id' of tenant 'acme')",
        "b: bad-answer: why (request 'id' of tenant -)",
    ]
    log.say("a", "connect-failed", "", b"id", "acme", 1.0)
    assert caplog.messages[2:] == [
        "a: 999 more faults, the last no-answer",
        "a: connect-failed (request 'id' of tenant 'acme')",
    ]


def test_those_left_out_are_told_when_no_more_come(caplog: pytest.LogCaptureFixture) -> None:
    log = FaultLog()
    for _ in range(3):
        log.say("a", "no-answer", "", b"id", "acme", 5.0)
    log.sweep(5.5)
    assert len(caplog.messages) == 1
    log.sweep(6.0)
    log.sweep(9.0)
    assert caplog.messages[1:] == ["a: 2 more faults, the last no-answer"]


def test_it_remembers_a_bounded_number_of_endpoints() -> None:
    log = FaultLog()
    for number in range(5000):
        log.say(f"endpoint {number}", "no-answer", "", b"id", "", 0.0)
    assert len(log._said) <= 1024


def test_what_a_client_named_is_escaped(caplog: pytest.LogCaptureFixture) -> None:
    FaultLog().say("a", "no-answer", "", b"'\x1b[2J\n\xff", "", 0.0)
    (line,) = caplog.messages
    assert line.isascii()
    assert line.isprintable()


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
         "endpoint 10.0.1.0:8000 of blue: bad-answer: Content-Length is not a number"),
        (b"garbage\r\n\r\n", "endpoint 10.0.1.0:8000 of blue: bad-answer: "),
        (b"", "endpoint 10.0.1.0:8000 of blue: no-answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
         "endpoint 10.0.1.0:8000 of blue: an answer broke off: the connection ended"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
         "endpoint 10.0.1.0:8000 of blue: an answer broke off: "),
    ],
)  # fmt: skip
def test_a_fault_names_the_endpoint_and_the_reason(
    answer: bytes, line: str, caplog: pytest.LogCaptureFixture
) -> None:
    with Wire() as wire:
        wire.client.sends(ask(b"Authorization: s3cret", target=b"/?s3cret"))
        if answer:
            wire.endpoint(0).sends(answer)
        wire.endpoint(0).vanishes()
    assert len(caplog.messages) == 1
    assert caplog.messages[0].startswith(line)
    assert "s3cret" not in caplog.text


def test_an_endpoint_that_can_t_be_reached_is_named(caplog: pytest.LogCaptureFixture) -> None:
    with Wire() as wire:
        wire.refuses("10.0.1.0")
        wire.client.sends(ask())
        wire.client.refused(502, closes=False)
    assert caplog.messages[0].startswith("endpoint 10.0.1.0:8000 of blue: connect-failed")


def test_a_slot_without_endpoints_is_named(caplog: pytest.LogCaptureFixture) -> None:
    with Wire(routing=table(blue=0)) as wire:
        wire.client.sends(ask())
        wire.client.refused(503, closes=False)
    assert caplog.messages[0].startswith("slot blue: no-endpoint")


def test_what_a_client_does_wrong_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with Wire() as wire:
        wire.client.sends(b"GET\r\n\r\n")
        wire.connects().sends(ask(b"Content-Length: 99999999", method=b"POST"))
    assert caplog.messages == []
