"""Following ends when it is told to, wherever it is: redis-py may lose a cancellation."""

import asyncio

from config import Shared
from proxy.config import Follow
from proxy.follow import Follower
from proxy.observability.telemetry import Telemetry
from proxy.routing.ack import WorkerStatus
from proxy.store import Store
from tests.support.fleet import KEY, Routing

STEPS = 25
"""Turns of the loop that a renewal takes, and some."""


async def test_a_cancellation_ends_it_at_every_step(routing: Routing) -> None:
    await routing.change()
    for steps in range(STEPS):
        follower = Follower(
            Store.of(Shared(redis_url=routing.url, routing_key=KEY)),
            Follow(lease_s=600.0, renew_s=60.0),
            WorkerStatus(f"test/{steps}", "test", 1, 0, "starting"),
            Telemetry(1).blocks[0],
            lambda table: None,
            lambda status: status,
        )
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(follower.follow()), loop.create_task(follower.renew())]
        await follower.loaded.wait()
        await routing.acked(1, steps + 1)
        follower.say("draining")
        for _ in range(steps):
            await asyncio.sleep(0)
        follower.end()
        for task in tasks:
            task.cancel()
        _, pending = await asyncio.wait(tasks, timeout=10.0)
        assert not pending, f"cancelled after {steps} steps"
