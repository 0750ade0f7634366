"""Endpoints that fail and come back, as real workers see them: checks, ejection, refusals."""

import time

from proxy.routing.change import SetEndpoints
from proxy.routing.model import Endpoint as Address
from proxy.routing.model import Slot
from tests.support.endpoint import Endpoint, start_endpoint
from tests.support.fleet import Fleet, FleetOf, Metrics, Routing
from tests.support.processes import Children

WORKERS = 2
CHECKS = {"interval_s": 0.1, "path": "/health", "timeout_s": 2.0, "rise": 2, "fall": 2}


async def two(spawn: Children, routing: Routing) -> tuple[Endpoint, Endpoint]:
    """Two endpoints of their own in blue, which all workers have."""
    ends = (await start_endpoint(spawn, "one"), await start_endpoint(spawn, "two"))
    addresses = tuple(Address.parse(end.address) for end in ends)
    version = await routing.change(SetEndpoints(Slot.BLUE, addresses))
    await routing.acked(version, WORKERS)
    return ends


async def eligible(fleet: Fleet, each: int) -> Metrics:
    """Wait until every worker thinks so many of blue's endpoints healthy."""
    return await fleet.metrics_until(
        lambda metrics: metrics.value("turnout_endpoints_eligible", slot="blue") == WORKERS * each,
        f"{each} are healthy",
    )


async def names(fleet: Fleet, times: int) -> set[str]:
    """Who answers so many requests, none of which may fail."""
    answers = [await fleet.get() for _ in range(times)]
    assert {answer.status for answer in answers} == {200}
    return {answer.body.decode() for answer in answers}


async def test_checks_take_an_endpoint_out_and_bring_it_back(
    fleet_of: FleetOf, routing: Routing, spawn: Children
) -> None:
    balancing = {"slow_start_s": 0.0}
    fleet = await fleet_of(workers=WORKERS, checks=CHECKS, balancing=balancing)
    one, two_ = await two(spawn, routing)
    await eligible(fleet, 2)
    await two_.answer_checks(503)
    metrics = await eligible(fleet, 1)
    assert metrics.value("turnout_endpoints", slot="blue") == WORKERS * 2
    assert await names(fleet, 20) == {"one"}
    await two_.answer_checks(200)
    await eligible(fleet, 2)
    assert await names(fleet, 20) == {"one", "two"}
    assert set(await one.checked_by()) == {f"turnout-health-check {one.address}"}


async def test_with_all_checks_failing_it_is_503_at_once(
    fleet_of: FleetOf, routing: Routing, spawn: Children
) -> None:
    fleet = await fleet_of(workers=WORKERS, checks=CHECKS | {"path": ""})
    ends = await two(spawn, routing)
    await eligible(fleet, 2)
    for end in ends:
        end.child.stop()
    await eligible(fleet, 0)
    began = time.monotonic()
    answer = await fleet.get()
    took_ms = (time.monotonic() - began) * 1000
    assert (answer.status, answer.json["code"]) == (503, "none-healthy")
    assert answer.fields["retry-after"] == "1"
    print(f"503 after {took_ms:.1f} ms")


async def test_a_dead_endpoint_costs_no_request_and_is_ejected(
    fleet_of: FleetOf, routing: Routing, spawn: Children
) -> None:
    fleet = await fleet_of(workers=WORKERS)
    _, dead = await two(spawn, routing)
    dead.child.stop()
    connections = await fleet.connections(each=1)
    for connection in connections:
        for _ in range(20):
            assert (await connection.get()).body == b"one"
        await connection.close()
    metrics = await eligible(fleet, 1)
    assert metrics.value("turnout_ejections_total", slot="blue") == WORKERS
    assert metrics.value("turnout_connect_failures_total", slot="blue") >= WORKERS * 5
    assert metrics.value("turnout_panics_total") == 0


async def test_by_default_nothing_reaches_an_endpoint_that_no_client_sent(
    fleet_of: FleetOf, routing: Routing, spawn: Children
) -> None:
    await fleet_of(workers=WORKERS)
    one, other = await two(spawn, routing)
    await routing.renewed(WORKERS)
    for end in (one, other):
        assert not await end.connections()
        assert not await end.checked_by()
