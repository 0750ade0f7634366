"""The endpoints of both slots, as the current table names them.

Rule: a pool lives as long as its endpoint stays in the table; a change of the list keeps the
pools of the endpoints that remain, connections and all.
"""

from collections.abc import Mapping

from proxy.http1.fields import response_fields
from proxy.http1.parser import ResponseParser
from proxy.routing.model import Endpoint, Slot
from proxy.telemetry import REST, Block, group_of
from proxy.upstream.balance import Balance
from proxy.upstream.pool import Pool, PoolLimits


class Slots:
    """Both slots' pools. `groups` is indexed by the slot's number: 0 blue, 1 green."""

    def __init__(self, limits: PoolLimits, block: Block) -> None:
        self._limits = limits
        self._block = block
        self._parser = ResponseParser(response_fields())
        self.groups = tuple(Balance() for _ in Slot)
        self._retired: list[Pool] = []

    def update(self, endpoints: Mapping[Slot, tuple[Endpoint, ...]]) -> None:
        """Serve by these endpoints from now on."""
        for number, slot in enumerate(Slot):
            balance = self.groups[number]
            before = {pool.endpoint: pool for pool in balance.pools}
            balance.pools = tuple(
                before.pop(endpoint) if endpoint in before else self._new_pool(endpoint, number)
                for endpoint in endpoints[slot]
            )
            for pool in before.values():
                pool.retire()
                self._retired.append(pool)

    def _new_pool(self, endpoint: Endpoint, slot_number: int) -> Pool:
        counted = self._block.groups[group_of(slot_number, REST)]
        return Pool(endpoint, self._limits, self._parser, counted)

    def sweep(self, now: float) -> None:
        """Close connections that have idled too long. now: monotonic seconds."""
        for balance in self.groups:
            for pool in balance.pools:
                pool.sweep(now)
        self._retired = [pool for pool in self._retired if pool.in_flight]

    async def close(self) -> None:
        """Close every connection."""
        for balance in self.groups:
            for pool in balance.pools:
                await pool.close()
