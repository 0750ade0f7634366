"""What becomes of requests at a worker whose lease is over: they wait, or go on, by tenant."""

from proxy.routing.model import Slot
from tests.support.messages import ask, post
from tests.support.wire import Wire, playbook, table

ACME, BRAVO = b"X-Tenant-ID: acme", b"X-Tenant-ID: bravo"
PARK = {"follow": {"without_lease": "park", "without_lease_tenants": {"bravo": "serve"}}}
ONE_PARKS = {"follow": {"without_lease_tenants": {"acme": "park"}}}
NAMED_TWICE = {"identity": {"order": ["header", "subdomain"], "domains": ["erp.example"]}}


def leased(wire: Wire, leased: bool) -> None:
    wire.loop.call_soon(wire.services.lease, leased)
    wire.settle()


@playbook(trusted=True, settings=PARK)
def test_requests_wait_for_a_lease_and_go_by_the_newest_table(wire: Wire) -> None:
    leased(wire, False)
    wire.client.sends(post(b"body", ACME))
    wire.client.got_nothing()
    wire.use(table(pins={"acme": Slot.GREEN}))
    wire.client.got_nothing()
    assert not wire.endpoints
    leased(wire, True)
    assert wire.endpoint(0).host == "10.0.2.0"
    assert wire.endpoint(0).request().body == b"body"


@playbook(trusted=True, settings=PARK)
def test_a_tenant_may_be_served_all_the_same(wire: Wire) -> None:
    leased(wire, False)
    wire.client.sends(ask(BRAVO))
    assert wire.endpoint(0).host == "10.0.1.0"


@playbook(trusted=True, settings=ONE_PARKS)
def test_a_tenant_may_wait_where_others_are_served(wire: Wire) -> None:
    leased(wire, False)
    first = wire.client
    first.sends(ask(ACME))
    second = wire.connects()
    second.sends(ask())
    assert len(wire.endpoints) == 1
    first.got_nothing()
    leased(wire, True)
    assert len(wire.endpoints) == 2


@playbook(trusted=True)
def test_by_default_all_are_served(wire: Wire) -> None:
    leased(wire, False)
    wire.client.sends(ask(ACME))
    assert wire.endpoint(0).host == "10.0.1.0"


@playbook(trusted=True, settings=PARK)
def test_who_names_no_tenant_waits_as_all(wire: Wire) -> None:
    leased(wire, False)
    wire.client.sends(ask())
    assert not wire.endpoints
    leased(wire, True)
    assert len(wire.endpoints) == 1


def remembered_route_ends_with_the_lease(wire: Wire) -> None:
    wire.client.sends(ask(ACME))
    wire.endpoint(0).request()
    wire.endpoint(0).answers()
    wire.client.answer()
    leased(wire, False)
    wire.client.sends(ask(ACME))
    assert not wire.endpoint(0).transport.arrived
    leased(wire, True)
    wire.endpoint(0).request()
    wire.endpoint(0).answers()
    assert wire.client.answer().status == 200


@playbook(trusted=True, settings=PARK)
def test_what_a_worker_remembers_ends_with_the_lease(wire: Wire) -> None:
    remembered_route_ends_with_the_lease(wire)


@playbook(trusted=True, settings=PARK | NAMED_TWICE)
def test_what_a_connection_remembers_ends_with_the_lease(wire: Wire) -> None:
    remembered_route_ends_with_the_lease(wire)


@playbook(trusted=True, settings=PARK | {"parking": {"wait_s": 5.0, "requests": 1}})
def test_they_are_refused_past_the_bounds_of_parking(wire: Wire) -> None:
    leased(wire, False)
    wire.client.sends(ask(ACME))
    second = wire.connects()
    second.sends(ask(ACME))
    second.refused(503, closes=False)
    wire.later(5.5)
    assert wire.client.refused(503, closes=False)["Retry-After"] == b"1"
    leased(wire, True)
    assert not wire.endpoints


@playbook(trusted=True, settings=PARK)
def test_a_lease_lets_nobody_go_whom_a_switch_holds(wire: Wire) -> None:
    leased(wire, False)
    wire.client.sends(ask(ACME))
    wire.use(table(holds={"acme": "s-1"}))
    leased(wire, True)
    assert not wire.endpoints
    wire.use(table())
    assert len(wire.endpoints) == 1


@playbook(trusted=True, settings=PARK, routing=table(holds={"acme": "s-1"}))
def test_the_end_of_a_hold_lets_nobody_go_without_a_lease(wire: Wire) -> None:
    wire.client.sends(ask(ACME))
    leased(wire, False)
    wire.use(table())
    assert not wire.endpoints
    assert wire.services.parking._timer is None, "nobody is asked again and again"
    leased(wire, True)
    assert len(wire.endpoints) == 1
