"""traceparent and Server-Timing: what is passed on, begun, dropped and told."""

import re

import pytest

from proxy.http1.trace import begun, trace_id
from tests.support.messages import ask
from tests.support.wire import Wire, playbook

TRACE = b"0af7651916cd43dd8448eb211c80319c"
VALID = b"00-" + TRACE + b"-b7ad6b7169203331-01"
LATER = b"cc-" + TRACE + b"-b7ad6b7169203331-01-what-may-come"
INVALID = (
    b"",
    VALID.upper(),
    VALID + b"-more",
    VALID[:-1],
    VALID + b"0",
    b"ff" + VALID[2:],
    b"00-" + b"0" * 32 + b"-b7ad6b7169203331-01",
    b"00-" + TRACE + b"-" + b"0" * 16 + b"-01",
    VALID.replace(b"-", b"_"),
    b"0g" + VALID[2:],
    VALID + b", " + VALID,
    b"cc" + VALID[2:] + b"more",
    b"cc" + VALID[2:] + b"-" + b"x" * 500,
)
STATE = b"congo=t61rcWkgMzE, rojo=00f067aa0ba902b7"
ASKED = {"tracing": {"server_timing": "asked"}}
TIMING = re.compile(
    rb'slot;desc="blue", cohort;desc="rest", turnout;dur=[0-9.e-]+, upstream;dur=[0-9.e-]+'
)


def context(wire: Wire, *fields: bytes) -> tuple[list[bytes], list[bytes]]:
    """What the endpoint gets of a request with these fields."""
    wire.client.sends(ask(*fields))
    request = wire.endpoint(0).request()
    wire.endpoint(0).answers()
    return request.all("traceparent"), request.all("tracestate")


@pytest.mark.parametrize("value", [VALID, LATER], ids=["level-1", "later"])
@playbook(trusted=True)
def test_a_valid_trace_context_goes_on_unchanged(wire: Wire, value: bytes) -> None:
    fields = (b"tracestate: " + STATE, b"Traceparent: " + value)
    assert context(wire, *fields) == ([value], [STATE])
    assert context(wire, b"traceparent: " + value) == ([value], [])


@playbook(trusted=True)
def test_several_tracestates_are_one_list(wire: Wire) -> None:
    fields = (b"tracestate: a=1", b"traceparent: " + VALID, b"tracestate: b=2")
    assert context(wire, *fields) == ([VALID], [b"a=1, b=2"])


@pytest.mark.parametrize("value", INVALID)
@playbook(cuts=("whole",), trusted=True)
def test_an_invalid_one_is_dropped_with_its_state(wire: Wire, value: bytes) -> None:
    assert context(wire, b"traceparent: " + value, b"tracestate: " + STATE) == ([], [])


@playbook(trusted=True)
def test_two_are_dropped(wire: Wire) -> None:
    assert context(wire, b"traceparent: " + VALID, b"traceparent: " + VALID) == ([], [])
    assert context(wire, *[b"traceparent: " + VALID] * 3) == ([], [])


@playbook(trusted=True)
def test_a_state_alone_or_too_long_is_dropped(wire: Wire) -> None:
    assert context(wire, b"tracestate: " + STATE) == ([], [])
    long = b"tracestate: a=" + b"x" * 600
    assert context(wire, b"traceparent: " + VALID, long) == ([VALID], [])


@playbook()
def test_an_untrusted_client_s_is_dropped(wire: Wire) -> None:
    assert context(wire, b"traceparent: " + VALID, b"tracestate: " + STATE) == ([], [])


@playbook(trusted=True)
def test_connection_may_name_it(wire: Wire) -> None:
    fields = (b"traceparent: " + VALID, b"tracestate: " + STATE)
    assert context(wire, *fields, b"Connection: tracestate") == ([VALID], [])
    assert context(wire, *fields, b"Connection: traceparent") == ([], [])


@playbook(trusted=True, settings={"tracing": {"traceparent": "off"}})
def test_off_drops_all(wire: Wire) -> None:
    assert context(wire, b"traceparent: " + VALID, b"tracestate: " + STATE) == ([], [])


@pytest.mark.parametrize("trusted", [True, False])
def test_one_is_begun_where_there_is_none(trusted: bool) -> None:
    with Wire(trusted=trusted, settings={"tracing": {"traceparent": "begin"}}) as wire:
        traces = set()
        for fields in ((), (b"traceparent: 00-bad",), (b"traceparent: " + VALID,) * 2):
            ((value,), state) = context(wire, *fields)
            assert re.fullmatch(rb"00-[0-9a-f]{32}-[0-9a-f]{16}-00", value)
            assert state == []
            traces.add(trace_id(value))
        assert len(traces) == 3
        assert TRACE not in traces
        expected = VALID if trusted else None
        ((value,), _) = context(wire, b"traceparent: " + VALID)
        assert (value == expected) is trusted


def test_a_trace_that_is_begun_is_valid() -> None:
    assert trace_id(begun(bytes(24))) == b"0" * 31 + b"1"
    assert trace_id(begun(bytes(range(24)))) == bytes(range(16)).hex().encode()


# ── Server-Timing ─────────────────────────────────────────────────────────────────────────────


def timing(wire: Wire, *fields: bytes) -> list[bytes]:
    wire.client.sends(ask(*fields))
    wire.endpoint(0).request()
    wire.endpoint(0).sends(
        b"HTTP/1.1 200 OK\r\nServer-Timing: db;dur=1\r\nContent-Length: 0\r\n\r\n"
    )
    own, *ours = wire.client.answer().all("Server-Timing")
    assert own == b"db;dur=1"
    return ours


@playbook(trusted=True, settings=ASKED)
def test_timing_is_told_to_a_trusted_client_that_asks(wire: Wire) -> None:
    (value,) = timing(wire, b"X-Turnout-Timing: 1")
    assert TIMING.fullmatch(value), value
    assert timing(wire, b"X-Turnout-Timing: 0") == []
    assert timing(wire) == []


@playbook(trusted=True, settings=ASKED)
def test_the_header_that_asks_is_not_passed_on(wire: Wire) -> None:
    wire.client.sends(ask(b"X-Turnout-Timing: 1"))
    assert wire.endpoint(0).request().all("X-Turnout-Timing") == []


@playbook(settings=ASKED)
def test_timing_is_not_told_to_others(wire: Wire) -> None:
    assert timing(wire, b"X-Turnout-Timing: 1") == []


@playbook(trusted=True)
def test_timing_is_off_by_default(wire: Wire) -> None:
    assert timing(wire, b"X-Turnout-Timing: 1") == []


@playbook(settings={"tracing": {"server_timing": "always"}})
def test_timing_is_always_told_if_the_settings_say_so(wire: Wire) -> None:
    (value,) = timing(wire)
    assert TIMING.fullmatch(value), value
