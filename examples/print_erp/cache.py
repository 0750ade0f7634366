"""The cache that the health answer speaks of: a Redis, when one is configured."""

import asyncio
import importlib
from typing import Any

PING_SECONDS = 1.0


class Cache:
    """Answers PING or not. redis-py is imported in a thread, after the program is ready."""

    def __init__(self, url: str | None) -> None:
        self._url = url
        self._client: Any = None

    async def warm(self) -> None:
        """Import and configure the client; connects to nothing yet."""
        if self._url is None or self._client is not None:
            return
        redis = await asyncio.to_thread(importlib.import_module, "redis.asyncio")
        if self._client is None:
            self._client = redis.from_url(
                self._url, socket_timeout=PING_SECONDS, socket_connect_timeout=PING_SECONDS
            )

    async def state(self) -> str:
        """'ok', 'unreachable' or 'disabled'; asked anew each time, in at most PING_SECONDS."""
        if self._url is None:
            return "disabled"
        await self.warm()
        try:
            async with asyncio.timeout(PING_SECONDS):
                answered = await self._client.ping()
        except Exception:  # noqa: BLE001 - each error of the client means the same here
            return "unreachable"
        return "ok" if answered else "unreachable"

    async def close(self) -> None:
        """Close the connection, if there is one."""
        if self._client is not None:
            await self._client.aclose()
