"""A small worker: a real Redis connection, a real lease, the real table. It routes nothing."""

import asyncio
import contextlib
from collections import Counter
from functools import partial
from types import TracebackType
from typing import Any, Self

from redis.asyncio import Redis
from redis.exceptions import RedisError

from admin.tasks import Tasks
from config import Shared
from proxy.routing.ack import WorkerStatus, encode_status
from proxy.routing.census import WHOLE, Seat
from proxy.routing.change import apply
from proxy.routing.codec import decode_change
from proxy.routing.envelope import verify
from proxy.routing.keys import Keys
from proxy.routing.model import RoutingTable
from proxy.routing.stored import restored
from proxy.store import script, stored

REGISTER = """
local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[3], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('PUBLISH', ARGV[4], ARGV[2])
"""
RENEW_S = 0.2
RECONNECT_S = 0.1


class Follower:
    """One worker. deaf: it renews its lease, but takes no table until `listen` is called.

    busy: what it says to be under way of every tenant that a switch holds. draining: what it says
    to be left of every drain; of one in a hurry nothing. None: it has not looked. seats: who it says
    to be connected; None: it takes no census. whole: whether it says that this is all.
    """

    def __init__(self, shared: Shared, name: str, *, deaf: bool = False, lease_ms: int = 3000):
        self.name, self.lease_ms = name, lease_ms
        self.keys, self.key = Keys(shared.redis_prefix), shared.routing_key.encode()
        self.table: RoutingTable | None = None
        self.versions: list[int] = []
        self.applied = self.loaded = self.busy = 0
        self.draining: int | None = 0
        self.seats: list[Seat] | None = None
        self.whole = True
        self._url = shared.redis_url
        self._hears = asyncio.Event()
        if not deaf:
            self._hears.set()
        self._tasks = Tasks()
        self.registered = asyncio.Event()
        self.reached = asyncio.Condition()

    async def __aenter__(self) -> Self:
        self._tasks.start(f"{self.name}-renew", partial(self._keep, self._renew))
        self._tasks.start(f"{self.name}-follow", partial(self._keep, self._follow))
        await self.registered.wait()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        await self.freeze()

    async def freeze(self) -> None:
        """Like kill -9: no goodbye."""
        await self._tasks.close()

    def listen(self) -> None:
        self._hears.set()

    async def until(self, version: int) -> None:
        """Wait until it serves this version or a later one."""
        async with self.reached:
            await self.reached.wait_for(lambda: self.version >= version)

    @property
    def version(self) -> int:
        return self.table.version if self.table else 0

    async def say(self, redis: "Redis", state: str = "serving") -> None:
        held: set[str] = (
            set()
            if self.table is None
            else {self.table.hold_all, *self.table.holds.values()} - {""}
        )
        status = encode_status(
            WorkerStatus(
                self.name,
                "here",
                1,
                self.version,
                state,
                holding=dict.fromkeys(held, self.busy),
                draining=self._draining(),
                left=self._left(),
                census=self.seats is not None,
            )
        )
        if self.seats is not None:
            await self._tell(redis, self.seats)
        arguments: list[Any] = [self.name, status, self.lease_ms, self.keys.news]
        await redis.eval(REGISTER, 2, self.keys.leases, self.keys.workers, *arguments)
        self.registered.set()

    async def _tell(self, redis: "Redis", seats: list[Seat]) -> None:
        told = {seat.field: f"{count} 1700000000000" for seat, count in Counter(seats).items()}
        key = self.keys.census(self.name)
        async with redis.pipeline(transaction=True) as pipeline:
            pipeline.delete(key)
            pipeline.hset(key, mapping={WHOLE: str(int(self.whole))} | told)  # type: ignore[arg-type]
            await pipeline.execute()

    def _left(self) -> dict[str, dict[str, dict[str, int]]]:
        """All of it WebSockets, and acme's."""
        return {
            name: {"kinds": {"websocket": count}, "tenants": {"acme": count}}
            for name, count in self._draining().items()
            if count
        }

    def _draining(self) -> dict[str, int]:
        drains = {} if self.table is None or self.draining is None else self.table.drains
        return {name: 0 if drain.hurry else self.draining or 0 for name, drain in drains.items()}

    async def leave(self) -> None:
        """A clean exit."""
        await self.freeze()
        gone = encode_status(WorkerStatus(self.name, "here", 1, self.version, "gone"))
        async with Redis.from_url(self._url) as redis:
            keys = self.keys
            await redis.eval(
                script("leave"), 2, keys.leases, keys.workers, self.name, gone, keys.news
            )

    async def _keep(self, run: Any) -> None:
        while True:
            with contextlib.suppress(RedisError, OSError):
                async with Redis.from_url(self._url) as redis:
                    await run(redis)
            await asyncio.sleep(RECONNECT_S)

    async def _renew(self, redis: "Redis") -> None:
        while True:
            await self.say(redis)
            await asyncio.sleep(RENEW_S)

    async def _follow(self, redis: "Redis") -> None:
        await self.registered.wait()
        await self._hears.wait()
        await self._load(redis)
        while True:
            streams = await redis.xread({self.keys.log: f"{self.version}-0"}, block=1000)
            for entry_id, entry in _entries(streams):
                await self._take(redis, int(entry_id.split(b"-")[0]), entry)

    async def _take(self, redis: "Redis", version: int, entry: dict[bytes, bytes]) -> None:
        if version <= self.version:
            return
        verify("change", version, entry[b"body"], entry[b"mac"], self.key)
        change = decode_change(entry[b"body"])
        if self.table is None or not change.operations or version != self.version + 1:
            await self._load(redis)
            return
        self.applied += 1
        await self._swap(redis, apply(self.table, change))

    async def _load(self, redis: "Redis") -> None:
        found = await stored(redis, self.keys)
        if found.version <= self.version:
            return
        self.loaded += 1
        await self._swap(redis, restored(found, self.key))

    async def _swap(self, redis: "Redis", table: RoutingTable) -> None:
        self.table = table
        self.versions.append(table.version)
        await self.say(redis)
        async with self.reached:
            self.reached.notify_all()


def _entries(streams: Any) -> list[Any]:
    if isinstance(streams, dict):
        return [entry for groups in streams.values() for group in groups for entry in group]
    return [entry for _, entries in streams or [] for entry in entries]
