"""A worker's census in real Redis: what is told, renewed, told anew, and taken away."""

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis

from admin.embedded import EmbeddedRedis
from config import Shared
from proxy.census.report import BATCH, Reporter
from proxy.census.settings import CensusReport
from proxy.config import Follow
from proxy.exchange.drains import Lasting
from proxy.routing.census import Seat, Told, read_census
from proxy.routing.keys import Keys
from proxy.routing.lasting import EVENTS, REQUEST, WEBSOCKET
from proxy.routing.model import Slot
from proxy.store import UNREACHABLE, Store

KEY = Keys().census("w1")
OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"


@asynccontextmanager
async def documented(redis_url: str, user: str) -> AsyncIterator[str]:
    """The URL of a user with the permissions that the documents give it."""
    (line,) = re.findall(rf"user {user} on >PASSWORD (.*)", OPERATIONS.read_text("utf-8"))
    parts = urlsplit(redis_url)
    async with Redis.from_url(redis_url) as client:
        rules = [*line.split(), "+select"]
        await client.execute_command("ACL", "SETUSER", user, "on", ">pw", *rules)
        try:
            yield parts._replace(netloc=f"{user}:pw@{parts.hostname}:{parts.port}").geturl()
        finally:
            await client.execute_command("ACL", "DELUSER", user)


class Played:
    """A connection of which only the census's questions are asked."""

    def __init__(self, device: str, kind: str = WEBSOCKET, tenant: str | None = "acme") -> None:
        self._device, self._kind, self._tenant = device, kind, tenant

    def lasting(self) -> Lasting | None:
        if not self._kind:
            return None
        return Lasting(self._kind, Slot.BLUE, self._tenant, 0.0, may_end=True)

    def device(self) -> str:
        return self._device


class Worker:
    """A reporter, and the connections that it has."""

    def __init__(self, url: str, **settings: float) -> None:
        self.connections: list[Played] = []
        self.reporter = Reporter(
            Store.of(Shared(redis_url=url)),
            Follow(),
            CensusReport(**settings),  # type: ignore[arg-type]
            "w1",
            lambda: self.connections,
        )

    async def looks(self) -> None:
        """As `run` does each time."""
        self.reporter.look()
        await self.reporter.tell()


@pytest.fixture
async def worker_of() -> AsyncIterator[Callable[..., Worker]]:
    async with AsyncExitStack() as stack:

        def make(url: str, **settings: float) -> Worker:
            worker = Worker(url, **settings)
            stack.push_async_callback(worker.reporter.close)
            return worker

        yield make


async def told(url: str) -> Told:
    async with Redis.from_url(url) as redis:
        fields = await redis.hgetall(KEY)
        return read_census(fields)  # type: ignore[arg-type] # bytes, without decode_responses


def names(census: Told) -> dict[str, int]:
    return {seat.device: taken.connections for seat, taken in census.seats.items()}


async def test_who_is_connected_is_told_and_who_left_is_not(
    redis_url: str, worker_of: Callable[..., Worker]
) -> None:
    worker = worker_of(redis_url)
    await worker.looks()
    assert await told(redis_url) == Told(whole=True, seats={})
    worker.connections = [Played("a"), Played("b", EVENTS), Played("a"), Played("r", REQUEST)]
    worker.connections += [Played("x", ""), Played(""), Played("", tenant=None)]
    await worker.looks()
    census = await told(redis_url)
    assert census.whole
    assert {seat: taken.connections for seat, taken in census.seats.items()} == {
        Seat(Slot.BLUE, WEBSOCKET, "acme", "a"): 2,
        Seat(Slot.BLUE, EVENTS, "acme", "b"): 1,
        Seat(Slot.BLUE, WEBSOCKET, "", ""): 2,
    }
    del worker.connections[1:]
    await worker.looks()
    assert names(await told(redis_url)) == {"a": 1}


async def test_since_when_is_said_by_redis_clock(
    redis_url: str, worker_of: Callable[..., Worker]
) -> None:
    worker = worker_of(redis_url)
    worker.connections = [Played("a")]
    await worker.looks()
    async with Redis.from_url(redis_url) as redis:
        seconds, micros = await redis.time()
    (taken,) = (await told(redis_url)).seats.values()
    assert abs(taken.since_ms - seconds * 1000 - micros / 1000) < 5_000
    first = taken.since_ms
    worker.connections *= 2
    await worker.looks()
    (taken,) = (await told(redis_url)).seats.values()
    assert abs(taken.since_ms - first) < 5_000, "the same moment, but for the way to Redis"


async def test_many_are_told_in_batches_and_whole_at_the_end_only(
    redis_url: str, worker_of: Callable[..., Worker], monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, seen = worker_of(redis_url), list[tuple[bool, int]]()
    worker.connections = [Played(f"p{number}") for number in range(2 * BATCH + 1)]
    write = worker.reporter._write

    async def watched(batch: object) -> bool:
        done = await write(batch)  # type: ignore[arg-type]
        census = await told(redis_url)
        seen.append((census.whole, len(census.seats)))
        return done

    monkeypatch.setattr(worker.reporter, "_write", watched)
    await worker.looks()
    assert seen == [(False, BATCH), (False, 2 * BATCH), (True, 2 * BATCH + 1)]
    worker.connections = worker.connections[:1]
    await worker.looks()
    assert [count for _, count in seen[3:]] == [BATCH + 1, 1]


async def test_what_redis_lost_is_told_anew(
    redis_url: str, worker_of: Callable[..., Worker]
) -> None:
    worker = worker_of(redis_url)
    worker.connections = [Played("a"), Played("b")]
    await worker.looks()
    async with Redis.from_url(redis_url) as redis:
        await redis.flushdb()
    worker.connections.append(Played("c"))
    await worker.looks()
    assert names(await told(redis_url)) == {"a": 1, "b": 1, "c": 1}


async def test_what_a_fault_may_have_kept_from_redis_is_told_anew(
    fresh_redis: EmbeddedRedis, worker_of: Callable[..., Worker]
) -> None:
    worker = worker_of(fresh_redis.url)
    worker.connections = [Played("a"), Played("b")]
    await worker.looks()
    fresh_redis.stop()
    worker.connections = [Played("b"), Played("c")]
    with pytest.raises(UNREACHABLE) as caught:
        await worker.looks()
    worker.reporter._lost(caught.value)
    fresh_redis.start()
    await worker.looks()
    assert names(await told(fresh_redis.url)) == {"b": 1, "c": 1}


async def test_it_ends_with_its_worker_however_that_ends(
    redis_url: str, worker_of: Callable[..., Worker]
) -> None:
    worker = worker_of(redis_url, look_s=0.1, keep_s=5.0)
    worker.connections = [Played("a")]
    await worker.looks()
    async with Redis.from_url(redis_url) as redis:
        assert 4_000 < await redis.pttl(KEY) <= 5_000
        await redis.pexpire(KEY, 2_000)
        await worker.looks()
        assert await redis.pttl(KEY) <= 2_000, "nothing is written while nothing is new"
        worker.reporter._renew_at = 0.0
        await worker.looks()
        assert await redis.pttl(KEY) > 4_000
        await worker.reporter.close()
        assert not await redis.exists(KEY)


async def test_the_documented_users_may_do_all_of_it(
    redis_url: str, worker_of: Callable[..., Worker]
) -> None:
    async with (
        documented(redis_url, "turnout-proxy") as proxy,
        documented(redis_url, "turnout-admin") as admin,
    ):
        worker = worker_of(proxy)
        worker.connections = [Played("a"), Played("b")]
        await worker.looks()
        del worker.connections[1]
        await worker.looks()
        assert names(await told(admin)) == {"a": 1}
        await worker.reporter.close()
        async with Redis.from_url(redis_url) as redis:
            assert not await redis.exists(KEY), "closing hides what it was refused"
