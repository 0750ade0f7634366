"""A busy slot: who waits, who is refused, in what order they go, and that nobody is forgotten."""

import random

import pytest

from proxy.exchange.states import QUEUED
from proxy.observability import telemetry
from proxy.routing.model import Slot
from tests.support.messages import ask, post, take_message
from tests.support.wire import CUTS, ClientSide, Wire, playbook, table

GET = ask()
ONE = {"limits": {"slot_in_flight": 1}, "timeouts": {"queue_s": 1.0}}
ONE_CONNECTION = {"limits": {"endpoint_connections": 1}, "timeouts": {"queue_s": 1.0}}
EITHER = pytest.mark.parametrize("limit", ["slot_in_flight", "endpoint_connections"])


def of(tenant: bytes, target: bytes = b"/") -> bytes:
    return ask(b"X-Tenant-ID: " + tenant, target=target)


def asks(wire: Wire, *requests: bytes) -> list[ClientSide]:
    """A client for each request."""
    clients = [wire.connects() for _ in requests]
    for client, request in zip(clients, requests, strict=True):
        client.sends(request)
    return clients


def targets_in_turn(wire: Wire) -> list[bytes]:
    """Answer what is asked until nothing is; the targets in the order in which they were asked."""
    found = []
    while True:
        for endpoint in wire.endpoints:
            if not endpoint.transport.lost:
                request = take_message(endpoint.transport.arrived, b"")
                if request is not None:
                    found.append(request.target)
                    endpoint.answers()
                    break
        else:
            return found


@EITHER
@pytest.mark.parametrize("ending", ["answer", "close", "loss", "client"])
@pytest.mark.parametrize("cutting", list(CUTS))
def test_who_waits_is_served_when_there_is_room(
    cutting: str, limit: str, ending: str, seeded_random: random.Random
) -> None:
    settings = {"limits": {limit: 1}, "timeouts": {"queue_s": 1.0}}
    with Wire(CUTS[cutting](seeded_random), settings=settings) as wire:
        wire.client.sends(GET)
        (second,) = asks(wire, ask(target=b"/2"))
        second.got_nothing()
        assert wire.gauge(telemetry.QUEUE) == 1
        endpoint = wire.endpoint(0)
        endpoint.request()
        if ending == "answer":
            endpoint.answers()
        elif ending == "close":
            endpoint.sends(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        elif ending == "loss":
            endpoint.vanishes()
        else:
            wire.client.vanishes()
        asked = wire.endpoints[-1]
        assert asked.request().target == b"/2"
        asked.answers()
        assert second.answer().status == 200
        assert wire.gauge(telemetry.QUEUE) == 0


@EITHER
@pytest.mark.parametrize("cutting", list(CUTS))
def test_who_waits_too_long_is_503_at_its_time(
    cutting: str, limit: str, seeded_random: random.Random
) -> None:
    settings = {"limits": {limit: 1}, "timeouts": {"queue_s": 1.0}}
    with Wire(CUTS[cutting](seeded_random), settings=settings) as wire:
        wire.client.sends(GET)
        (second,) = asks(wire, GET)
        wire.later(0.6)
        (third,) = asks(wire, GET)
        wire.later(0.41)
        answer = second.refused(503, closes=False)
        assert answer["Retry-After"] == b"1"
        assert b'"queue-timeout"' in answer.body
        third.got_nothing()
        wire.later(0.6)
        third.refused(503, closes=False)
        assert wire.gauge(telemetry.QUEUE_TIMEOUTS) == 2
        second.sends(ask(target=b"/again"))
        wire.endpoint(0).request()
        wire.endpoint(0).answers()
        assert wire.endpoint(0).request().target == b"/again"


@playbook()
def test_by_default_who_finds_a_slot_busy_has_its_503_within_50_ms(wire: Wire) -> None:
    wire.services.slots.groups[0].pools[0]._open = 1_024
    wire.client.sends(GET)
    wire.later(0.04)
    assert "Retry-After" in wire.client.refused(503, closes=False)
    wire.services.slots.groups[0].pools[0]._open = 0


@playbook(settings={"limits": {"slot_in_flight": 1, "queue": 1}})
def test_a_full_queue_is_503_at_once(wire: Wire) -> None:
    wire.client.sends(GET)
    waiting, refused = asks(wire, GET, GET)
    answer = refused.refused(503, closes=False)
    assert answer["Retry-After"] == b"1"
    assert b'"all-busy"' in answer.body
    waiting.got_nothing()
    assert wire.gauge(telemetry.QUEUE_REFUSED) == 1


@playbook(settings={"limits": {"endpoint_connections": 1, "queue": 0}})
def test_without_a_queue_a_busy_slot_is_503_at_once(wire: Wire) -> None:
    wire.client.sends(GET)
    (other,) = asks(wire, GET)
    assert "Retry-After" in other.refused(503, closes=False)


@playbook(settings={"limits": {"tenant_in_flight": 2}}, trusted=True)
def test_a_tenant_over_its_limit_is_503_and_others_are_served(wire: Wire) -> None:
    wire.client.sends(of(b"a"))
    _, third, other = asks(wire, of(b"a"), of(b"a"), of(b"b"))
    answer = third.refused(503, closes=False)
    assert b'"tenant-busy"' in answer.body
    assert answer["Retry-After"] == b"1"
    assert len(wire.endpoints) == 3
    wire.endpoint(2).answers()
    assert other.answer().status == 200
    wire.endpoint(0).answers()
    wire.client.answer()
    third.sends(of(b"a"))
    assert wire.gauge(telemetry.IN_FLIGHT) == 2


@playbook(settings={"limits": {"tenant_in_flight": 2}})
def test_those_without_a_tenant_share_one_limit(wire: Wire) -> None:
    wire.client.sends(GET)
    _, third = asks(wire, GET, GET)
    third.refused(503, closes=False)


@playbook(settings={"limits": {"endpoint_connections": 3, "tenant_in_flight": 2}}, trusted=True)
def test_a_tenant_with_slow_answers_leaves_connections_for_the_others(wire: Wire) -> None:
    wire.client.sends(of(b"slow"))
    refused = asks(wire, *[of(b"slow")] * 5)[1:]
    for client in refused:
        client.refused(503, closes=False)
    (other,) = asks(wire, of(b"quick"))
    wire.endpoint(2).answers()
    assert other.answer().status == 200


@playbook(settings={"limits": {"slot_in_flight": 1, "tenant_queue": 1}}, trusted=True)
def test_a_tenant_has_no_more_than_its_places_in_the_queue(wire: Wire) -> None:
    wire.client.sends(of(b"x"))
    _, second, other = asks(wire, of(b"a"), of(b"a"), of(b"b"))
    assert b'"tenant-busy"' in second.refused(503, closes=False).body
    other.got_nothing()


@playbook(settings=ONE, trusted=True)
def test_turns_go_round_the_tenants_and_within_one_in_order(wire: Wire) -> None:
    wire.client.sends(of(b"x", b"/x"))
    asks(wire, *(of(name[:1], b"/" + name) for name in (b"a1", b"a2", b"a3", b"b1", b"c1", b"b2")))
    assert targets_in_turn(wire) == [b"/x", b"/a1", b"/b1", b"/c1", b"/a2", b"/b2", b"/a3"]


@playbook(settings=ONE)
def test_pipelined_requests_keep_their_order_though_they_wait(wire: Wire) -> None:
    wire.client.sends(ask(target=b"/first"))
    (second,) = asks(wire, ask(target=b"/1") + ask(target=b"/2") + ask(target=b"/3"))
    assert targets_in_turn(wire) == [b"/first", b"/1", b"/2", b"/3"]
    assert [second.answer().status for _ in range(3)] == [200] * 3


@pytest.mark.parametrize("how", ["vanishes", "ends"])
@playbook(settings=ONE)
def test_a_client_that_leaves_the_queue_is_not_sent(wire: Wire, how: str) -> None:
    wire.client.sends(ask(target=b"/1"))
    gone, stays = asks(wire, ask(target=b"/2"), ask(target=b"/3"))
    getattr(gone, how)()
    # Who only ends its side still waits for its answer.
    expected = [b"/1", b"/3"] if how == "vanishes" else [b"/1", b"/2", b"/3"]
    assert targets_in_turn(wire) == expected
    assert stays.answer().status == 200
    assert wire.gauge(telemetry.ABORTED) == (how == "vanishes")


@playbook(settings=ONE)
def test_the_body_of_a_waiting_request_is_not_read(wire: Wire) -> None:
    wire.client.sends(GET)
    other = wire.connects()
    body = b"abcdefghij" * 5_000
    other.sends(post(body)[:-40_000])
    assert other.paused
    wire.later(0.9)
    wire.endpoint(0).request()
    wire.endpoint(0).answers()
    assert other.reads
    other.sends(body[-40_000:])
    assert wire.endpoint(0).request().body == body
    wire.endpoint(0).answers()
    assert other.answer().status == 200


@playbook(settings=ONE, cuts=("whole",))
def test_after_the_time_in_line_the_next_request_with_a_body_is_read(wire: Wire) -> None:
    wire.client.sends(GET)
    (other,) = asks(wire, post(b"pay"))
    wire.later(1.01)
    other.refused(503, closes=False)
    assert other.reads
    wire.endpoint(0).request()
    wire.endpoint(0).answers()
    other.sends(post(b"again"))
    assert wire.endpoint(0).request().body == b"again"


@playbook(settings=ONE)
def test_waiting_does_not_count_against_the_first_byte(wire: Wire) -> None:
    wire.client.sends(ask(target=b"/1"))
    wire.later(29.5)
    (other,) = asks(wire, ask(target=b"/2"))
    wire.later(0.6)
    assert wire.client.answer().status == 504
    asked = wire.endpoints[-1]
    assert asked.request().target == b"/2"
    wire.later(29.7)  # past the limit, were it counted from the request's arrival
    asked.answers()
    assert other.answer().status == 200


@playbook(settings={"limits": {"slot_in_flight": 1}, "timeouts": {"queue_s": 100.0}})
def test_a_client_whose_own_time_ends_in_the_queue_is_503(wire: Wire) -> None:
    wire.client.sends(GET)
    (other,) = asks(wire, GET)
    wire.later(29)
    wire.endpoint(0).sends(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
    wire.later(2)
    assert b'"queue-timeout"' in other.refused(503, closes=False).body


@playbook(settings=ONE)
def test_a_broken_request_in_the_queue_is_refused(wire: Wire) -> None:
    wire.client.sends(GET)
    other = wire.connects()
    other.sends_at_once(ask(b"Transfer-Encoding: chunked", method=b"POST") + b"zz\r\n")
    wire.settle()
    other.refused(400)


@playbook(settings=ONE_CONNECTION)
def test_a_table_with_more_endpoints_lets_in_who_waits(wire: Wire) -> None:
    wire.client.sends(GET)
    (second,) = asks(wire, ask(target=b"/2"))
    wire.use(table(blue=2))
    wire.settle()
    assert wire.endpoint(1).request().target == b"/2"
    wire.endpoint(1).answers()
    assert second.answer().status == 200


@playbook(settings=ONE_CONNECTION)
def test_a_table_without_endpoints_refuses_who_waits_all_at_once(wire: Wire) -> None:
    wire.client.sends(GET)
    clients = asks(wire, *[GET] * 200)
    wire.use(table(blue=0))
    wire.settle()
    for client in clients:
        assert b'"no-endpoint"' in client.refused(503, closes=False).body


@playbook(settings=ONE)
def test_who_waits_goes_to_the_slot_it_was_routed_to(wire: Wire) -> None:
    wire.client.sends(GET)
    (second,) = asks(wire, ask(target=b"/2"))
    wire.use(table(active=Slot.GREEN))
    (third,) = asks(wire, ask(target=b"/3"))
    assert wire.endpoint(1).host == "10.0.2.0"
    assert wire.endpoint(1).request().target == b"/3"
    wire.endpoint(0).request()
    wire.endpoint(0).answers()
    assert wire.endpoint(0).request().target == b"/2"
    wire.endpoint(0).answers()
    wire.endpoint(1).answers()
    assert [client.answer().status for client in (second, third)] == [200, 200]


@playbook(settings=ONE)
def test_a_connection_that_could_not_be_made_makes_room(wire: Wire) -> None:
    wire.hangs("10.0.1.0")
    wire.client.sends(GET)
    (second,) = asks(wire, GET)
    assert wire.exchanges[1].state == QUEUED
    wire.client.vanishes()
    wire.answers_calls()
    wire.endpoint(0).got_nothing()
    wire.endpoint(1).answers()
    assert second.answer().status == 200


@playbook(settings={"limits": {"slot_in_flight": 1}, "timeouts": {"queue_s": 1.0}})
def test_a_tunnel_keeps_its_place_until_it_ends(wire: Wire) -> None:
    wire.client.sends(ask(b"Connection: Upgrade", b"Upgrade: websocket"))
    wire.endpoint(0).sends(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
    (second,) = asks(wire, GET)
    second.got_nothing()
    wire.client.vanishes()
    wire.endpoints[-1].answers()
    assert second.answer().status == 200


@playbook(settings={"timeouts": {"connect_s": 3.0}})
def test_a_time_out_as_the_connection_is_made_counts_it_out_once(wire: Wire) -> None:
    wire.hangs("10.0.1.0")
    wire.client.sends(GET)
    # The far side accepts in the very pass in which the time ends.
    for decision in wire._decisions:
        decision.set_result(None)
    wire.later(3.0)
    pool = wire.services.slots.groups[0].pools[0]
    wire.client.refused(502, closes=False)
    assert pool._open == 0
    assert len(wire.endpoints) == 1


def test_random_loads_never_pass_the_limits(seeded_random: random.Random) -> None:
    settings = {
        "limits": {"slot_in_flight": 3, "tenant_in_flight": 5, "queue": 6, "tenant_queue": 4},
        "timeouts": {"queue_s": 2.0},
    }
    tenants = [b"a", b"b", b"c"]
    with Wire(settings=settings, trusted=True, routing=table(blue=2)) as wire:
        group = wire.services.slots.groups[0]
        for _ in range(600):
            free = [c for c in wire.clients if c.open and not c.connection._busy]
            what = seeded_random.random()
            if what < 0.5:
                client = seeded_random.choice(free) if free else wire.connects()
                client.sends(of(seeded_random.choice(tenants)))
            elif what < 0.85:
                asked = [e for e in wire.endpoints if e.transport.arrived and not e.transport.lost]
                if asked:
                    endpoint = seeded_random.choice(asked)
                    take_message(endpoint.transport.arrived, b"")
                    endpoint.answers()
            elif what < 0.93:
                seeded_random.choice(wire.clients or [wire.client]).vanishes()
            else:
                wire.later(seeded_random.choice([0.1, 1.0]))
            assert group.admission.in_flight <= 3
            assert group.admission.waiting <= 6
