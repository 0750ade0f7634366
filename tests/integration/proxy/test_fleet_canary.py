"""What a canary draws in the data plane: tenants, sessions, requests; through real workers."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from proxy.affinity.rules import Rules
from proxy.affinity.settings import AffinityRule
from proxy.routing.canary import bucket
from proxy.routing.change import SetCanary
from proxy.routing.model import Unit
from tests.support.clients import Answer, Connection, opened
from tests.support.fleet import KEY, Fleet, FleetOf, Routing

WORKERS = 2
SALT = "a salt of tests"
WEIGHT = 4_000
RULES = [
    {"name": "payment", "header": "Idempotency-Key", "canary": False},
    {"name": "session", "cookie": "sid"},
]
TENANT = "acme"


def is_drawn(key: str) -> bool:
    return bucket(SALT, key) < WEIGHT


@asynccontextmanager
async def drawing(fleet: Fleet, routing: Routing, unit: Unit) -> AsyncIterator[list[Connection]]:
    """The canary draws by this; kept connections to each of the workers."""
    version = await routing.change(SetCanary(WEIGHT, unit, SALT))
    await routing.acked(version, WORKERS)
    connections = await fleet.connections(each=2)
    try:
        yield connections
    finally:
        for connection in connections:
            await connection.close()


def id_of(answer: Answer) -> str:
    return answer.fields["x-request-id"]


async def test_by_tenant_a_tenant_goes_to_one_slot(fleet_of: FleetOf, routing: Routing) -> None:
    fleet = await fleet_of(workers=WORKERS)
    async with drawing(fleet, routing, Unit.TENANT) as connections:
        for number in range(60):
            tenant = f"t-{number}"
            slots = {(await each.get(tenant=tenant)).slot for each in connections}
            assert slots == {"green" if is_drawn(tenant) else "blue"}, tenant


async def test_by_request_each_is_drawn_by_its_own_id(fleet_of: FleetOf, routing: Routing) -> None:
    """The id that the answer tells, or that a trusted peer gave: so it can be checked, and traced."""
    fleet = await fleet_of(workers=WORKERS)
    async with drawing(fleet, routing, Unit.REQUEST) as connections:
        slots, numbers = [], itertools.count()
        for connection, number in itertools.product(connections, range(50)):
            given = {"x_request_id": f"id-{next(numbers)}"} if number % 2 else {}
            answer = await connection.get(tenant=TENANT, **given)
            request_id = id_of(answer)
            assert (answer.slot == "green") == is_drawn(request_id), request_id
            slots.append(answer.slot)
        assert {"blue", "green"} == set(slots)
        # Who names no tenant isn't drawn.
        assert {(await each.get()).slot for each in connections for _ in range(5)} == {"blue"}


async def test_by_request_with_rules_of_affinity_too(fleet_of: FleetOf, routing: Routing) -> None:
    fleet = await fleet_of(workers=WORKERS, affinity=RULES)
    async with drawing(fleet, routing, Unit.REQUEST) as connections:
        for connection, _ in itertools.product(connections, range(20)):
            answer = await connection.get(tenant=TENANT)
            assert (answer.slot == "green") == is_drawn(id_of(answer))
        # With a key, the first request of it is drawn, and all others go along.
        for number in range(20):
            first = await connections[0].get(tenant=TENANT, cookie=f"sid=s-{number}")
            assert (first.slot == "green") == is_drawn(id_of(first))
            assert {
                (await each.get(tenant=TENANT, cookie=f"sid=s-{number}")).slot
                for each in connections
            } == {first.slot}


async def test_by_affinity_each_session_goes_to_one_slot(
    fleet_of: FleetOf, routing: Routing
) -> None:
    """Drawn by the key's hash, which the settings make the same in all workers."""
    fleet = await fleet_of(workers=WORKERS, affinity=RULES)
    async with drawing(fleet, routing, Unit.AFFINITY) as connections:
        rule = AffinityRule(name="session", cookie="sid")
        (session,) = Rules([rule], KEY.encode())._rules
        drawn = []
        for number in range(40):
            key = session.key(TENANT, f"s-{number}".encode()).digest
            slots = {
                (await each.get(tenant=TENANT, cookie=f"sid=s-{number}")).slot
                for each in connections
            }
            assert slots == {"green" if is_drawn(f"{TENANT}/{key}") else "blue"}, number
            drawn.append(slots.pop())
        assert {"blue", "green"} == set(drawn)
        # Without a key, or with one that no canary draws by, it is the tenant that is drawn.
        whole = {"green" if is_drawn(TENANT) else "blue"}
        assert {(await each.get(tenant=TENANT)).slot for each in connections} == whole
        payments = [await e.get(tenant=TENANT, idempotency_key=f"p-{id(e)}") for e in connections]
        assert {answer.slot for answer in payments} == whole


async def test_a_pin_is_stronger_than_any_unit(fleet_of: FleetOf, routing: Routing) -> None:
    fleet = await fleet_of(workers=WORKERS)
    deny = frozenset({TENANT})
    for unit in Unit:
        version = await routing.change(SetCanary(10_000, unit, SALT, frozenset(), deny))
        await routing.acked(version, WORKERS)
        connection = await opened(fleet.port)
        assert {(await connection.get(tenant=TENANT)).slot for _ in range(5)} == {"blue"}
        assert (await connection.get(tenant="other")).slot == "green"
        await connection.close()
