"""Drains: who is told goodbye, in which order, what is counted, when it is told."""

from typing import Any

import msgspec
import pytest

from proxy.draining import STEP_S
from proxy.routing.ack import MAX_TENANTS_TOLD
from proxy.routing.model import Drain, RoutingTable, Slot
from tests.support.draining import Drains, drains_of
from tests.support.frames import MASK, TEXT, frame, goodbye
from tests.support.messages import ask
from tests.support.tcp_wire import TcpWire
from tests.support.wire import ClientSide, EndpointSide, Wire, playbook, table

UPGRADE = (b"Connection: Upgrade", b"Upgrade: websocket")
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
COME_BACK = goodbye(1012, b"service restart")


def drained(*, drain: Drain | None = None, **parts: Any) -> RoutingTable:
    """acme belongs to green by now, and blue is drained."""
    parts = {"pins": {"acme": Slot.GREEN}, **parts}
    return table(drains={"d-1": drain or Drain(Slot.BLUE)}, **parts)


def joined(wire: Wire, client: ClientSide, tenant: bytes = b"acme") -> EndpointSide:
    """A WebSocket of this tenant; its endpoint's side."""
    client.sends(ask(b"X-Tenant-ID: " + tenant, *UPGRADE))
    endpoint = wire.endpoints[-1]
    endpoint.request()
    endpoint.sends(SWITCHED)
    assert client.answer().status == 101
    return endpoint


def answers_goodbye(client: ClientSide, endpoint: EndpointSide) -> None:
    client.sends(goodbye(1012, mask=MASK))
    endpoint.sends(goodbye(1012))


@playbook(trusted=True)
def test_who_belongs_elsewhere_is_told_goodbye_and_counts_until_gone(wire: Wire) -> None:
    drains = drains_of(wire)
    endpoint = joined(wire, wire.client)
    drains.use(drained())
    assert drains.left() == {}
    assert drains.step() == {"d-1": 1}
    wire.client.got(COME_BACK)
    endpoint.got(goodbye(1012, b"service restart", mask=bytes(endpoint.transport.arrived[2:6])))
    assert drains.step() == {"d-1": 1}, "it may still answer"
    assert drains.told == 1
    answers_goodbye(wire.client, endpoint)
    assert drains.step() == {"d-1": 0}
    assert drains.told == 2
    assert drains.step() == {"d-1": 0}
    assert drains.told == 2


@playbook(trusted=True, cuts=("whole",))
def test_who_belongs_here_stays(wire: Wire) -> None:
    drains = drains_of(wire)
    joined(wire, wire.client, b"bravo")
    drains.use(drained())
    assert drains.step() == {"d-1": 0}
    assert (drains.told, drains.wants) == (1, [])
    wire.client.got_nothing()


@playbook(trusted=True, cuts=("whole",))
def test_a_drain_of_tenants_leaves_the_others(wire: Wire) -> None:
    drains = drains_of(wire)
    joined(wire, wire.client)
    other = wire.connects()
    joined(wire, other, b"bravo")
    drains.use(drained(drain=Drain(Slot.BLUE, frozenset({"acme"})), hold_all="s-1"))
    assert drains.step() == {"d-1": 1}
    wire.client.got(COME_BACK)
    other.got_nothing()


@playbook(trusted=True, cuts=("whole",))
def test_the_longest_idle_go_first_as_many_as_the_pace_grants(wire: Wire) -> None:
    drains = drains_of(wire, granted=1)
    clients = [wire.client, wire.connects(), wire.connects()]
    for client in clients:
        joined(wire, client)
    for client in (clients[1], clients[0], clients[2]):
        wire.later(1.0)
        client.sends(frame(TEXT, b"busy", mask=MASK))
    drains.use(drained())
    for client in (clients[1], clients[0], clients[2]):
        client.got_nothing()
        assert drains.step() == {"d-1": 3}
        client.got(COME_BACK)
    assert [want.wanted for want in drains.wants] == [1]
    drains.step()
    assert not drains.wants


@playbook(trusted=True, cuts=("whole",))
def test_a_drain_that_is_over_ends_nobody(wire: Wire) -> None:
    drains = drains_of(wire, granted=0)
    joined(wire, wire.client)
    drains.use(drained())
    drains.step()
    drains.use(table(pins={"acme": Slot.GREEN}))
    drains.granted = 9
    assert drains.step() == {}
    wire.client.got_nothing()


@playbook(trusted=True, cuts=("whole",))
def test_who_came_back_while_the_pace_was_asked_stays(wire: Wire) -> None:
    drains = drains_of(wire)
    joined(wire, wire.client)
    drains.use(drained())
    drains.meanwhile = lambda: drains.swap(drained(pins={}))
    drains.step()
    wire.client.got_nothing()


@playbook(trusted=True, cuts=("whole",))
def test_a_request_ends_by_itself(wire: Wire) -> None:
    drains = drains_of(wire)
    wire.client.sends(ask(b"X-Tenant-ID: acme"))
    drains.use(drained())
    assert drains.step() == {"d-1": 1}
    assert not drains.wants
    wire.endpoint(0).answers()
    assert wire.client.answer().status == 200
    assert wire.client.open, "the connection itself is in no slot"
    assert drains.step() == {"d-1": 0}


@playbook(trusted=True, cuts=("whole",))
def test_a_parked_request_is_in_no_slot(wire: Wire) -> None:
    drains = drains_of(wire)
    drains.use(drained(holds={"acme": "s-1"}))
    wire.client.sends(ask(b"X-Tenant-ID: acme"))
    assert drains.step() == {"d-1": 0}


@playbook(trusted=True, cuts=("whole",))
def test_a_hurry_ends_everything_without_asking_for_a_pace(wire: Wire) -> None:
    drains = drains_of(wire, granted=0)
    other = wire.connects()
    joined(wire, wire.client)
    other.sends(ask(b"X-Tenant-ID: acme"))
    drains.use(drained())
    assert drains.step() == {"d-1": 2}
    assert other.open
    drains.use(drained(drain=Drain(Slot.BLUE, hurry=True)))
    assert drains.left() == {}, "nothing is said of a table before the first look at it"
    drains.step()
    assert not drains.wants
    wire.client.got(COME_BACK)
    assert other.aborted, "what is cut must be seen to be cut"
    wire.later(5.0)
    assert drains.step() == {"d-1": 0}


@pytest.mark.parametrize("text", ["please come back", "x" * 126])
@playbook(trusted=True, cuts=("whole",))
def test_a_last_message_comes_before_the_goodbye(wire: Wire, text: str) -> None:
    tunnels = msgspec.structs.replace(wire.settings.tunnels, last_message=text)
    wire.services.settings = msgspec.structs.replace(wire.settings, tunnels=tunnels)
    drains = drains_of(wire)
    endpoint = joined(wire, wire.client)
    drains.use(drained())
    drains.step()
    wire.client.got(frame(TEXT, text.encode()) + COME_BACK)
    arrived = bytes(endpoint.transport.arrived)
    assert arrived == goodbye(1012, b"service restart", mask=arrived[2:6])


@playbook(trusted=True, settings={"tunnels": {"last_message": "come back"}})
def test_no_last_message_stands_within_a_message(wire: Wire) -> None:
    drains = drains_of(wire)
    endpoint = joined(wire, wire.client)
    begun = frame(TEXT, b"one", fin=False)
    endpoint.sends(begun)
    drains.use(drained())
    drains.step()
    wire.client.got(begun + COME_BACK)


def test_plain_tcp_is_closed_after_its_last_byte() -> None:
    wire = TcpWire()
    drains = Drains(wire, lambda: list(wire.connections))
    client = wire.connects()
    client.sends(b"job")
    drains.use(drained())
    assert drains.step() == {"d-1": 1}
    wire.endpoints[0].got(b"job")
    assert client.closed
    assert wire.endpoints[0].closed
    assert drains.step() == {"d-1": 0}
    wire.leave()


def test_a_tcp_connection_that_is_being_made_counts_and_is_cut_in_a_hurry_only() -> None:
    wire = TcpWire()
    wire.hangs.add("10.0.1.0")
    drains = Drains(wire, lambda: list(wire.connections))
    client = wire.connects()
    drains.use(drained())
    assert drains.step() == {"d-1": 1}
    assert client.open
    drains.use(drained(drain=Drain(Slot.BLUE, hurry=True)))
    drains.step()
    assert client.closed
    assert drains.step() == {"d-1": 0}
    wire.leave()


@playbook(trusted=True, cuts=("whole",))
def test_what_is_left_is_told_by_kind_and_tenant(wire: Wire) -> None:
    drains = drains_of(wire, granted=0)
    joined(wire, wire.client)
    for tenant in (b"acme", b"bravo"):
        joined(wire, wire.connects(), tenant)
    wire.connects().sends(ask(b"X-Tenant-ID: acme"))
    drains.use(drained(pins={"acme": Slot.GREEN, "bravo": Slot.GREEN}))
    assert drains.detail() == {}
    drains.step()
    assert drains.detail() == {
        "d-1": {"kinds": {"websocket": 3, "request": 1}, "tenants": {"acme": 3, "bravo": 1}}
    }
    wire.endpoint(3).answers()
    drains.step()
    assert drains.detail()["d-1"] == {"kinds": {"websocket": 3}, "tenants": {"acme": 2, "bravo": 1}}


@playbook(trusted=True, cuts=("whole",))
def test_of_many_tenants_those_with_most_are_told(wire: Wire) -> None:
    drains = drains_of(wire, granted=0)
    names = [f"t{number}" for number in range(MAX_TENANTS_TOLD + 3)]
    for name in (*names, names[-1]):
        joined(wire, wire.connects(), name.encode())
    drains.use(drained(pins=dict.fromkeys(names, Slot.GREEN)))
    assert drains.step() == {"d-1": len(names) + 1}
    told = drains.detail()["d-1"]["tenants"]
    assert (len(told), next(iter(told.items()))) == (MAX_TENANTS_TOLD, (names[-1], 2))


@playbook(trusted=True, cuts=("whole",))
def test_each_tenant_is_ended_at_its_own_pace(wire: Wire) -> None:
    drains = drains_of(wire)
    clients = [wire.client, *(wire.connects() for _ in range(3))]
    for client, tenant in zip(clients, (b"acme", b"acme", b"acme", b"bravo"), strict=True):
        joined(wire, client, tenant)
    drains.granted_to = {"acme": 1}
    pins = {"acme": Slot.GREEN, "bravo": Slot.GREEN}
    drain = Drain(Slot.BLUE, tenant_per_second=0.001)
    drains.use(drained(drain=drain, pins=pins))
    drains.step()
    assert [(want.tenant, want.wanted) for want in drains.wants] == [("acme", 2), ("bravo", 1)]
    clients[0].got(COME_BACK)
    clients[3].got(COME_BACK)
    clients[1].got_nothing()
    drains.step()
    assert not drains.wants, "acme has nothing for a long time, and is not asked for"


@playbook(trusted=True, cuts=("whole",))
def test_what_is_granted_at_once_ends_at_moments_of_its_own(wire: Wire) -> None:
    drains = drains_of(wire)
    clients = [wire.client, wire.connects(), wire.connects()]
    for client in clients:
        joined(wire, client)
    drawn = iter([0.9, 0.1, 0.5])
    drains.lots = lambda: next(drawn)
    drains.use(drained())
    drains.step()
    for client in clients:
        client.got_nothing()
    drains.step()
    assert not drains.wants, "those whose moment is set are not asked for again"
    for client, later in ((clients[1], 0.2), (clients[2], 0.4), (clients[0], 0.4)):
        wire.later(later * STEP_S)
        client.got(COME_BACK)


@playbook(trusted=True, cuts=("whole",))
def test_who_came_back_before_its_moment_stays(wire: Wire) -> None:
    drains = drains_of(wire)
    joined(wire, wire.client)
    drains.lots = lambda: 0.5
    drains.use(drained())
    drains.step()
    drains.use(drained(pins={}))
    wire.later(STEP_S)
    wire.client.got_nothing()
