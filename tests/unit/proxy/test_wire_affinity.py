"""Requests stay on the slot where their keys belong: by the store, by memory, and without both."""

from types import MappingProxyType
from typing import Any

from proxy.exchange.states import State
from proxy.observability import telemetry
from proxy.routing.model import Canary, RoutingTable, Slot, Unit
from tests.support.messages import ask, chunked, post
from tests.support.wire import Wire, playbook, table

ACME, BRAVO = b"X-Tenant-ID: acme", b"X-Tenant-ID: bravo"
ANNA, BERT = b"Cookie: sid=anna", b"Cookie: sid=bert"
PAYS = b"Idempotency-Key: pay-1"
GREEN = {"acme": Slot.GREEN}
SESSION = {"name": "session", "cookie": "sid", "ends_on": {"header": "Clear-Site-Data"}}
PAYMENT = {"name": "payment", "header": "Idempotency-Key", "canary": False}
JOB = {
    "name": "job",
    "path": "/jobs/{key}",
    "born": {"header": "Location", "pattern": "/jobs/{key}"},
    "ends_on": {"status": [410]},
}
RULES = {"affinity": [JOB, PAYMENT, SESSION]}
BORN = b"HTTP/1.1 202 Accepted\r\nLocation: /jobs/7\r\nContent-Length: 2\r\n\r\nok"


def rules(**store: Any) -> dict[str, Any]:
    return {**RULES, "affinity_store": store}


def count(wire: Wire, cell: int) -> int:
    return wire.block.cells[cell]


def went(wire: Wire, *fields: bytes, target: bytes = b"/", client: Any = None) -> bytes:
    """The slot that answers such a request; the last connections are used."""
    side = client or wire.client
    side.sends(ask(*fields, target=target))
    answered = [each for each in wire.endpoints if each.transport.arrived]
    assert len(answered) == 1, answered
    answered[0].request()
    answered[0].answers()
    slot: bytes = side.answer()["X-Turnout-Slot"]
    return slot


@playbook(settings=RULES, trusted=True)
def test_a_key_stays_where_it_was_first_seen(wire: Wire) -> None:
    assert went(wire, ACME, ANNA) == b"blue"
    wire.use(table(pins=GREEN))
    assert went(wire, ACME, ANNA) == b"blue"
    assert went(wire, ACME, BERT) == b"green"
    assert went(wire, ACME) == b"green"
    assert went(wire, ACME, ANNA) == b"blue"
    assert went(wire, ACME, BERT) == b"green"


@playbook(settings=RULES, trusted=True)
def test_one_tenants_key_says_nothing_of_anothers(wire: Wire) -> None:
    assert went(wire, ACME, ANNA) == b"blue"
    wire.use(table(active=Slot.GREEN))
    assert went(wire, BRAVO, ANNA) == b"green"
    assert went(wire, ACME, ANNA) == b"blue"


@playbook(settings=RULES, trusted=True)
def test_a_known_key_is_not_asked_for_again_while_it_is_trusted(wire: Wire) -> None:
    for _ in range(3):
        assert went(wire, ACME, ANNA) == b"blue"
    assert wire.affinity_store.asked == 1
    assert count(wire, telemetry.AFFINITY_MISSES) == 1
    assert count(wire, telemetry.AFFINITY_HITS) == 2


@playbook(settings=rules(trust_s=0), trusted=True)
def test_what_another_worker_has_bound_counts_here(wire: Wire) -> None:
    assert went(wire, ACME, ANNA) == b"blue"
    (digest,) = wire.affinity_store.values
    wire.affinity_store.values[digest] = (Slot.GREEN, 1)
    assert went(wire, ACME, ANNA) == b"green"
    assert count(wire, telemetry.AFFINITY_RACES_LOST) == 1


@playbook(settings=RULES, trusted=True)
def test_a_request_waits_until_the_store_has_answered(wire: Wire) -> None:
    wire.affinity_store.holds = True
    wire.client.sends(post(b"x" * 100, ACME, PAYS))
    assert State(wire.exchanges[0].state) is State.BINDING
    assert not wire.endpoints
    wire.loop.call_soon(wire.affinity_store.answers)
    wire.settle()
    assert wire.endpoint(0).request().body == b"x" * 100
    wire.endpoint(0).answers()
    assert wire.client.answer().status == 200


@playbook(settings=RULES, trusted=True)
def test_a_chunked_body_that_comes_meanwhile_is_whole(wire: Wire) -> None:
    wire.affinity_store.holds = True
    wire.client.sends(ask(ACME, PAYS, b"Transfer-Encoding: chunked", method=b"POST"))
    wire.client.sends(chunked(b"one", b"two"))
    wire.loop.call_soon(wire.affinity_store.answers)
    wire.settle()
    assert wire.endpoint(0).request().body == b"onetwo"


@playbook(settings=RULES, trusted=True)
def test_a_store_that_is_too_slow_is_not_waited_for(wire: Wire) -> None:
    wire.affinity_store.holds = True
    wire.client.sends(ask(ACME, ANNA))
    assert not wire.endpoints
    wire.later(0.11)
    assert wire.endpoint(0).host == "10.0.1.0"
    wire.endpoint(0).request()
    wire.endpoint(0).answers()
    wire.client.answer()
    wire.use(table(pins=GREEN))
    wire.loop.call_soon(wire.affinity_store.answers)
    wire.settle()
    assert went(wire, ACME, ANNA) == b"blue"
    assert count(wire, telemetry.AFFINITY_STORE_ERRORS) == 1


@playbook(settings=RULES, trusted=True)
def test_without_a_store_a_worker_remembers_and_writes_later(wire: Wire) -> None:
    store, affinities = wire.affinity_store, wire.services.affinities
    assert affinities is not None
    store.reachable = False
    assert went(wire, ACME, ANNA) == b"blue"
    wire.use(table(pins=GREEN))
    assert went(wire, ACME, ANNA) == b"blue"
    assert went(wire, ACME, BERT) == b"green"
    assert not store.asked
    store.returns(affinities.unwritten())
    wire.settle()
    assert sorted(store.values.values()) == [(Slot.BLUE, 1), (Slot.GREEN, 1)]
    assert not affinities.unwritten()


@playbook(settings=rules(trust_s=0), trusted=True)
def test_of_two_workers_that_bound_a_key_alone_one_is_corrected(wire: Wire) -> None:
    store, affinities = wire.affinity_store, wire.services.affinities
    assert affinities is not None
    store.reachable = False
    assert went(wire, ACME, ANNA) == b"blue"
    (late,) = affinities.unwritten()
    store.values[late.keys[0].digest] = (Slot.GREEN, 1)
    store.returns([late])
    wire.settle()
    assert count(wire, telemetry.AFFINITY_RACES_LOST) == 1
    assert went(wire, ACME, ANNA) == b"green"


@playbook(settings=RULES, trusted=True)
def test_what_was_asked_when_the_store_went_is_decided_here(wire: Wire) -> None:
    wire.affinity_store.holds = True
    wire.client.sends(ask(ACME, ANNA))
    wire.loop.call_soon(wire.affinity_store.fails)
    wire.settle()
    assert wire.endpoint(0).host == "10.0.1.0"
    affinities = wire.services.affinities
    assert affinities is not None
    assert len(affinities.unwritten()) == 1


@playbook(settings=RULES, trusted=True)
def test_a_store_that_lost_all_is_told_again(wire: Wire) -> None:
    assert went(wire, ACME, ANNA) == b"blue"
    wire.affinity_store.values.clear()
    wire.use(table(pins=GREEN))
    affinities = wire.services.affinities
    assert affinities is not None
    for entry in affinities._memory._known.values():
        entry.trusted = 0.0
    assert went(wire, ACME, ANNA) == b"blue"
    assert list(wire.affinity_store.values.values()) == [(Slot.BLUE, 1)]


@playbook(settings=RULES, trusted=True)
def test_a_job_that_the_store_lost_is_told_again(wire: Wire) -> None:
    wire.client.sends(post(b"", ACME, target=b"/jobs"))
    wire.endpoint(0).request()
    wire.endpoint(0).sends(BORN)
    wire.client.answer()
    wire.affinity_store.values.clear()
    affinities = wire.services.affinities
    assert affinities is not None
    for entry in affinities._memory._known.values():
        entry.trusted = 0.0
    wire.use(table(pins=GREEN))
    assert went(wire, ACME, target=b"/jobs/7") == b"blue"
    assert list(wire.affinity_store.values.values()) == [(Slot.BLUE, 1)]


@playbook(settings=RULES, trusted=True)
def test_a_client_that_leaves_meanwhile_frees_everything(wire: Wire) -> None:
    wire.affinity_store.holds = True
    wire.client.sends(post(b"x" * 100, ACME, PAYS))
    wire.client.vanishes()
    assert State(wire.exchanges[0].state) is State.ENDED
    wire.loop.call_soon(wire.affinity_store.answers)
    wire.settle()
    assert not wire.endpoints


@playbook(settings=RULES, trusted=True)
def test_a_hold_that_comes_meanwhile_comes_first(wire: Wire) -> None:
    wire.affinity_store.holds = True
    wire.client.sends(post(b"body", ACME, ANNA))
    wire.use(table(holds={"acme": "s-1"}))
    wire.loop.call_soon(wire.affinity_store.answers)
    wire.settle()
    assert State(wire.exchanges[0].state) is State.PARKED
    assert not wire.endpoints
    assert wire.services.parking.size > len(ANNA)  # what has come of the body counts too
    wire.affinity_store.holds = False
    wire.use(table(pins=GREEN))
    assert wire.endpoint(0).request().body == b"body"


@playbook(settings=RULES, trusted=True, routing=table(holds={"acme": "s-1"}))
def test_who_was_parked_goes_by_its_key_then(wire: Wire) -> None:
    wire.client.sends(ask(ACME, ANNA))
    assert wire.services.parking.count == 1
    wire.use(table(pins=GREEN))
    assert wire.affinity_store.asked == 1
    assert wire.endpoint(0).host == "10.0.2.0"


@playbook(settings=RULES, trusted=True)
def test_affinities_made_before_they_were_ended_count_no_more(wire: Wire) -> None:
    assert went(wire, ACME, ANNA) == b"blue"
    since = MappingProxyType({Slot.BLUE: 2, Slot.GREEN: 0})
    ended = RoutingTable(
        version=2,
        active=Slot.GREEN,
        endpoints=table().endpoints,
        affinities_since=since,
    )
    wire.use(ended)
    assert went(wire, ACME, ANNA) == b"green"
    assert list(wire.affinity_store.values.values()) == [(Slot.GREEN, 2)]


@playbook(settings=RULES, trusted=True)
def test_one_tenants_affinities_end_alone(wire: Wire) -> None:
    assert went(wire, ACME, ANNA) == b"blue"
    assert went(wire, BRAVO, ANNA) == b"blue"
    ended = MappingProxyType({"acme": 2})
    wire.use(
        RoutingTable(
            version=2,
            active=Slot.GREEN,
            endpoints=table().endpoints,
            tenant_affinities_since=ended,
        )
    )
    assert went(wire, ACME, ANNA) == b"green"
    assert went(wire, BRAVO, ANNA) == b"blue"


@playbook(settings=RULES, trusted=True)
def test_a_key_leaves_a_slot_that_is_dead_and_does_not_come_back(wire: Wire) -> None:
    assert went(wire, ACME, ANNA) == b"blue"
    wire.use(table(blue=0, pins=GREEN))
    assert went(wire, ACME, ANNA) == b"green"
    assert count(wire, telemetry.AFFINITY_MOVES) == 1
    wire.use(table())
    assert went(wire, ACME, ANNA) == b"green"
    assert count(wire, telemetry.AFFINITY_MOVES) == 1


@playbook(settings=RULES, trusted=True)
def test_with_both_slots_dead_a_key_stays(wire: Wire) -> None:
    assert went(wire, ACME, ANNA) == b"blue"
    wire.use(table(blue=0, green=0, pins=GREEN))
    wire.client.sends(ask(ACME, ANNA))
    wire.client.refused(503, closes=False)
    wire.use(table(pins=GREEN))
    assert went(wire, ACME, ANNA) == b"blue"


@playbook(settings=RULES, trusted=True)
def test_of_several_keys_the_first_that_is_known_decides(wire: Wire) -> None:
    assert went(wire, ACME, ANNA) == b"blue"
    wire.use(table(pins=GREEN))
    assert went(wire, ACME, ANNA, PAYS) == b"blue"
    assert went(wire, ACME, PAYS) == b"blue"


@playbook(settings=RULES, trusted=True)
def test_a_job_stays_on_the_slot_that_began_it(wire: Wire) -> None:
    wire.client.sends(post(b"", ACME, target=b"/jobs"))
    wire.endpoint(0).request()
    wire.endpoint(0).sends(BORN)
    answer = wire.client.answer()
    assert (answer.status, answer.body) == (202, b"ok")
    wire.use(table(pins=GREEN))
    assert went(wire, ACME, target=b"/jobs/7/wait") == b"blue"
    assert went(wire, ACME, target=b"/jobs/8") == b"green"
    assert len(wire.affinity_store.values) == 1


@playbook(settings=RULES, trusted=True)
def test_who_is_told_of_a_job_is_told_after_the_store(wire: Wire) -> None:
    wire.affinity_store.holds = True
    wire.client.sends(post(b"", ACME, target=b"/jobs"))
    wire.endpoint(0).request()
    wire.endpoint(0).sends(BORN)
    wire.client.got_nothing()
    assert State(wire.exchanges[0].state) is State.STORING
    wire.loop.call_soon(wire.affinity_store.answers)
    wire.settle()
    assert wire.client.answer().status == 202
    assert wire.client.open


@playbook(settings=RULES, trusted=True)
def test_but_not_for_longer_than_the_wait(wire: Wire) -> None:
    wire.affinity_store.holds = True
    wire.client.sends(post(b"", ACME, target=b"/jobs"))
    wire.endpoint(0).request()
    wire.endpoint(0).sends(BORN)
    wire.later(0.11)
    assert wire.client.answer().status == 202
    wire.use(table(pins=GREEN))
    wire.affinity_store.fails()
    assert went(wire, ACME, target=b"/jobs/7") == b"blue"


@playbook(settings=RULES, trusted=True, cuts=("whole",))
def test_an_endpoint_is_paused_while_its_answer_waits(wire: Wire) -> None:
    wire.affinity_store.holds = True
    wire.client.sends(post(b"", ACME, target=b"/jobs"))
    wire.endpoint(0).request()
    wire.endpoint(0).sends(BORN.replace(b": 2", b": 6"))
    assert wire.endpoint(0).paused
    wire.endpoint(0).sends(b"more")
    wire.loop.call_soon(wire.affinity_store.answers)
    wire.settle()
    assert wire.client.answer().body == b"okmore"
    assert wire.endpoint(0).reads


@playbook(settings=RULES, trusted=True, cuts=("whole",))
def test_an_answer_that_breaks_off_while_it_waits_is_a_502(wire: Wire) -> None:
    wire.affinity_store.holds = True
    wire.client.sends(post(b"", ACME, target=b"/jobs"))
    wire.endpoint(0).request()
    wire.endpoint(0).sends(BORN.replace(b": 2", b": 6"))
    wire.endpoint(0).vanishes()
    wire.client.refused(502, closes=False)
    wire.loop.call_soon(wire.affinity_store.answers)
    wire.settle()
    wire.client.got_nothing()
    assert len(wire.affinity_store.values) == 1


@playbook(settings=RULES, trusted=True, cuts=("whole",))
def test_a_whole_answer_outlives_its_endpoint(wire: Wire) -> None:
    wire.affinity_store.holds = True
    wire.client.sends(post(b"", ACME, target=b"/jobs"))
    wire.endpoint(0).request()
    wire.endpoint(0).sends(BORN)
    wire.endpoint(0).vanishes()
    wire.loop.call_soon(wire.affinity_store.answers)
    wire.settle()
    assert wire.client.answer().body == b"ok"
    assert wire.client.open


@playbook(settings=RULES, trusted=True)
def test_the_job_of_a_client_that_leaves_is_stored_all_the_same(wire: Wire) -> None:
    wire.affinity_store.holds = True
    wire.client.sends(post(b"", ACME, target=b"/jobs"))
    wire.endpoint(0).request()
    wire.endpoint(0).sends(BORN)
    wire.client.vanishes()
    assert State(wire.exchanges[0].state) is State.ENDED
    wire.loop.call_soon(wire.affinity_store.answers)
    wire.settle()
    assert len(wire.affinity_store.values) == 1


@playbook(settings=RULES, trusted=True)
def test_a_job_ends_with_the_answer_that_says_so(wire: Wire) -> None:
    wire.client.sends(post(b"", ACME, target=b"/jobs"))
    wire.endpoint(0).request()
    wire.endpoint(0).sends(BORN)
    wire.client.answer()
    wire.use(table(pins=GREEN))
    wire.client.sends(ask(ACME, target=b"/jobs/7"))
    wire.endpoint(0).request()
    wire.endpoint(0).answers(status=b"410 Gone")
    assert wire.client.answer().status == 410
    assert not wire.affinity_store.values
    assert went(wire, ACME, target=b"/jobs/7") == b"green"


@playbook(settings=rules(first_per_s=1), trusted=True)
def test_only_so_many_new_keys_are_bound_in_a_second(wire: Wire) -> None:
    for number in range(20):
        assert went(wire, ACME, b"Cookie: sid=%d" % number) == b"blue"
    assert 1 <= len(wire.affinity_store.values) < 20


@playbook(settings=rules(waiting=0), trusted=True)
def test_over_the_number_that_may_wait_none_waits(wire: Wire) -> None:
    assert went(wire, ACME, ANNA) == b"blue"
    assert not wire.affinity_store.asked


@playbook(settings=rules(remembered=2, trust_s=60), trusted=True)
def test_what_is_remembered_is_bounded(wire: Wire) -> None:
    for number in (1, 2, 3, 3, 1):
        went(wire, ACME, b"Cookie: sid=%d" % number)
    assert wire.affinity_store.asked == 4


@playbook(
    settings=RULES,
    trusted=True,
    routing=table(canary=Canary(5_000, Unit.AFFINITY)),
    cuts=("whole",),
)
def test_a_canary_of_affinity_draws_by_the_session(wire: Wire) -> None:
    slots = {number: went(wire, ACME, b"Cookie: sid=%d" % number) for number in range(40)}
    assert set(slots.values()) == {b"blue", b"green"}
    again = {number: went(wire, ACME, b"Cookie: sid=%d" % number) for number in range(40)}
    assert again == slots
    alone = {went(wire, ACME, b"Idempotency-Key: %d" % number) for number in range(40)}
    assert len(alone) == 1


@playbook(trusted=True)
def test_without_rules_nothing_is_asked(wire: Wire) -> None:
    assert wire.services.affinities is None
    assert went(wire, ACME, ANNA) == b"blue"
    assert not wire.affinity_store.asked
