"""Which seats a worker's connections take: by the real connections of a Wire."""

from proxy.census.report import seats_of
from proxy.routing.census import Seat
from proxy.routing.lasting import EVENTS, TCP, TUNNEL, WEBSOCKET
from proxy.routing.model import Slot
from tests.support.client_hello import by_openssl
from tests.support.messages import ask
from tests.support.tcp_wire import TcpWire
from tests.support.wire import PEER, ClientSide, Wire, playbook

RULES = {
    "census": [
        {"name": "header", "header": "X-Device"},
        {"name": "query", "query": "device"},
        {"name": "sni", "tcp": "sni"},
        {"name": "peer", "tcp": "peer"},
    ]
}
UPGRADE = (b"Connection: Upgrade", b"Upgrade: websocket")
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %b\r\n\r\n"
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
BLUE = Slot.BLUE


def seats(wire: Wire) -> list[Seat]:
    held = [client.connection for client in wire.clients]
    return list(seats_of(each for each in held if each not in wire.lost_clients))


def joined(wire: Wire, client: ClientSide, *lines: bytes, protocol: bytes = b"websocket") -> None:
    client.sends(ask(b"X-Tenant-ID: acme", b"Connection: Upgrade", b"Upgrade: " + protocol, *lines))
    wire.endpoints[-1].request()
    wire.endpoints[-1].sends(SWITCHED % protocol)
    assert client.answer().status == 101


@playbook(trusted=True, settings=RULES)
def test_a_websocket_takes_the_seat_of_its_device_until_it_ends(wire: Wire) -> None:
    joined(wire, wire.client, b"X-Device: press-4")
    assert seats(wire) == [Seat(BLUE, WEBSOCKET, "acme", "press-4")]
    again = wire.connects()
    joined(wire, again, b"X-Device: press-4")
    assert seats(wire) == [Seat(BLUE, WEBSOCKET, "acme", "press-4")] * 2
    again.vanishes()
    wire.later(9.0)
    assert len(seats(wire)) == 1


@playbook(trusted=True, settings=RULES)
def test_a_stream_of_events_takes_one_while_it_lasts(wire: Wire) -> None:
    wire.client.sends(ask(b"X-Tenant-ID: acme", target=b"/events?device=screen-1"))
    assert seats(wire) == [], "a request is no seat"
    wire.endpoint(0).request()
    wire.endpoint(0).sends(STREAM + b"4\r\n:hi\n\r\n")
    assert seats(wire) == [Seat(BLUE, EVENTS, "acme", "screen-1")]
    wire.endpoint(0).sends(b"0\r\n\r\n")
    assert seats(wire) == []
    wire.client.answer()
    wire.client.sends(ask(b"X-Tenant-ID: acme", b"X-Device: other", target=b"/events"))
    wire.endpoint(0).request()
    wire.endpoint(0).sends(STREAM)
    assert seats(wire) == [Seat(BLUE, EVENTS, "acme", "other")], "the same connection, another name"
    wire.client.ends()
    assert seats(wire) == [], "it may wait for more, but most likely it has closed"
    wire.client.vanishes()


@playbook(trusted=True, settings={**RULES, "tunnels": {"upgrades": ["print"]}}, cuts=("whole",))
def test_any_other_tunnel_takes_one(wire: Wire) -> None:
    joined(wire, wire.client, b"X-Device: press-4", protocol=b"print")
    assert seats(wire) == [Seat(BLUE, TUNNEL, "acme", "press-4")]


@playbook(trusted=True, settings=RULES, cuts=("whole",))
def test_without_a_device_only_the_kind_counts(wire: Wire) -> None:
    joined(wire, wire.client)
    assert seats(wire) == [Seat(BLUE, WEBSOCKET, "", "")]


@playbook(trusted=True, cuts=("whole",))
def test_without_rules_nothing_is_read(wire: Wire) -> None:
    joined(wire, wire.client, b"X-Device: press-4")
    assert wire.services.devices is None
    assert wire.client.connection.device() == ""


def test_plain_tcp_is_named_by_its_address() -> None:
    wire = TcpWire(settings=RULES)
    wire.connects().sends(b"job")
    assert list(seats_of(wire.connections)) == [Seat(BLUE, TCP, "acme", PEER)]
    wire.leave()


def test_plain_tls_is_named_by_what_it_asks_for() -> None:
    names = {"press-4.example": "acme"}
    tcp = {"tenant": "", "tenant_by": "sni", "names": names, "port": 9100}
    wire = TcpWire(settings=RULES, tcp=tcp)
    wire.connects().sends(by_openssl("press-4.example"))
    assert list(seats_of(wire.connections)) == [Seat(BLUE, TCP, "acme", "press-4.example")]
    wire.leave()
