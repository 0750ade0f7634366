"""Who listens gets told: events go to bounded queues, and a slow listener is cut off."""

import asyncio
from typing import Any

KINDS = (
    *("change", "converged", "worker", "worker-lost", "republished", "store", "switch", "drain"),
    *("census", "ramp", "migration", "release"),
)


class TooManyListenersError(Exception):
    """All places are taken."""


class Subscription:
    """One listener's queue. overrun: it read too slowly and gets nothing more."""

    def __init__(self, kinds: frozenset[str], limit: int) -> None:
        self.kinds = kinds
        self.overrun = False
        self._queue: asyncio.Queue[tuple[str, dict[str, Any]] | None] = asyncio.Queue(limit)

    def put(self, kind: str, document: dict[str, Any]) -> None:
        """Hand an event on, or cut the listener off."""
        if self.overrun or kind not in self.kinds:
            return
        try:
            self._queue.put_nowait((kind, document))
        except asyncio.QueueFull:
            self.overrun = True
            self.end()

    def end(self) -> None:
        """Nothing more comes; what was not read yet is dropped."""
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put_nowait(None)

    async def next(self, timeout_s: float) -> tuple[str, dict[str, Any]] | None:
        """The next event, None at the end. TimeoutError after timeout_s without one."""
        async with asyncio.timeout(timeout_s):
            return await self._queue.get()


class Hub:
    """Passes events on to all who listen."""

    def __init__(self, *, listeners: int, queue: int) -> None:
        self._limit, self._queue = listeners, queue
        self._subscriptions: set[Subscription] = set()

    def subscribe(self, kinds: frozenset[str]) -> Subscription:
        """A new listener. TooManyListenersError."""
        if len(self._subscriptions) >= self._limit:
            raise TooManyListenersError
        subscription = Subscription(kinds, self._queue)
        self._subscriptions.add(subscription)
        return subscription

    def leave(self, subscription: Subscription) -> None:
        """The listener has gone."""
        self._subscriptions.discard(subscription)

    def tell(self, kind: str, document: dict[str, Any]) -> None:
        """Something has happened."""
        for subscription in self._subscriptions:
            subscription.put(kind, document)

    def close(self) -> None:
        """End all listeners' feeds."""
        for subscription in self._subscriptions:
            subscription.end()
