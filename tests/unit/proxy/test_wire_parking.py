"""What waits for a switch: in order, within bounds, and to where the table sends it then."""

from typing import Any

from proxy.exchange.states import State
from proxy.routing.model import RoutingTable, Slot
from tests.support.messages import ask, chunked, post
from tests.support.wire import Wire, playbook, table

ACME, BRAVO = b"X-Tenant-ID: acme", b"X-Tenant-ID: bravo"
GREEN = {"acme": Slot.GREEN}
ONE_AT_A_TIME = {"limits": {"slot_in_flight": 1, "queue": 0}}


def held(**parts: Any) -> RoutingTable:
    return table(holds={"acme": "s-1"}, **parts)


def paths(wire: Wire, endpoint: int = 0) -> list[bytes]:
    """The targets of the requests that came to an endpoint, each answered at once."""
    found = []
    side = wire.endpoint(endpoint)
    while side.transport.arrived:
        found.append(side.request().line.split()[1])
        side.answers()
    return found


@playbook(routing=held(), trusted=True)
def test_a_parked_request_goes_to_the_new_slot(wire: Wire) -> None:
    wire.client.sends(ask(ACME, target=b"/a"))
    wire.client.got_nothing()
    assert not wire.endpoints
    wire.use(table(pins=GREEN))
    assert wire.endpoint(0).host == "10.0.2.0"
    wire.endpoint(0).answers()
    answer = wire.client.answer()
    assert answer["X-Turnout-Slot"] == b"green"
    assert wire.client.open


@playbook(routing=held(), trusted=True)
def test_other_tenants_do_not_wait(wire: Wire) -> None:
    wire.client.sends(ask(BRAVO))
    assert wire.endpoint(0).host == "10.0.1.0"


@playbook(routing=held(), trusted=True)
def test_a_switch_that_is_undone_lets_go_to_the_old_slot(wire: Wire) -> None:
    wire.client.sends(post(b"body", ACME))
    wire.use(table())
    assert wire.endpoint(0).host == "10.0.1.0"
    assert wire.endpoint(0).request().body == b"body"


@playbook(routing=table(hold_all="s-1"))
def test_a_hold_of_all_parks_who_names_no_tenant(wire: Wire) -> None:
    wire.client.sends(ask())
    assert not wire.endpoints
    wire.use(table())
    wire.endpoint(0).answers()
    assert wire.client.answer().status == 200


@playbook(routing=held(), trusted=True, cuts=("whole",), settings=ONE_AT_A_TIME)
def test_they_go_in_order_and_as_there_is_room(wire: Wire) -> None:
    clients = [wire.client, *(wire.connects() for _ in range(4))]
    for number, client in enumerate(clients):
        client.sends(ask(ACME, target=b"/%d" % number))
    wire.use(table(pins=GREEN))
    seen = []
    for _ in clients:
        seen += paths(wire)
        wire.later(0.01)
    assert seen == [b"/%d" % number for number in range(5)]
    assert [client.answer().status for client in clients] == [200] * 5


@playbook(routing=held(), trusted=True, cuts=("whole",), settings=ONE_AT_A_TIME)
def test_who_comes_while_some_still_wait_waits_behind_them(wire: Wire) -> None:
    first, second, late = wire.client, wire.connects(), wire.connects()
    first.sends(ask(ACME, target=b"/first"))
    second.sends(ask(ACME, target=b"/second"))
    wire.use(table(pins=GREEN))
    late.sends(ask(ACME, target=b"/late"))
    late.got_nothing()
    seen = []
    for _ in range(3):
        seen += paths(wire)
        wire.later(0.01)
    assert seen == [b"/first", b"/second", b"/late"]
    late.sends(ask(ACME, target=b"/later"))
    assert not wire.services.parking.count


@playbook(routing=held(), trusted=True, cuts=("whole",))
def test_a_tenant_that_waits_for_room_is_in_no_others_way(wire: Wire) -> None:
    wire.use(table(holds={"acme": "s-1", "bravo": "s-1"}))
    first, second = wire.client, wire.connects()
    first.sends(ask(ACME, target=b"/acme"))
    second.sends(ask(BRAVO, target=b"/bravo"))
    wire.use(table(holds={"bravo": "s-1"}))
    assert paths(wire) == [b"/acme"]
    wire.use(table())
    assert paths(wire) == [b"/bravo"]


@playbook(routing=held(), trusted=True)
def test_one_that_is_held_again_waits_on(wire: Wire) -> None:
    wire.client.sends(ask(ACME))
    wire.use(table(holds={"acme": "s-2"}))
    wire.client.got_nothing()
    wire.use(table(pins=GREEN))
    assert wire.endpoint(0).host == "10.0.2.0"


@playbook(routing=held(), trusted=True, settings={"parking": {"requests": 1}})
def test_over_the_number_is_refused(wire: Wire) -> None:
    wire.client.sends(ask(ACME))
    second = wire.connects()
    second.sends(ask(ACME))
    assert second.refused(503, closes=False)["Retry-After"] == b"1"
    wire.use(table())
    assert len(wire.endpoints) == 1


@playbook(routing=held(), trusted=True, settings={"parking": {"total_bytes": 1_000}})
def test_over_the_bytes_is_refused(wire: Wire) -> None:
    wire.client.sends(post(b"x" * 600, ACME))
    second = wire.connects()
    second.sends(post(b"y" * 600, ACME))
    second.refused(503)
    wire.use(table())
    assert wire.endpoint(0).request().body == b"x" * 600


@playbook(routing=held(), trusted=True, settings={"parking": {"body_bytes": 1_000}})
def test_no_more_of_a_body_is_read_than_its_bound(wire: Wire) -> None:
    body = b"x" * 5_000
    whole = post(body, ACME)
    wire.client.sends(whole[:2_000])
    assert wire.client.paused
    wire.use(table())
    assert wire.client.reads
    wire.client.sends(whole[2_000:])
    assert wire.endpoint(0).request().body == body


@playbook(routing=held(), trusted=True)
def test_a_chunked_body_that_comes_meanwhile_is_whole(wire: Wire) -> None:
    wire.client.sends(ask(ACME, b"Transfer-Encoding: chunked", method=b"POST"))
    wire.client.sends(chunked(b"one", b"two"))
    wire.use(table(pins=GREEN))
    assert wire.endpoint(0).request().body == b"onetwo"


@playbook(routing=held(), trusted=True, settings={"limits": {"body_bytes": 10}})
def test_a_body_over_its_limit_is_refused_meanwhile(wire: Wire) -> None:
    wire.client.sends(ask(ACME, b"Transfer-Encoding: chunked", method=b"POST"))
    wire.client.sends(chunked(b"12345678901"))
    wire.client.refused(413)


@playbook(routing=held(), trusted=True, settings={"parking": {"wait_s": 5.0}})
def test_who_waits_too_long_is_told_to_come_again(wire: Wire) -> None:
    wire.client.sends(ask(ACME))
    wire.later(4.0)
    wire.client.got_nothing()
    wire.later(1.5)
    assert wire.client.refused(503, closes=False)["Retry-After"] == b"1"
    wire.use(table())
    assert not wire.endpoints


@playbook(routing=held(), trusted=True)
def test_a_body_that_comes_late_does_not_lengthen_the_wait(wire: Wire) -> None:
    whole = post(b"x" * 100, ACME)
    wire.client.sends(whole[:-50])
    wire.later(29.0)
    wire.client.sends(whole[-50:])
    wire.later(1.5)
    wire.client.refused(503, closes=False)


@playbook(routing=held(), trusted=True)
def test_a_client_that_leaves_frees_its_place(wire: Wire) -> None:
    leaving = {"ends": wire.client, "vanishes": wire.connects()}
    for how, client in leaving.items():
        client.sends(ask(ACME))
        getattr(client, how)()
    assert not wire.services.parking.count
    assert {State(each.state) for each in wire.exchanges} == {State.ENDED}
    wire.use(table())
    assert not wire.endpoints


@playbook(routing=held(), trusted=True)
def test_pipelined_requests_stay_in_order(wire: Wire) -> None:
    wire.client.sends(ask(ACME, target=b"/1") + ask(BRAVO, target=b"/2"))
    assert not wire.endpoints
    wire.use(table())
    assert paths(wire) == [b"/1", b"/2"]


@playbook(routing=held(), trusted=True)
def test_a_websocket_is_parked_too(wire: Wire) -> None:
    wire.client.sends(ask(ACME, b"Connection: Upgrade", b"Upgrade: websocket"))
    assert not wire.endpoints
    wire.use(table(pins=GREEN))
    wire.endpoint(0).request()
    wire.endpoint(0).sends(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
    assert State(wire.exchanges[0].state) is State.TUNNEL


@playbook(routing=held(), trusted=True)
def test_who_has_no_endpoint_in_the_end_is_refused(wire: Wire) -> None:
    wire.client.sends(ask(ACME))
    wire.use(table(blue=0))
    wire.client.refused(503, closes=False)
