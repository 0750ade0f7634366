"""Endpoints that fail: ejected, on trial, back; panic; the retry budget."""

from collections import Counter

import pytest

from proxy.observability import telemetry
from proxy.upstream.health import State
from tests.support.messages import ask, post, take_message
from tests.support.wire import EndpointSide, Wire, playbook, table

GET = ask()
BROKEN = "10.0.1.1"
SOON = {"ejection": {"failures": 2}}


def states(wire: Wire) -> list[str]:
    return [State(pool.health.state).name for pool in wire.services.slots.groups[0].pools]


def asked(wire: Wire) -> EndpointSide:
    """The endpoint that has a request now; its request is taken."""
    (found,) = [
        each for each in wire.endpoints if not each.transport.lost and each.transport.arrived
    ]
    assert take_message(found.transport.arrived, b"") is not None
    return found


def served(wire: Wire, times: int, request: bytes = GET) -> Counter[str]:
    """So many requests, one after the other, all answered: how many each host had."""
    hosts: Counter[str] = Counter()
    for _ in range(times):
        wire.client.sends(request)
        endpoint = asked(wire)
        hosts[endpoint.host] += 1
        endpoint.answers()
        assert wire.client.answer().status == 200
    return hosts


@playbook(routing=table(blue=2), cuts=("whole",))
def test_an_endpoint_that_refuses_is_ejected_and_no_request_is_lost(wire: Wire) -> None:
    wire.refuses(BROKEN)
    assert set(served(wire, 30, post(b"pay"))) == {"10.0.1.0"}
    assert states(wire) == ["HEALTHY", "EJECTED"]
    assert wire.gauge(telemetry.CONNECT_FAILURES) == 5
    assert wire.gauge(telemetry.EJECTIONS) == 1
    assert wire.gauge(telemetry.ENDPOINTS_ELIGIBLE) == 1 + 1  # the other slot's one


def resets(wire: Wire) -> None:
    asked(wire).vanishes()
    wire.client.refused(502, closes=False)


def sends_garbage(wire: Wire) -> None:
    asked(wire).sends(b"SMTP ready\r\n\r\n")
    wire.client.refused(502, closes=False)


@pytest.mark.parametrize("fault", [resets, sends_garbage])
@playbook(routing=table(blue=2), settings=SOON)
def test_faults_in_a_row_eject(wire: Wire, fault) -> None:
    for _ in range(2):
        wire.client.sends(GET)  # the healthy one has its turn too: ties go round
        fault(wire)
        wire.client.sends(GET)
        fault(wire)
    assert sorted(states(wire)) == ["EJECTED", "UNKNOWN"], "one may stay, however it fails"


HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"
CHUNK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"


def breaks_off(wire: Wire, begun: bytes = HALF, then: bytes | None = None) -> None:
    """One more client's answer begins, and never comes to its end."""
    client = wire.connects()
    client.sends(GET)
    endpoint = asked(wire)
    endpoint.sends(begun)
    if then is None:
        endpoint.vanishes()
    else:
        endpoint.sends(then)
    assert client.aborted


@pytest.mark.parametrize(
    ("begun", "then"), [(HALF, None), (CHUNK, None), (CHUNK, b"no size\r\n")],
    ids=["of a length", "in chunks", "bad chunk"],
)  # fmt: skip
@playbook(routing=table(blue=2), settings=SOON)
def test_answers_that_break_off_eject(wire: Wire, begun: bytes, then: bytes | None) -> None:
    for _ in range(4):
        breaks_off(wire, begun, then)
    assert sorted(states(wire)) == ["EJECTED", "HEALTHY"]


@playbook(routing=table(blue=2), settings=SOON, cuts=("whole",))
def test_a_whole_answer_between_them_keeps_it_in(wire: Wire) -> None:
    for _ in range(6):
        breaks_off(wire)
        breaks_off(wire)
        served(wire, 2)
    assert states(wire) == ["HEALTHY", "HEALTHY"]


@playbook(routing=table(blue=2), settings=SOON, cuts=("whole",))
def test_a_client_that_leaves_midway_is_no_fault_of_the_endpoint(wire: Wire) -> None:
    for _ in range(9):
        client = wire.connects()
        client.sends(GET)
        endpoint = asked(wire)
        endpoint.sends(HALF)
        client.vanishes()
        assert endpoint.closed
    assert states(wire) == ["HEALTHY", "HEALTHY"]


@playbook(routing=table(blue=2), settings=SOON, cuts=("whole",))
def test_nor_is_one_that_takes_nothing(wire: Wire) -> None:
    """The endpoint may have waited for as long as it could."""
    for _ in range(9):
        client = wire.connects()
        client.sends(GET)
        endpoint = asked(wire)
        client.stalls()
        endpoint.sends(b"HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n" + b"x" * 200_000)
        assert endpoint.paused
        endpoint.vanishes()
        assert client.aborted
    assert states(wire) == ["HEALTHY", "HEALTHY"]


@playbook(routing=table(blue=2), settings=SOON, cuts=("whole",))
def test_answers_that_come_too_late_eject(wire: Wire) -> None:
    for _ in range(3):
        client = wire.connects()
        client.sends(GET)
        wire.later(30.1)
        assert client.answer().status == 504
    assert sorted(states(wire)) == ["EJECTED", "UNKNOWN"]


@pytest.mark.parametrize(("on_5xx", "state"), [(True, "EJECTED"), (False, "HEALTHY")])
def test_an_endpoints_own_5xx_ejects_only_if_it_is_to(on_5xx: bool, state: str) -> None:
    settings = {"ejection": {"failures": 2, "on_5xx": on_5xx}}
    with Wire(settings=settings, routing=table(blue=2)) as wire:
        for _ in range(6):
            wire.client.sends(GET)
            endpoint = asked(wire)
            status = b"500 Oops" if endpoint.host == BROKEN else b"200 OK"
            endpoint.answers(status=status)
            wire.client.answer()
        assert states(wire) == ["HEALTHY", state]


@playbook(routing=table(blue=1), settings=SOON)
def test_the_only_endpoint_is_never_ejected(wire: Wire) -> None:
    wire.refuses("10.0.1.0")
    for _ in range(9):
        wire.client.sends(GET)
        wire.client.refused(502, closes=False)
    assert states(wire) == ["UNKNOWN"]
    assert wire.gauge(telemetry.RETRIES) == wire.gauge(telemetry.RETRIES_REFUSED) == 0


@playbook(routing=table(blue=2), settings=SOON)
def test_a_race_lost_on_an_idle_connection_is_nobodys_fault(wire: Wire) -> None:
    clients = [wire.client, *(wire.connects() for _ in range(5))]
    for client in clients:
        client.sends(GET)
    for endpoint in wire.endpoints:
        endpoint.request()
        endpoint.answers()
    for client in clients:
        client.answer()
        client.sends(post(b"pay"))
        asked(wire).vanishes()
        assert client.answer().status == 502
    assert len(wire.endpoints) == 6
    assert states(wire) == ["HEALTHY", "HEALTHY"]


@playbook(routing=table(blue=2), settings=SOON, cuts=("whole",))
def test_who_was_ejected_comes_back_on_trial_and_then_by_and_by(wire: Wire) -> None:
    wire.refuses(BROKEN)
    served(wire, 6)
    assert states(wire)[1] == "EJECTED"
    assert set(served(wire, 20)) == {"10.0.1.0"}
    del wire._refusals[BROKEN]
    wire.later(10.1)
    assert states(wire)[1] == "TRIAL"
    others = [wire.connects() for _ in range(6)]
    for client in others:
        client.sends(GET)
    hosts = Counter(each.host for each in wire.endpoints if each.transport.arrived)
    assert hosts == {"10.0.1.0": 5, BROKEN: 1}, "one at a time"
    for endpoint in list(wire.endpoints):
        if endpoint.transport.arrived:
            endpoint.request()
            endpoint.answers()
    for client in others:
        assert client.answer().status == 200
    assert states(wire)[1] == "WARMING"
    early = served(wire, 400)[BROKEN]
    wire.later(5)
    later = served(wire, 400)[BROKEN]
    wire.later(5.1)
    assert states(wire)[1] == "HEALTHY"
    whole = served(wire, 400)[BROKEN]
    assert early < 40 < later < 150 < whole
    assert whole == 200


@playbook(routing=table(blue=2), settings=SOON, cuts=("whole",))
def test_a_trial_that_fails_ejects_again_for_longer(wire: Wire) -> None:
    wire.refuses(BROKEN)
    served(wire, 6)
    wire.later(10.1)
    served(wire, 6)
    assert states(wire)[1] == "EJECTED"
    wire.later(10.1)
    assert states(wire)[1] == "EJECTED"
    wire.later(10)
    assert states(wire)[1] == "TRIAL"
    assert wire.gauge(telemetry.CONNECT_FAILURES) == 3


@playbook(routing=table(blue=2), settings=SOON, cuts=("whole",))
def test_open_websockets_do_not_stand_in_the_way_of_a_trial_which_one_more_passes(
    wire: Wire,
) -> None:
    for _ in range(4):
        websocket(wire)
    wire.refuses(BROKEN)
    served(wire, 6)
    assert states(wire)[1] == "EJECTED"
    del wire._refusals[BROKEN]
    wire.later(10.1)
    assert states(wire)[1] == "TRIAL"
    assert BROKEN in {websocket(wire) for _ in range(2)}, "ties go round"
    assert states(wire)[1] == "WARMING"


def websocket(wire: Wire) -> str:
    """One more client has a tunnel; to which host."""
    client = wire.connects()
    client.sends(ask(b"Connection: Upgrade", b"Upgrade: websocket"))
    endpoint = asked(wire)
    endpoint.sends(b"HTTP/1.1 101 S\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    assert client.answer().status == 101
    return endpoint.host


@playbook(routing=table(blue=2), settings={"ejection": {"failures": 1, "percent": 100}})
def test_with_all_ejected_all_are_used(wire: Wire) -> None:
    for number in range(2):
        wire.refuses(f"10.0.1.{number}")
    wire.client.sends(GET)
    wire.client.refused(502, closes=False)
    assert states(wire) == ["EJECTED", "EJECTED"]
    wire._refusals.clear()
    assert set(served(wire, 10)) == {"10.0.1.0", BROKEN}
    assert wire.gauge(telemetry.PANICS) >= 10
    wire.client.got_nothing()


@playbook(routing=table(blue=2), cuts=("whole",))
def test_with_all_checks_failed_it_is_503_at_once(wire: Wire) -> None:
    group = wire.services.slots.groups[0]
    for pool in group.pools:
        group.checked(pool, wire.services.now, passed=False)
    wire.client.sends(GET)
    answer = wire.client.refused(503, closes=False)
    assert answer["Retry-After"] == b"1"
    assert b'"none-healthy"' in answer.body
    assert not wire.endpoints


@playbook(
    routing=table(blue=2),
    settings={
        "balancing": {"retry_percent": 0, "retries_per_s": 0.2},
        "ejection": {"failures": 0},
    },
    cuts=("whole",),
)
def test_a_used_up_budget_answers_the_failure_as_it_is(wire: Wire) -> None:
    wire.refuses(BROKEN)
    outcomes = []
    for _ in range(12):
        wire.client.sends(GET)
        if any(each.transport.arrived for each in wire.endpoints):
            asked(wire).answers()
        outcomes.append(wire.client.answer().status)
    assert outcomes.count(502) == 4
    assert wire.gauge(telemetry.RETRIES) == 2  # 0.2 a second, counted over ten
    assert wire.gauge(telemetry.RETRIES_REFUSED) == 4
    wire.later(20.1)
    wire.later(0)
    assert served(wire, 2) == {"10.0.1.0": 2}
    assert wire.gauge(telemetry.RETRIES) == 3


@playbook(settings={"balancing": {"retry_percent": 0, "retries_per_s": 0.0}})
def test_without_a_budget_a_lost_repeatable_request_is_502(wire: Wire) -> None:
    served(wire, 1)
    wire.client.sends(GET)
    wire.endpoint(0).vanishes()
    wire.client.refused(502, closes=False)
    assert len(wire.endpoints) == 1


@playbook(routing=table(blue=2), cuts=("whole",))
def test_what_is_thought_of_an_endpoint_stays_while_it_is_in_the_table(wire: Wire) -> None:
    wire.refuses(BROKEN)
    served(wire, 12)
    wire.use(table(blue=3))
    assert states(wire) == ["HEALTHY", "EJECTED", "WARMING"]
