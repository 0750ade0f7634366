"""A Redis that answers and can't: full, read-only, loading, without its disk or replicas.

Traffic goes on, no change is called served, and all is well again without a restart of anything.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from redis.asyncio import Redis

from admin.embedded.ports import LOOPBACK
from config import Shared
from tests.support.clients import Load
from tests.support.endpoint import Endpoints
from tests.support.fleet import KEY
from tests.support.planes import WORKERS, Planes, both_planes
from tests.support.processes import Children
from tests.support.redis_group import PASSWORD, Node, until

STORED = 400
"""Keys that take 4 s to load, so that it is seen."""


class Row(NamedTuple):
    """How it begins and ends, and what a change is answered meanwhile."""

    begin: Callable[[Node, "Redis"], Awaitable[Any]]
    end: Callable[[Node, "Redis"], Awaitable[Any]]
    status: int


def setting(name: str, value: str) -> Callable[[Node, "Redis"], Awaitable[Any]]:
    return lambda _, client: client.config_set(name, value)


def replica_of(*where: str) -> Callable[[Node, "Redis"], Awaitable[Any]]:
    return lambda _, client: client.execute_command("REPLICAOF", *where)


async def _masterdown(node: Node, client: "Redis") -> None:
    await client.config_set("replica-serve-stale-data", "no")
    await client.execute_command("REPLICAOF", LOOPBACK, "1")


async def _no_disk(node: Node, client: "Redis") -> None:
    """A snapshot can't be put in its place, so Redis takes no more writes."""
    (node.folder / "dump.rdb").mkdir()
    await client.config_set("save", "3600 1000000")
    await client.bgsave()
    await until(node, _bgsave_failed, "the snapshot has failed")


async def _bgsave_failed(client: "Redis") -> bool:
    return bool((await client.info("persistence"))["rdb_last_bgsave_status"] == "err")


async def _disk(node: Node, client: "Redis") -> None:
    (node.folder / "dump.rdb").rmdir()
    await client.config_set("save", "")


ROWS = {
    "READONLY": Row(replica_of(LOOPBACK, "1"), replica_of("NO", "ONE"), 202),
    "MASTERDOWN": Row(_masterdown, replica_of("NO", "ONE"), 503),
    "OOM": Row(setting("maxmemory", "1"), setting("maxmemory", "0"), 202),
    "NOREPLICAS": Row(
        setting("min-replicas-to-write", "1"), setting("min-replicas-to-write", "0"), 202
    ),
    "MISCONF": Row(_no_disk, _disk, 202),
}


@pytest.fixture
def node(tmp_path: Path) -> Any:
    with Node(tmp_path / "node", "enable-debug-command yes\n") as started:
        yield started


@pytest.fixture
async def planes(
    spawn: Children, tmp_path: Path, node: Node, admin_database_url: str, endpoints: Endpoints
) -> AsyncIterator[Planes]:
    url = f"redis://:{PASSWORD}@{LOOPBACK}:{node.port}"
    shared = Shared(url, database_url=admin_database_url, routing_key=KEY)
    async with both_planes(spawn, tmp_path, shared, endpoints) as started:
        yield started


@pytest.mark.parametrize("code", ROWS)
async def test_nothing_is_lost_while_redis_can_t(planes: Planes, node: Node, code: str) -> None:
    row = ROWS[code]
    before = (await planes.change("green"))["version"]
    async with Load(planes.fleet.port, tenant="acme") as load, node.client() as client:
        await row.begin(node, client)
        await planes.fleet.until(
            lambda workers: not any(each["store_reachable"] for each in workers), "all notice it"
        )
        await load.everyone()
        status, answer, _ = await planes.call("PUT", "/v1/tenants/acme/pin", {"slot": "blue"})
        assert status == row.status, answer
        assert (await planes.fleet.get("/", tenant="acme")).slot == "green"
        await row.end(node, client)
        after = (await planes.changes("blue"))["version"]
        await load.everyone()
    assert not load.failures
    assert after > before
    assert [each["version"] for each in await planes.fleet.workers()] == [after] * WORKERS


async def test_a_server_that_loads_is_waited_for(planes: Planes, node: Node) -> None:
    before = (await planes.change("green"))["version"]
    async with Load(planes.fleet.port, tenant="acme") as load, node.client() as client:
        await client.mset({f"filling-{number}": "x" * 1000 for number in range(STORED)})
        await client.config_set("loading-process-events-interval-bytes", "1024")
        await client.config_set("key-load-delay", "10000")
        async with node.client() as other:
            other.connection_pool.connection_kwargs["socket_timeout"] = 60.0
            loads = other.execute_command("DEBUG", "RELOAD")
            await _while_it_loads(loads, planes, load)
        await planes.changes("blue")
        assert (await planes.change("green"))["version"] > before
    assert not load.failures


async def _while_it_loads(loads: Awaitable[Any], planes: Planes, load: Load) -> None:
    async def meanwhile() -> None:
        await planes.fleet.child.line("BusyLoadingError", seconds=60)
        status, answer, _ = await planes.call("PUT", "/v1/tenants/acme/pin", {"slot": "blue"})
        assert status in {202, 503}, answer
        await load.everyone()

    await asyncio.gather(loads, meanwhile())
