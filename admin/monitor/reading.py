"""What the nodes served, second by second, as they have told Redis: see `proxy.routing.windows`.

Rules:
1. An entry of the stream is read once and remembered: each read goes on where the last one ended, and
   a little before, for Redis' clock may be set back (`_OVERLAP_MS`).
2. Nothing is remembered of before the first second that somebody asked for, nor for longer than
   `remember_s`, nor more than `MAX_WINDOWS`.
3. What isn't a window is passed over and counted, once.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from redis.asyncio import Redis

from admin.routing.publish import FAULTS, StoreUnavailableError
from proxy.routing.change import ContractError
from proxy.routing.keys import Keys
from proxy.routing.windows import FIELD, Window, decode

MAX_WINDOWS: Final = 100_000
_PAGE: Final = 1_000
"""Entries of one read's command."""
_AT_ONCE: Final = 50
"""Entries that are decoded, up to half a millisecond each, before others have their turn."""
_OVERLAP_MS: Final = 10_000
_NEVER: Final = 2**62


def _nobody(_: int) -> None:
    """Where nobody wants to know."""


class Windows:
    """Reads them. remember_s: how long back. skipped: told of how many entries were passed over."""

    def __init__(
        self,
        redis: "Redis",
        keys: Keys,
        remember_s: int = 3_600,
        skipped: Callable[[int], object] = _nobody,
    ) -> None:
        self._redis, self._key = redis, keys.windows
        self._remember_ms = remember_s * 1_000
        self._skipped = skipped
        self._known: dict[tuple[int, int], Window | None] = {}
        self._from_ms = _NEVER
        self._floor_ms = 0  # what is older is not remembered
        self._read_to_ms = 0
        self._left_off = ""
        self._reading = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Windows {len(self._known)}>"

    @property
    def now(self) -> int:
        """The second that it was by Redis' clock when it was read last; 0: never."""
        return self._read_to_ms // 1_000

    async def since(self, second: int) -> list[Window]:
        """Those of this second and later, the oldest first. StoreUnavailableError.

        The last second that is over may still lack nodes that are about to tell it.
        """
        async with self._reading:
            await self._read(second * 1_000)
        return self._of(second)

    async def latest(self, seconds: int) -> list[Window]:
        """Those of the last so many seconds that are over. StoreUnavailableError."""
        async with self._reading:
            now_ms = self._read_to_ms or await self._time()
            await self._read(now_ms - (seconds + 1) * 1_000)
        return self._of(self._read_to_ms // 1_000 - seconds)

    def _of(self, second: int) -> list[Window]:
        found = [each for each in self._known.values() if each and each.second >= second]
        return sorted(found, key=lambda window: (window.second, window.node))

    async def _time(self) -> int:
        try:
            seconds, micros = await self._redis.time()
        except FAULTS as error:
            raise StoreUnavailableError(type(error).__name__) from error
        return int(seconds) * 1_000 + int(micros) // 1_000

    async def _read(self, from_ms: int) -> None:
        """Know all entries from this moment on."""
        from_ms = max(from_ms, self._floor_ms)
        start = self._left_off
        if from_ms < self._from_ms:
            start = str(from_ms)
        elif not start:
            # Also where only the last seconds are asked for: nothing between is left out.
            start = str(max(self._read_to_ms - _OVERLAP_MS, self._floor_ms))
        left_off = ""
        for _ in range(MAX_WINDOWS // _PAGE):
            now_ms, page = await self._page(start)
            for number, (name, fields) in enumerate(page):
                self._take(name, fields)
                if number % _AT_ONCE == _AT_ONCE - 1:
                    await asyncio.sleep(0)
            if len(page) < _PAGE:
                break
            start = f"({page[-1][0].decode()}"
        else:  # more than is remembered: the next read goes on there
            left_off = start
        # Only now, for what was broken off has to be read again.
        self._left_off, self._read_to_ms = left_off, now_ms
        self._from_ms = min(self._from_ms, from_ms)
        self._forget()

    async def _page(self, start: str) -> tuple[int, list[tuple[bytes, Any]]]:
        asking = self._redis.pipeline(transaction=False)
        asking.time()
        asking.xrange(self._key, min=start, count=_PAGE)
        try:
            (seconds, micros), page = await asking.execute()
        except FAULTS as error:
            raise StoreUnavailableError(type(error).__name__) from error
        return seconds * 1_000 + micros // 1_000, page

    def _take(self, name: bytes, fields: Any) -> None:
        ms, _, number = name.decode().partition("-")
        at = (int(ms), int(number))
        if at in self._known:
            return
        try:
            self._known[at] = decode(fields.get(FIELD, b""), at[0] // 1_000)
        except ContractError:
            self._known[at] = None
            self._skipped(1)

    def _forget(self) -> None:
        oldest = self._read_to_ms - self._remember_ms
        too_many = len(self._known) - MAX_WINDOWS
        if too_many > 0:
            oldest = max(oldest, sorted(self._known)[too_many][0])
        if oldest > self._from_ms:
            self._from_ms = self._floor_ms = oldest
            self._known = {at: each for at, each in self._known.items() if at[0] >= oldest}
