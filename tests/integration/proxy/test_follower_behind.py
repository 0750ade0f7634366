"""A worker that starts after a failover that lost writes: its neighbours know better than Redis."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from config import Shared
from proxy.config import Follow
from proxy.follow import Follower
from proxy.observability import telemetry
from proxy.observability.telemetry import Telemetry
from proxy.routing.ack import WorkerStatus
from proxy.routing.model import RoutingTable
from proxy.store import Store
from tests.support.fleet import KEY, Routing


@asynccontextmanager
async def following(
    routing: Routing, on_table: Callable[[RoutingTable], None], served: Callable[[], int]
) -> AsyncIterator[telemetry.Block]:
    """A follower of this Redis; its block."""
    block = Telemetry(1).blocks[0]
    follower = Follower(
        Store.of(Shared(redis_url=routing.url, routing_key=KEY)),
        Follow(lease_s=60.0, renew_s=0.05, reconnect_s=0.02),
        WorkerStatus("test/1", "test", 1, 0, "starting"),
        block,
        on_table,
        lambda status: status,
        served,
    )
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(follower.follow()), loop.create_task(follower.renew())]
    try:
        yield block
    finally:
        follower.end()
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)


async def test_the_first_table_is_not_older_than_what_others_here_serve(routing: Routing) -> None:
    await routing.change()
    taken: asyncio.Queue[int] = asyncio.Queue()
    async with following(routing, lambda table: taken.put_nowait(table.version), lambda: 3):
        await routing.renewed(1, times=4)
        assert taken.empty()
        await routing.anew(4)
        assert await taken.get() == 4


@pytest.mark.parametrize(("served", "leased"), [(1, True), (3, False)])
async def test_who_was_left_behind_has_no_lease_before_it_serves_as_others_do(
    served: int, leased: bool
) -> None:
    store, status = Store.of(Shared()), WorkerStatus("test/1", "test", 1, 0, "starting")
    block = Telemetry(1).blocks[0]
    follower = Follower(
        store, Follow(), status, block, lambda _: None, lambda each: each, lambda: served
    )
    follower._swap(RoutingTable(version=1))
    follower._renewed(time.monotonic(), 1)
    assert bool(block.cells[telemetry.LEASED]) is leased
    follower._swap(RoutingTable(version=4))
    assert block.cells[telemetry.LEASED]
    follower.end()
