"""Reads the workers' censuses from Redis: all that have a lease and say that they take one."""

import asyncio
from time import monotonic
from typing import Any

from redis.asyncio import Redis

from admin.census.model import Census, census_of
from admin.routing.fleet import Fleet
from admin.routing.publish import FAULTS, StoreUnavailableError
from proxy.routing.census import Told, read_census
from proxy.routing.keys import Keys

FRESH_S = 0.5
"""For how long a reading is shown again: who asks often costs Redis nothing more."""


class Reader:
    """See the module."""

    def __init__(self, redis: "Redis", keys: Keys, fleet: Fleet) -> None:
        self._redis, self._keys, self._fleet = redis, keys, fleet
        self._lock = asyncio.Lock()
        self._last: Census | None = None
        self._read_at = float("-inf")

    async def recent(self) -> Census:
        """As of half a second ago at most. StoreUnavailableError."""
        async with self._lock:
            if self._last is None or monotonic() - self._read_at > FRESH_S:
                return await self.read()
            return self._last

    async def read(self) -> Census:
        """As of now. StoreUnavailableError."""
        asked = monotonic()
        workers = [status.worker for status in self._fleet.live() if status.census]
        told = {worker: await self._of(worker) for worker in workers}
        census = self._last = census_of(told)
        self._read_at = asked
        return census

    async def _of(self, worker: str) -> Told:
        """One worker's: the loop turns between two, for there may be many devices."""
        try:
            fields: Any = await self._redis.hgetall(self._keys.census(worker))
        except FAULTS as error:
            raise StoreUnavailableError(type(error).__name__) from error
        return read_census(fields)
