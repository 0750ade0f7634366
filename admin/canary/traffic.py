"""The last hour's traffic, as the nodes have told Redis: see `proxy.routing.traffic`.

A minute that is over for a while doesn't change any more: it is read once and remembered.
"""

from typing import Any

from redis.asyncio import Redis

from admin.routing.publish import FAULTS, StoreUnavailableError
from proxy.routing.keys import Keys
from proxy.routing.traffic import MINUTES, Traffic, add_up, decode

_MINUTE_S = 60
_UNSETTLED = 2
"""The minute under way, and the one before: a node may have asked for the time at its end."""


class LastHour:
    """Reads it."""

    def __init__(self, redis: "Redis", keys: Keys) -> None:
        self._redis, self._keys = redis, keys
        self._settled: dict[int, Traffic] = {}

    async def read(self) -> Traffic:
        """The figures of this minute and the 59 before it. StoreUnavailableError."""
        try:
            seconds, _ = await self._redis.time()
            this = seconds // _MINUTE_S
            found = {m: await self._minute(m) for m in range(this - MINUTES + 1, this + 1)}
        except FAULTS as error:
            raise StoreUnavailableError(type(error).__name__) from error
        self._settled = {m: part for m, part in found.items() if m <= this - _UNSETTLED}
        return add_up(found.values())

    async def _minute(self, minute: int) -> Traffic:
        known = self._settled.get(minute)
        if known is not None:
            return known
        fields: Any = await self._redis.hgetall(self._keys.traffic(minute))
        return decode(fields)
