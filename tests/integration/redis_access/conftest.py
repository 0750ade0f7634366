"""Groups of servers, each made for one test; and both planes on top of them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.endpoint import Endpoints, start_endpoint
from tests.support.processes import Children
from tests.support.redis_group import Sharded, Watched, running


@pytest.fixture
def watched_servers(tmp_path: Path) -> Iterator[Watched]:
    group = Watched(tmp_path / "watched")
    with running(group):
        yield group


@pytest.fixture
async def watched(watched_servers: Watched) -> Watched:
    """A master, its replica, and three sentinels, which know all of each other."""
    await watched_servers.ready()
    return watched_servers


@pytest.fixture
def sharded_servers(tmp_path: Path) -> Iterator[Sharded]:
    group = Sharded(tmp_path / "sharded")
    with running(group):
        yield group


@pytest.fixture
async def sharded(sharded_servers: Sharded) -> Sharded:
    """A cluster of three nodes, with a replica of who has our keys."""
    await sharded_servers.ready()
    return sharded_servers


@pytest.fixture
async def endpoints(spawn: Children) -> Endpoints:
    return Endpoints(await start_endpoint(spawn, "blue"), await start_endpoint(spawn, "green"))
