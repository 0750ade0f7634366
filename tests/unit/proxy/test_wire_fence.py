"""What a worker tells of those that a switch holds: how many are under way, and when none is."""

from proxy.routing.model import RoutingTable, Slot
from tests.support.messages import ask
from tests.support.wire import Wire, playbook, table

ACME, BRAVO = b"X-Tenant-ID: acme", b"X-Tenant-ID: bravo"
HELD = table(holds={"acme": "s-1", "bravo": "s-2"})
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


def told(wire: Wire) -> list[int]:
    """A list that grows with each word that the worker is given."""
    words: list[int] = []
    wire.services.fence.tell = lambda: words.append(1)
    return words


def left(wire: Wire) -> dict[str, int]:
    return {switch: count for switch, count in wire.services.fence.left().items() if count}


@playbook(trusted=True, cuts=("whole",))
def test_what_was_under_way_before_is_counted_until_it_ends(wire: Wire) -> None:
    words = told(wire)
    clients = [wire.client, wire.connects(), wire.connects()]
    for client, tenant in zip(clients, (ACME, ACME, BRAVO), strict=True):
        client.sends(ask(tenant))
    wire.use(HELD)
    assert left(wire) == {"s-1": 2, "s-2": 1}
    wire.endpoint(0).answers()
    assert left(wire) == {"s-1": 1, "s-2": 1}
    assert not words
    wire.endpoint(1).answers()
    assert left(wire) == {"s-2": 1}
    assert words == [1]
    wire.endpoint(2).answers()
    assert not left(wire)
    assert words == [1, 1]


@playbook(trusted=True)
def test_what_comes_after_is_parked_and_not_counted(wire: Wire) -> None:
    wire.use(HELD)
    wire.client.sends(ask(ACME))
    assert wire.services.parking.count == 1
    assert not left(wire)


@playbook(trusted=True)
def test_a_tunnel_counts_until_it_is_closed(wire: Wire) -> None:
    words = told(wire)
    wire.client.sends(ask(ACME, b"Connection: Upgrade", b"Upgrade: websocket"))
    wire.endpoint(0).sends(SWITCHED)
    wire.use(HELD)
    assert left(wire) == {"s-1": 1}
    wire.client.vanishes()
    assert not left(wire)
    assert words == [1]


@playbook(trusted=True)
def test_a_request_that_is_sent_again_is_not_told_as_over(wire: Wire) -> None:
    words = told(wire)
    wire.client.sends(ask(ACME))
    wire.endpoint(0).answers()
    wire.client.answer()
    wire.client.sends(ask(ACME))
    wire.use(HELD)
    wire.endpoint(0).vanishes()
    assert left(wire) == {"s-1": 1}
    assert not words
    wire.endpoint(1).answers()
    assert words == [1]


@playbook(trusted=True, cuts=("whole",), settings={"limits": {"slot_in_flight": 1}})
def test_who_stands_in_line_counts(wire: Wire) -> None:
    second = wire.connects()
    wire.client.sends(ask(BRAVO))
    second.sends(ask(ACME))
    wire.use(HELD)
    assert left(wire) == {"s-1": 1, "s-2": 1}
    wire.endpoint(0).answers()
    assert left(wire) == {"s-1": 1}


@playbook(trusted=True, cuts=("whole",))
def test_a_hold_of_all_counts_everybody_in_both_slots(wire: Wire) -> None:
    words = told(wire)
    wire.use(table(pins={"acme": Slot.GREEN}))
    clients = [wire.client, wire.connects(), wire.connects()]
    for client, field in zip(clients, (ACME, BRAVO, b"Accept: */*"), strict=True):
        client.sends(ask(field))
    wire.use(table(hold_all="s-1"))
    assert left(wire) == {"s-1": 3}
    for endpoint in wire.endpoints[:2]:
        endpoint.answers()
    assert not words
    wire.endpoint(2).answers()
    assert words == [1]


@playbook(trusted=True)
def test_without_a_hold_nothing_is_watched(wire: Wire) -> None:
    words = told(wire)
    wire.client.sends(ask(ACME))
    wire.use(HELD)
    wire.use(RoutingTable(2, endpoints=HELD.endpoints))
    wire.endpoint(0).answers()
    assert not words
    assert not left(wire)
