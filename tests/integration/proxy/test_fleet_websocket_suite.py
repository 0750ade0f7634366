"""Autobahn's cases end the same through Turnout as without it (`make websocket-suite`: more)."""

from pathlib import Path

import pytest

from proxy.routing.change import SetEndpoints
from proxy.routing.model import Endpoint, Slot
from tests.support.fleet import FleetOf, Routing
from tests.support.processes import Children
from tests.support.websocket_suite import BOUNDED, compare, echo


@pytest.fixture
async def echo_port(tmp_path: Path, spawn: Children) -> int:
    """Where the endpoint listens."""
    return await echo(spawn)


async def test_each_case_ends_the_same_as_without_the_proxy(
    fleet_of: FleetOf, routing: Routing, echo_port: int
) -> None:
    fleet = await fleet_of()
    address = Endpoint("127.0.0.1", echo_port)
    version = await routing.change(SetEndpoints(Slot.BLUE, (address,)))
    await routing.acked(version, fleet.workers_wanted)
    compared = await compare(echo_port, fleet.port, BOUNDED)
    assert not [str(each) for each in compared if not each.same]
    assert len(compared) > 250
    assert {each.through.verdict for each in compared} >= {"OK", "INFORMATIONAL"}
    metrics = await fleet.metrics_until(lambda m: m.value("turnout_tunnels") == 0, "all are gone")
    assert metrics.value("turnout_tunnels_opened_total", slot="blue") == len(compared)
