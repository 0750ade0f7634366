"""Fixtures of the data plane's integration tests: two endpoints, and fleets in front of them."""

from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from admin.embedded import EmbeddedRedis
from tests.support.certificates import Authority
from tests.support.endpoint import Endpoints, start_endpoint
from tests.support.fleet import (
    Fleet,
    FleetOf,
    Routing,
    Settings,
    routing_at,
    settings,
    slots,
    start_fleet,
)
from tests.support.processes import Children
from tests.support.servers import emptied_redis


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Signs certificates into the test's folder."""
    return Authority(tmp_path)


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


@pytest.fixture(scope="module")
async def module_routing(redis_server: EmbeddedRedis) -> AsyncIterator[Routing]:
    """As `routing`, for the whole module: no test of it may ask for `redis_url`."""
    async with routing_at(emptied_redis(redis_server)) as publisher:
        yield publisher


@pytest.fixture(scope="module")
def module_fleet_of(
    tmp_path_factory: pytest.TempPathFactory, module_routing: Routing, endpoints: Endpoints
) -> Iterator[FleetOf]:
    """As `fleet_of`, for the whole module; several fleets follow one table."""
    folder = tmp_path_factory.mktemp("fleets")
    children = Children(folder)

    async def start(**proxy: object) -> Fleet:
        own = settings(folder, module_routing.url, **proxy)
        return await serving_fleet(children, own, module_routing, endpoints)

    yield start
    children.stop()


@pytest.fixture
async def routing(redis_url: str) -> AsyncIterator[Routing]:
    """Publishes, signed, to the Redis of `fleet_of`."""
    async with routing_at(redis_url) as publisher:
        yield publisher


@pytest.fixture
def fleet_of(
    spawn: Children, tmp_path: Path, redis_url: str, routing: Routing, endpoints: Endpoints
) -> FleetOf:
    """Starts a fleet: `await fleet_of(workers=4, timeouts={…})`, see `fleet.settings`.

    The table names the two endpoints, everyone goes to blue, and all workers serve it. before: a
    command that becomes the supervisor.
    """

    async def start(before: Sequence[str] = (), **proxy: object) -> Fleet:
        own = settings(tmp_path, redis_url, **proxy)
        return await serving_fleet(spawn, own, routing, endpoints, before)

    return start


async def serving_fleet(
    children: Children,
    own: Settings,
    routing: Routing,
    endpoints: Endpoints,
    before: Sequence[str] = (),
) -> Fleet:
    """A started fleet, all of whose workers serve a table that names the endpoints."""
    fleet = await start_fleet(children, own, before)
    version = await routing.change(*slots(*endpoints))
    await routing.acked(version, fleet.workers_wanted)
    await fleet.serving()
    return fleet
