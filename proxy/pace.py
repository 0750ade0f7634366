"""The pace at which drains close connections: one for all workers of the fleet together.

Rules:
1. The buckets lie in Redis, and its clock is theirs: what one worker takes the others don't have.
   In any time t no more than pace * (t + burst) + 1 are granted, by however many workers.
2. Where a drain has a pace for each tenant, a tenant has a bucket of its own beside the drain's,
   and is granted what both have.
3. While Redis can't be reached a worker keeps to a share of its own: the pace divided by as many
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
    """What a drain asks for. per_second: its pace, of all workers. wanted: how many it would close.

    tenant_per_second: the pace of `tenant`, whose these are; 0: it has none.
    """

    drain: str
    per_second: float
    wanted: int
    tenant: str = ""
    tenant_per_second: float = 0.0

    @property
    def bucket(self) -> str:
        """The name of the tenant's bucket, the drain's if it has none."""
        return f"{self.drain}:{self.tenant}" if self.tenant_per_second else self.drain

    def shared_by(self, workers: int) -> "Want":
        """The same at one worker's share of the pace."""
        return self._replace(
            per_second=self.per_second / workers,
            tenant_per_second=self.tenant_per_second / workers,
        )


class _Bucket(NamedTuple):
    """paid: up to when closings are paid for. each: how far one moves it on. In seconds."""

    paid: float
    each: float

    def room(self, now: float) -> int:
        return max(0, floor((now + BURST_S - self.paid) / self.each) + 1)


class Share:
    """One worker's own buckets, as pace.lua has them; times in seconds, of any clock."""

    def __init__(self) -> None:
        self._paid: dict[str, float] = {}

    def take(self, want: Want, now: float) -> int:
        """How many are granted now."""
        buckets = {want.drain: self._bucket(want.drain, want.per_second, now)}
        if want.tenant_per_second:
            buckets[want.bucket] = self._bucket(want.bucket, want.tenant_per_second, now)
        granted = min(want.wanted, *(bucket.room(now) for bucket in buckets.values()))
        self._paid = {name: until for name, until in self._paid.items() if until > now}
        for name, bucket in buckets.items():
            self._paid[name] = bucket.paid + granted * bucket.each
        return granted

    def _bucket(self, name: str, per_second: float, now: float) -> _Bucket:
        each = min(1 / per_second, _LONGEST_S)
        paid = self._paid.get(name, now)
        if paid < now or paid > now + BURST_S + each + _ROUNDING_S:
            paid = now
        return _Bucket(paid, each)


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

    async def take(self, wants: Sequence[Want]) -> list[int]:
        """Of each, in order: how many of those that it wants it may close now."""
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
        return [self._share.take(want.shared_by(self._workers), now) for want in wants]

    async def _ask(self, wants: Sequence[Want]) -> list[int]:
        keys = [self._keys.leases]
        given: list[float] = [round(BURST_S * 1_000_000)]
        for want in wants:
            keys += [self._keys.pace(want.drain), self._keys.pace(want.bucket)]
            given += [want.per_second, want.tenant_per_second, want.wanted]
        workers, *granted = await self._script(keys=keys, args=given)
        self._workers = max(workers, 1)
        return [int(count) for count in granted]

    def _say(self, fault: str) -> None:
        if not self._asked_in_vain:
            self._asked_in_vain = True
            log.warning("drains go on at a share of their pace: %s", fault)

    async def close(self) -> None:
        """Close the connection to the store."""
        await close(self._redis)
