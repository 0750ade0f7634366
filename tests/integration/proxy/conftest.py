"""Fixtures of the data plane's integration tests: two endpoints, and fleets in front of them."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.endpoint import Endpoints, start_endpoint
from tests.support.fleet import (
    KEY,
    Fleet,
    FleetOf,
    Routing,
    routing_at,
    settings,
    slots,
    start_fleet,
)
from tests.support.processes import Children


@pytest.fixture(scope="session")
def session_children(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Children]:
    """As `spawn`, for the whole session."""
    children = Children(tmp_path_factory.mktemp("endpoints"))
    yield children
    children.stop()


@pytest.fixture(scope="session")
async def endpoints(session_children: Children) -> Endpoints:
    """Two endpoints that tests share: what they keep, they keep by key or X-Id."""
    return Endpoints(
        await start_endpoint(session_children, "blue"),
        await start_endpoint(session_children, "green"),
    )


@pytest.fixture
async def routing(redis_url: str) -> AsyncIterator[Routing]:
    """Publishes, signed, to the Redis of `fleet_of`."""
    async with routing_at(redis_url, KEY) as publisher:
        yield publisher


@pytest.fixture
def fleet_of(
    spawn: Children, tmp_path: Path, redis_url: str, routing: Routing, endpoints: Endpoints
) -> FleetOf:
    """Starts a fleet: `await fleet_of(workers=4, timeouts={…})`, see `fleet.settings`.

    The table names the two endpoints, everyone goes to blue, and all workers serve it.
    """

    async def start(**proxy: object) -> Fleet:
        fleet = await start_fleet(spawn, settings(tmp_path, redis_url, **proxy))
        version = await routing.change(*slots(*endpoints))
        await routing.acked(version, fleet.workers_wanted)
        await fleet.serving()
        return fleet

    return start
