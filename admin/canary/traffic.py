"""The last hour's traffic, as the nodes have told Redis: see `proxy.routing.traffic`."""

from redis.asyncio import Redis

from admin.routing.publish import FAULTS, StoreUnavailableError
from proxy.routing.keys import Keys
from proxy.routing.traffic import MINUTES, Traffic, add_up

_MINUTE_S = 60


class LastHour:
    """Reads it."""

    def __init__(self, redis: "Redis", keys: Keys) -> None:
        self._redis, self._keys = redis, keys

    async def read(self) -> Traffic:
        """The figures of this minute and the 59 before it. StoreUnavailableError."""
        try:
            seconds, _ = await self._redis.time()
            this = seconds // _MINUTE_S
            async with self._redis.pipeline(transaction=False) as pipe:
                for minute in range(this - MINUTES + 1, this + 1):
                    pipe.hgetall(self._keys.traffic(minute))
                return add_up(await pipe.execute())
        except FAULTS as error:
            raise StoreUnavailableError(type(error).__name__) from error
