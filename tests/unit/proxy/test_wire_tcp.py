"""Plain TCP: whose port, which slot, what is held until the tunnel stands, how it ends."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from types import MappingProxyType
from typing import Any

import pytest

from proxy.downstream.tcp import TRANSITIONS, Event, State
from proxy.observability import telemetry
from proxy.routing.change import Change, Hold, Operation, Pin, Release, apply
from proxy.routing.model import Endpoint, RoutingTable, Slot
from tests.support.client_hello import by_openssl
from tests.support.tcp_wire import TcpClient, TcpWire
from tests.support.wire import byte_by_byte, table, whole

Of = Callable[..., TcpWire]
SNI = {"tenant_by": "sni", "port": 9100, "names": {"Rip.Bodoni.example": "bodoni"}}
DOMAINS = {"identity": {"domains": ["print.example"]}}


@pytest.fixture(params=["whole", "bytes"])
def wire_of(request: pytest.FixtureRequest) -> Iterator[Of]:
    wires: list[TcpWire] = []

    def make(**options: Any) -> TcpWire:
        cut = whole if request.param == "whole" else byte_by_byte
        wires.append(TcpWire(cut, **options))
        return wires[-1]

    yield make
    for wire in wires:
        wire.leave()


def changed(before: RoutingTable, *operations: Operation) -> RoutingTable:
    return apply(before, Change(before.version + 1, operations))


def joined(wire: TcpWire, slot: Slot = Slot.BLUE) -> TcpClient:
    client = wire.connects()
    assert client.connection.state is State.TUNNEL
    number = list(Slot).index(slot)
    counted = [wire.block.groups[telemetry.group_of(number, each)] for each in range(3)]
    assert sum(group.values[telemetry.TUNNELS] for group in counted) >= 1
    return client


# ── whose it is ───────────────────────────────────────────────────────────────────────────────


def test_a_port_of_one_tenant_goes_to_its_slot(wire_of: Of) -> None:
    wire = wire_of(routing=changed(table(), Pin("acme", Slot.GREEN)))
    client = joined(wire, Slot.GREEN)
    assert wire.dialled == [("10.0.2.0", 9100)]
    client.sends(b"\x1b%-12345X@PJL\r\n")
    wire.endpoints[0].got(b"\x1b%-12345X@PJL\r\n")
    wire.endpoints[0].sends(b"ready")
    client.got(b"ready")


def test_a_tenant_that_moves_leaves_its_open_connections(wire_of: Of) -> None:
    wire = wire_of()
    before = joined(wire)
    wire.services.router.swap(changed(table(), Pin("acme", Slot.GREEN)))
    after = joined(wire, Slot.GREEN)
    for client, endpoint in ((before, wire.endpoints[0]), (after, wire.endpoints[1])):
        client.sends(b"job")
        endpoint.got(b"job")
    assert [each.host for each in wire.endpoints] == ["10.0.1.0", "10.0.2.0"]


def test_endpoints_of_its_own(wire_of: Of) -> None:
    tcp = {"tenant": "acme", "blue": ["10.9.0.1:515"], "green": ["10.9.0.2:515"]}
    wire = wire_of(tcp=tcp)
    joined(wire)
    assert wire.dialled == [("10.9.0.1", 515)]


@pytest.mark.parametrize(
    ("name", "tenant"),
    [("rip.bodoni.example", "bodoni"), ("acme.print.example", "acme"), ("elsewhere.example", "")],
)
def test_the_name_in_tls_tells_the_tenant(wire_of: Of, name: str, tenant: str) -> None:
    routing = changed(table(), Pin(tenant, Slot.GREEN)) if tenant else table()
    wire = wire_of(tcp=SNI, settings=DOMAINS, routing=routing)
    client = wire.connects()
    assert not wire.dialled
    hello = by_openssl(name)
    client.sends(hello)
    assert wire.dialled == [("10.0.2.0" if tenant else "10.0.1.0", 9100)]
    wire.endpoints[0].got(hello)
    wire.endpoints[0].sends(b"server hello")
    client.got(b"server hello")


def test_without_a_name_the_unidentified_go_as_the_settings_say(wire_of: Of) -> None:
    wire = wire_of(tcp=SNI)
    wire.connects().sends(by_openssl(None))
    assert wire.dialled == [("10.0.1.0", 9100)]
    refusing = wire_of(tcp=SNI, settings={"identity": {"unidentified": "refuse"}})
    client = refusing.connects()
    client.sends(by_openssl(None))
    assert client.transport.lost
    assert not refusing.dialled
    assert refusing.refused(401) == 1


@pytest.mark.parametrize(
    ("name", "why"), [("a.b.print.example", 400), ("unknown.print.example", 403)]
)
def test_a_name_that_cannot_be_served_is_closed(wire_of: Of, name: str, why: int) -> None:
    identity = {**DOMAINS["identity"], "unknown_tenants": "refuse"}
    wire = wire_of(tcp=SNI, settings={"identity": identity})
    client = wire.connects()
    client.sends(by_openssl(name))
    assert client.transport.lost
    assert wire.refused(why) == 1


def test_what_is_no_tls_is_closed_at_its_first_byte(wire_of: Of) -> None:
    wire = wire_of(tcp=SNI)
    client = wire.connects()
    client.sends_at_once(b"G")
    wire.settle()
    assert client.transport.lost
    assert wire.refused(400) == 1


def test_a_hello_that_never_ends_is_closed_in_time(wire_of: Of) -> None:
    wire = wire_of(tcp=SNI)
    client = wire.connects()
    client.sends(by_openssl("rip.bodoni.example")[:-1])
    wire.later(4.9)
    assert client.open
    wire.later(0.1)
    assert client.transport.lost
    assert wire.refused(408) == 1


def test_a_client_that_ends_within_its_hello_is_closed(wire_of: Of) -> None:
    wire = wire_of(tcp=SNI)
    client = wire.connects()
    client.sends(by_openssl("rip.bodoni.example")[:-1])
    client.ends()
    assert client.transport.lost
    assert not wire.dialled


# ── connecting ────────────────────────────────────────────────────────────────────────────────


def test_an_endpoint_that_refuses_is_passed_over_once(wire_of: Of) -> None:
    wire = wire_of(routing=table(blue=2))
    wire.refuses = {"10.0.1.1"}
    client = joined(wire)
    assert wire.dialled == [("10.0.1.1", 9100), ("10.0.1.0", 9100)]
    wire.refuses = {"10.0.1.0", "10.0.1.1"}
    closed = wire.connects()
    assert closed.transport.lost
    assert len(wire.dialled) == 4
    assert wire.refused(502) == 1
    assert wire.gauge(telemetry.CONNECT_FAILURES) == 3
    assert client.open


def test_the_endpoint_with_the_fewest_is_taken(wire_of: Of) -> None:
    wire = wire_of(routing=table(blue=2))
    clients = [joined(wire) for _ in range(4)]
    hosts = [host for host, _ in wire.dialled]
    assert hosts.count("10.0.1.0") == hosts.count("10.0.1.1") == 2
    clients[0].vanishes()
    joined(wire)
    assert wire.dialled[-1] == wire.dialled[0]


def test_an_endpoint_that_does_not_answer_is_given_up_in_time(wire_of: Of) -> None:
    wire = wire_of()
    wire.hangs = {"10.0.1.0"}
    client = wire.connects()
    wire.later(2.9)
    assert client.open
    wire.later(0.2)
    assert client.transport.lost
    assert wire.refused(502) == 1


def test_a_client_that_goes_while_connecting_breaks_it_off(wire_of: Of) -> None:
    wire = wire_of()
    wire.hangs = {"10.0.1.0"}
    client = wire.connects()
    client.sends_at_once(b"job")
    wire.settle()
    client.vanishes()
    assert not wire.connections


def test_a_slot_without_endpoints_closes(wire_of: Of) -> None:
    wire = wire_of(routing=table(blue=0))
    assert wire.connects().transport.lost
    assert wire.refused(503) == 1


def test_without_a_table_it_is_closed(wire_of: Of) -> None:
    wire = wire_of()
    wire.services.router.table = None
    assert wire.connects().transport.lost
    assert wire.refused(503) == 1


def test_what_both_say_before_the_tunnel_stands_is_passed_on(wire_of: Of) -> None:
    wire = wire_of()
    wire.banner = b"banner"
    client = wire.connects(b"job", None)
    client.got(b"banner")
    wire.endpoints[0].got(b"job")
    assert wire.endpoints[0].transport.ended
    assert wire.endpoints[0].reads
    wire.endpoints[0].sends(b"done")
    client.got(b"done")


def test_what_is_held_while_connecting_is_one_read(wire_of: Of) -> None:
    wire = wire_of()
    wire.hangs = {"10.0.1.0"}
    client = wire.connects()
    for _ in range(10):
        client.sends_at_once(b"x" * 1000)
    wire.settle()
    assert client.paused
    assert len(client.connection._held) == 1000


# ── the tunnel ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("first", ["client", "endpoint"])
def test_each_direction_ends_by_itself(wire_of: Of, first: str) -> None:
    wire = wire_of()
    client = joined(wire)
    ends = [client, wire.endpoints[0]]
    here, there = ends if first == "client" else ends[::-1]
    here.sends(b"all")
    here.ends()
    there.got(b"all")
    assert there.transport.ended
    there.sends(b"done")
    here.got(b"done")
    there.ends()
    assert client.transport.lost
    assert wire.endpoints[0].transport.lost


@pytest.mark.parametrize("first", ["client", "endpoint"])
def test_a_side_that_is_cut_takes_the_other_along(wire_of: Of, first: str) -> None:
    wire = wire_of()
    client = joined(wire)
    ends = [client, wire.endpoints[0]]
    here, there = ends if first == "client" else ends[::-1]
    here.vanishes()
    assert there.closed
    if there is client:
        there.sends(b"too late")
        there.ends()
    assert there.transport.lost


def test_a_slow_reader_slows_the_sender(wire_of: Of) -> None:
    wire = wire_of()
    client = joined(wire)
    for here, there in ((client, wire.endpoints[0]), (wire.endpoints[0], client)):
        there.stalls()
        for _ in range(20):
            here.sends_at_once(b"x" * 10_000)
        wire.settle()
        assert here.paused
        assert there.unflushed < 100_000
        there.flows()
        there.got(b"x" * 200_000)


def test_silence_in_both_directions_ends_it(wire_of: Of) -> None:
    wire = wire_of(tcp={"tenant": "acme", "port": 9100, "idle_s": 60.0})
    client = joined(wire)
    wire.later(59)
    wire.endpoints[0].sends(b"status")
    wire.later(59)
    assert client.open
    wire.later(1)
    assert client.transport.lost
    assert wire.endpoints[0].transport.lost


def test_at_the_drain_limit_it_is_closed_after_its_last_byte(wire_of: Of) -> None:
    wire = wire_of()
    client = joined(wire)
    client.stalls()
    wire.endpoints[0].sends_at_once(b"x" * 1000)
    wire.settle()
    client.connection.drain(wire.services.now)
    assert client.open
    client.connection.close()
    wire.settle()
    client.flows()
    client.got(b"x" * 1000)
    assert client.transport.lost
    wire.hangs = {"10.0.1.0"}
    waiting = wire.connects()
    waiting.connection.close()
    wire.settle()
    assert waiting.transport.lost


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("state", State)
def test_the_table_is_the_life_of_a_connection(wire_of: Of, state: State, event: Event) -> None:
    connection = wire_of().connects().connection
    before, connection.state = connection.state, state
    if (state, event) in TRANSITIONS:
        connection._advance(event)
        assert connection.state is TRANSITIONS[state, event]
    else:
        with pytest.raises(RuntimeError, match=state.name):
            connection._advance(event)
    connection.state = before


def test_hosts_of_several_endpoints_are_tried_once_each() -> None:
    endpoints = tuple(Endpoint("10.0.1.1", port) for port in (8000, 8001))
    slots = MappingProxyType({Slot.BLUE: endpoints, Slot.GREEN: ()})
    wire = TcpWire(routing=dataclasses.replace(table(), endpoints=slots))
    assert [pool.endpoint for pool in wire.pools] == [Endpoint("10.0.1.1", 9100)]
    wire.leave()


# ── the access log ────────────────────────────────────────────────────────────────────────────


def test_a_connection_has_one_line_at_its_end(wire_of: Of) -> None:
    wire = wire_of(
        settings={"access_log": {"format": "json"}},
        routing=changed(table(), Pin("acme", Slot.GREEN)),
    )
    client = joined(wire, Slot.GREEN)
    client.sends(b"12345")
    wire.endpoints[0].sends(b"123")
    log = wire.services.observing.log
    assert log is not None
    assert log.sink._lines == []
    client.vanishes()
    (line,) = log.sink._lines
    told = json.loads(line)
    assert (told["end"], told["tenant"], told["slot"]) == ("tunnel", "acme", "green")
    assert (told["received"], told["sent"]) == (5, 3)


# ── a switch ──────────────────────────────────────────────────────────────────────────────────


def held() -> RoutingTable:
    return changed(table(), Hold("s-1", frozenset({"acme"})))


def test_a_connection_of_a_held_tenant_waits_and_goes_to_the_new_slot(wire_of: Of) -> None:
    wire = wire_of(routing=held())
    client = wire.connects(b"hello")
    assert client.connection.state is State.PARKED
    assert not wire.dialled
    wire.use(changed(held(), Pin("acme", Slot.GREEN), Release("s-1")))
    assert wire.dialled == [("10.0.2.0", 9100)]
    wire.endpoints[0].got(b"hello")


def test_one_that_leaves_meanwhile_is_not_connected(wire_of: Of) -> None:
    wire = wire_of(routing=held())
    for leave in (TcpClient.ends, TcpClient.vanishes):
        leave(wire.connects())
    wire.use(table())
    assert not wire.dialled


def test_one_that_waits_too_long_is_closed(wire_of: Of) -> None:
    wire = wire_of(routing=held(), settings={"parking": {"wait_s": 5.0}})
    client = wire.connects()
    wire.later(6.0)
    assert client.closed
    assert wire.refused(503) == 1


def test_connections_and_requests_share_the_places_to_wait(wire_of: Of) -> None:
    wire = wire_of(routing=held(), settings={"parking": {"requests": 1}})
    first, second = wire.connects(), wire.connects()
    assert (first.open, second.closed) == (True, True)
    assert wire.refused(503) == 1


def test_an_open_connection_counts_as_under_way_of_whom_a_switch_holds(wire_of: Of) -> None:
    wire = wire_of()
    words: list[int] = []
    wire.services.fence.tell = lambda: words.append(1)
    client = joined(wire)
    wire.use(held())
    assert wire.services.fence.left() == {"s-1": 1}
    client.vanishes()
    assert wire.services.fence.left() == {"s-1": 0}
    assert words == [1]


def test_a_tenant_has_no_more_connections_than_its_limit(wire_of: Of) -> None:
    wire = wire_of(settings={"limits": {"tenant_in_flight": 1}})
    joined(wire)
    assert wire.connects().closed
    assert wire.refused(503) == 1
