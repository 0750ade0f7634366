"""A table of 100 000 pins, and one change of 10 000 tenants in it: at once, or not at all."""

import asyncio
import itertools
import random
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from tests.e2e.conftest import System
from tests.support.clients import connect

PINS = 100_000
AT_ONCE = 10_000
STEP = 10_000
CONNECTIONS = 16
TENANTS = [f"tenant-{number:06d}" for number in range(PINS)]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request of a moving tenant. Times: monotonic seconds."""

    worker: str
    slot: str
    began: float
    ended: float


class Prober:
    """Asks for the moving tenants without a pause, on connections that it keeps."""

    def __init__(self, port: int, moving: list[str]) -> None:
        self._port = port
        self._moving = moving
        self._stopping = False
        self._news = asyncio.Condition()
        self.asked: list[Asked] = []

    async def run(self) -> None:
        """Until `stop`."""
        async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
            for number in range(CONNECTIONS):
                connection = await stack.enter_async_context(connect(self._port))
                tasks.create_task(self._ask(connection, random.Random(number)))

    def stop(self) -> None:
        self._stopping = True

    async def more(self, count: int) -> None:
        """Wait until so many more requests, begun from now on, were answered."""
        now = time.monotonic()
        async with asyncio.timeout(60), self._news:
            await self._news.wait_for(
                lambda: sum(each.began > now for each in self.asked[-10 * count :]) >= count
            )

    async def _ask(self, connection, drawn: random.Random) -> None:
        while not self._stopping:
            began = time.monotonic()
            answer = await connection.get("/api/jobs?limit=1", tenant=drawn.choice(self._moving))
            assert answer.status == 200, answer
            asked = Asked(answer.worker, answer.slot, began, time.monotonic())
            async with self._news:
                self.asked.append(asked)
                self._news.notify_all()


def mixed(asked: list[Asked]) -> Iterator[tuple[Asked, Asked]]:
    """Pairs that show half a change: of one worker, blue though begun after a green had ended."""
    for _, each in itertools.groupby(sorted(asked, key=_worker), key=_worker):
        of_worker = list(each)
        greens = [one for one in of_worker if one.slot == "green"]
        if greens:
            first = min(greens, key=lambda one: one.ended)
            yield from (
                (first, one) for one in of_worker if one.slot == "blue" and one.began > first.ended
            )


def _worker(asked: Asked) -> str:
    return asked.worker


@pytest.mark.timeout(240)
async def test_ten_thousand_of_a_hundred_thousand_tenants_move_at_once(system: System):
    for begin in range(0, PINS, STEP):
        pins = [
            {"op": "pin", "tenant": tenant, "slot": "blue"}
            for tenant in TENANTS[begin : begin + STEP]
        ]
        await system.change("POST", "/v1/routing/changes", {"operations": pins})
    moving = TENANTS[:: PINS // AT_ONCE]
    port = urlsplit(system.about["proxy"]).port
    assert port is not None
    prober = Prober(port, moving)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(prober.run())
        await prober.more(10 * CONNECTIONS)
        sent = time.monotonic()
        result = await system.change(
            "POST",
            "/v1/routing/changes",
            {"operations": [{"op": "pin", "tenant": t, "slot": "green"} for t in moving]},
        )
        acked = system.changes[-1].acked
        await prober.more(10 * CONNECTIONS)
        prober.stop()
    assert {one.slot for one in prober.asked if one.ended < sent} == {"blue"}
    assert {one.slot for one in prober.asked if one.began > acked} == {"green"}
    assert not list(mixed(prober.asked))
    assert len({one.worker for one in prober.asked}) == 4
    table = await system.table()
    assert len(table.pins) == PINS
    assert sum(slot == "green" for slot in table.pins.values()) == AT_ONCE
    print(
        f"{AT_ONCE} of {PINS} tenants moved in {result['ack_ms']:.0f} ms; {len(prober.asked)} requests"
    )
