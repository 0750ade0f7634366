"""Endpoints of a plain TCP listener that fail: ejected, on trial, back; panic; checks."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from proxy.observability import telemetry
from proxy.upstream.health import State
from tests.support.tcp_wire import TcpClient, TcpWire
from tests.support.wire import table

WireOf = Callable[..., TcpWire]
BROKEN = "10.0.1.1"
SOON = {"ejection": {"failures": 2}}
ALL = {"ejection": {"failures": 1, "percent": 100}}
CHECKS = {"checks": {"interval_s": 1.0, "path": "/up", "rise": 1, "fall": 2}}


@pytest.fixture
def wire_of() -> Iterator[WireOf]:
    wires: list[TcpWire] = []

    def make(blue: int = 2, **settings: Any) -> TcpWire:
        wires.append(TcpWire(routing=table(blue=blue), settings=settings))
        return wires[-1]

    yield make
    for wire in wires:
        wire.leave()


def states(wire: TcpWire) -> list[str]:
    return [State(pool.health.state).name for pool in wire.slots.groups[0].pools]


def served(wire: TcpWire, times: int) -> Counter[str]:
    """So many clients, one after the other, all joined: how many each host had."""
    hosts: Counter[str] = Counter()
    for _ in range(times):
        hosts[joined(wire)] += 1
        wire.clients[-1].vanishes()
    return hosts


def joined(wire: TcpWire) -> str:
    """One more client; whom it was joined to."""
    client = wire.connects(b"job")
    assert client.open
    wire.endpoints[-1].got(b"job")
    return wire.endpoints[-1].host


def refused(wire: TcpWire, status: int) -> TcpClient:
    before = wire.refused(status)
    client = wire.connects(b"job")
    assert client.transport.lost
    assert wire.refused(status) == before + 1
    return client


def test_an_endpoint_that_refuses_is_ejected_and_no_client_is_lost(wire_of: WireOf) -> None:
    wire = wire_of()
    wire.refuses = {BROKEN}
    assert set(served(wire, 30)) == {"10.0.1.0"}
    assert states(wire) == ["HEALTHY", "EJECTED"]
    assert wire.gauge(telemetry.CONNECT_FAILURES) == 5
    assert wire.gauge(telemetry.EJECTIONS) == 1


def test_one_that_does_not_answer_is_ejected(wire_of: WireOf) -> None:
    wire = wire_of(**SOON)
    wire.hangs = {BROKEN}
    for _ in range(4):
        client = wire.connects()
        wire.later(3)
        assert client.open
    assert states(wire) == ["HEALTHY", "EJECTED"]


def test_one_that_resets_at_once_is_passed_over_and_ejected(wire_of: WireOf) -> None:
    wire = wire_of(**SOON)
    wire.resets = {BROKEN}
    assert set(served(wire, 9)) == {"10.0.1.0"}
    assert states(wire) == ["HEALTHY", "EJECTED"]


def test_a_client_that_goes_while_connecting_says_nothing_of_the_endpoint(wire_of: WireOf) -> None:
    wire = wire_of(**ALL)
    wire.hangs = {"10.0.1.0", BROKEN}
    for _ in range(6):
        wire.connects().vanishes()
    assert states(wire) == ["UNKNOWN", "UNKNOWN"]


def test_the_only_endpoint_is_never_ejected(wire_of: WireOf) -> None:
    wire = wire_of(blue=1)
    wire.refuses = {"10.0.1.0"}
    for _ in range(9):
        refused(wire, 502)
    assert states(wire) == ["UNKNOWN"]
    assert len(wire.dialled) == 9, "there is no other to try"


def test_who_was_ejected_comes_back_on_trial_and_then_by_and_by(wire_of: WireOf) -> None:
    wire = wire_of(**SOON)
    wire.refuses = {BROKEN}
    served(wire, 6)
    assert states(wire)[1] == "EJECTED"
    wire.refuses.clear()
    assert set(served(wire, 20)) == {"10.0.1.0"}
    wire.later(10.1)
    assert states(wire)[1] == "TRIAL"
    wire.hangs = {BROKEN}
    others = [wire.connects() for _ in range(6)]
    hosts = Counter(host for host, _ in wire.dialled[-6:])
    assert hosts == {"10.0.1.0": 5, BROKEN: 1}, "one at a time"
    wire.hangs.clear()
    wire.later(3)  # the trial has failed: nothing answered
    assert states(wire)[1] == "EJECTED"
    for client in others:
        client.vanishes()
    wire.later(20.1)
    assert states(wire)[1] == "TRIAL"
    assert BROKEN in served(wire, 2)
    assert states(wire)[1] == "WARMING"
    assert served(wire, 400)[BROKEN] < 80
    wire.later(10.1)
    assert states(wire)[1] == "HEALTHY"
    assert served(wire, 400)[BROKEN] == 200


def test_open_tunnels_do_not_stand_in_the_way_of_a_trial(wire_of: WireOf) -> None:
    wire = wire_of(**SOON)
    kept = [joined(wire) for _ in range(4)]
    assert kept.count(BROKEN) == 2
    wire.refuses = {BROKEN}
    for _ in range(6):
        assert joined(wire) == "10.0.1.0"
    assert states(wire)[1] == "EJECTED"
    wire.refuses.clear()
    wire.later(10.1)
    assert joined(wire) == BROKEN
    assert states(wire)[1] == "WARMING"


def test_with_all_ejected_all_are_used(wire_of: WireOf) -> None:
    wire = wire_of(**ALL)
    wire.refuses = {"10.0.1.0", BROKEN}
    refused(wire, 502)
    assert states(wire) == ["EJECTED", "EJECTED"]
    wire.refuses.clear()
    assert set(served(wire, 10)) == {"10.0.1.0", BROKEN}
    assert wire.gauge(telemetry.PANICS) >= 10


def test_with_all_ejected_and_no_panic_it_is_closed_at_once(wire_of: WireOf) -> None:
    wire = wire_of(**ALL, balancing={"panic_percent": 0})
    wire.refuses = {"10.0.1.0", BROKEN}
    refused(wire, 502)
    dialled = len(wire.dialled)
    refused(wire, 503)
    assert len(wire.dialled) == dialled


def test_below_the_threshold_health_is_ignored(wire_of: WireOf) -> None:
    wire = wire_of(blue=3, balancing={"panic_percent": 70})
    cluster = wire.slots.groups[0]
    cluster.checked(cluster.pools[0], wire.services.now, passed=False)
    assert "10.0.1.0" in served(wire, 40)


def test_a_check_is_a_connection_to_the_listeners_own_port(wire_of: WireOf) -> None:
    wire = wire_of(**CHECKS)
    wire.refuses = {BROKEN}
    wire.later(0.3)
    own = Counter(host for host, port in wire.dialled if port == 9100)
    assert own == {"10.0.1.0": 1, BROKEN: 1, "10.0.2.0": 1}
    assert states(wire) == ["HEALTHY", "UNHEALTHY"], "the first check of a stranger is believed"
    for endpoint in wire.endpoints:
        if endpoint.port == 9100:
            endpoint.got_nothing()
            assert endpoint.transport.lost
        else:
            assert endpoint.request().target == b"/up"
            endpoint.answers()
    assert set(served(wire, 20)) == {"10.0.1.0"}
    assert wire.gauge(telemetry.CONNECT_FAILURES) == 0
    wire.refuses.clear()
    wire.later(1.2)
    assert states(wire) == ["HEALTHY", "WARMING"]
    wire.later(10.1)
    assert BROKEN in served(wire, 4)


def test_with_all_checks_failed_it_is_closed_at_once(wire_of: WireOf) -> None:
    wire = wire_of(**CHECKS)
    wire.refuses = {"10.0.1.0", BROKEN}
    wire.later(0.3)
    dialled = len(wire.dialled)
    refused(wire, 503)
    assert len(wire.dialled) == dialled


def test_without_checks_nothing_is_reached_that_no_client_asked_for(wire_of: WireOf) -> None:
    wire = wire_of()
    wire.later(60)
    assert not wire.dialled


def test_the_endpoints_follow_the_table_and_what_is_thought_of_them_stays(wire_of: WireOf) -> None:
    wire = wire_of()
    both = 2  # those for requests, and those of the listener
    assert wire.gauge(telemetry.ENDPOINTS) == both * (2 + 1)
    wire.refuses = {BROKEN}
    served(wire, 12)
    kept = wire.connects(b"job")
    last = wire.endpoints[-1]
    wire.use(table(blue=3))
    assert states(wire) == ["HEALTHY", "EJECTED", "WARMING"]
    assert wire.gauge(telemetry.ENDPOINTS) == both * (3 + 1)
    assert wire.gauge(telemetry.ENDPOINTS_ELIGIBLE) == both * (3 + 1) - 1
    wire.use(table(blue=0))
    refused(wire, 503)
    kept.sends(b"more")
    last.got(b"jobmore")
    assert wire.gauge(telemetry.ENDPOINTS) == wire.gauge(telemetry.ENDPOINTS_ELIGIBLE) == both


@pytest.mark.parametrize("own", [True, False])
def test_a_name_twice_is_one_endpoint(own: bool) -> None:
    tcp: dict[str, Any] = {"tenant": "acme"}
    tcp |= {"blue": ["10.9.0.1:515", "10.9.0.1:515"]} if own else {"port": 9100}
    wire = TcpWire(tcp=tcp, routing=table(blue=1))
    wire.use(table(blue=1, green=2))
    assert len(wire.slots.groups[0].pools) == 1
    wire.leave()
