"""The pace at which drains close connections: one for all workers of the fleet together.

Rules:
1. The buckets lie in Redis, and its clock is theirs: what one worker takes the others don't have.
   In any time t no more than pace * (t + burst) + 1 are granted, by however many workers.
2. While Redis can't be reached a worker keeps to a share of its own: the pace divided by as many
   workers as there were when it was asked last.
"""

import logging
from collections.abc import Sequence
from math import floor
from time import monotonic
from typing import Final, NamedTuple

from proxy.config import Settings
from proxy.observability import telemetry
from proxy.observability.telemetry import Block
from proxy.store import UNREACHABLE, Store, close, script

log = logging.getLogger("turnout.pace")

BURST_S: Final = 0.1
"""Closings of so long may be made up for at once, by who was busy."""
_LONGEST_S: Final = 86_400.0
_ROUNDING_S: Final = 1e-6


class Want(NamedTuple):
    """What a drain asks for. per_second: its pace, of all workers. wanted: how many it would close."""

    drain: str
    per_second: float
    wanted: int


class Share:
    """One worker's own buckets, as pace.lua has them; times in seconds, of any clock."""

    def __init__(self) -> None:
        self._paid: dict[str, float] = {}

    def take(self, want: Want, now: float) -> int:
        """How many are granted now."""
        each = min(1 / want.per_second, _LONGEST_S)
        paid = self._paid.get(want.drain, now)
        if paid < now or paid > now + BURST_S + each + _ROUNDING_S:
            paid = now
        granted = max(0, min(want.wanted, floor((now + BURST_S - paid) / each) + 1))
        self._paid = {name: until for name, until in self._paid.items() if until > now}
        self._paid[want.drain] = paid + granted * each
        return granted


class Pace:
    """See the module. block: tells whether who follows the log reaches the store."""

    def __init__(self, store: Store, settings: Settings, block: Block) -> None:
        limit_s = settings.follow.store_timeout_s
        self._redis = store.connect(limit_s, limit_s)
        self._keys = store.keys
        self._script = self._redis.register_script(script("pace"))
        self._block = block
        self._workers = settings.worker_count()
        self._share = Share()
        self._asked_in_vain = False

    async def take(self, wants: Sequence[Want]) -> dict[str, int]:
        """Drain → how many of those that it wants it may close now."""
        # Who follows the log finds out when the store is back; waiting for it here would only
        # take time from the own share.
        if self._block.cells[telemetry.STORE_REACHABLE]:
            try:
                granted = await self._ask(wants)
            except UNREACHABLE as error:
                self._say(type(error).__name__)
            else:
                self._asked_in_vain = False
                return granted
        now = monotonic()
        return {
            want.drain: self._share.take(
                want._replace(per_second=want.per_second / self._workers), now
            )
            for want in wants
        }

    async def _ask(self, wants: Sequence[Want]) -> dict[str, int]:
        keys = [self._keys.leases, *(self._keys.pace(want.drain) for want in wants)]
        given: list[float] = [round(BURST_S * 1_000_000)]
        for want in wants:
            given += [want.per_second, want.wanted]
        workers, *granted = await self._script(keys=keys, args=given)
        self._workers = max(workers, 1)
        return {want.drain: count for want, count in zip(wants, granted, strict=True)}

    def _say(self, fault: str) -> None:
        if not self._asked_in_vain:
            self._asked_in_vain = True
            log.warning("drains go on at a share of their pace: %s", fault)

    async def close(self) -> None:
        """Close the connection to the store."""
        await close(self._redis)
