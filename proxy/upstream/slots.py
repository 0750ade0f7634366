"""The endpoints of both slots, as the current table names them.

Rule: a pool lives as long as its endpoint stays in the table; a change of the list keeps the
pools of the endpoints that remain, connections and all, and what is thought of them.
"""

from collections.abc import Callable, Mapping
from time import monotonic

from proxy.http1.fields import response_fields
from proxy.http1.parser import ResponseParser
from proxy.observability.telemetry import REST, Block, group_of
from proxy.routing.model import Endpoint, Slot
from proxy.tls.endpoints import EndpointSecurity
from proxy.upstream.balance import Balance
from proxy.upstream.checks import CheckRules, check_on
from proxy.upstream.cluster import Cluster, ClusterRules
from proxy.upstream.health import Health
from proxy.upstream.pool import Pool, PoolLimits


class Slots:
    """Both slots' pools. `groups` is indexed by the slot's number: 0 blue, 1 green.

    draw: a seeded source of numbers from 0 to below 1. now: monotonic seconds at the last sweep.
    security: TLS to the endpoints of some slots.
    """

    def __init__(
        self,
        limits: PoolLimits,
        rules: ClusterRules,
        checks: CheckRules,
        block: Block,
        draw: Callable[[], float],
        security: EndpointSecurity | None = None,
    ) -> None:
        self._security = security
        self._limits = limits
        self._rules = rules
        self._checks = checks
        self._block = block
        self._draw = draw
        self._parser = ResponseParser(response_fields())
        self.groups = tuple(
            Cluster(str(slot), rules, Balance(draw), block.groups[group_of(number, REST)])
            for number, slot in enumerate(Slot)
        )
        self._retired: list[Pool] = []
        self.now = monotonic()

    def update(self, endpoints: Mapping[Slot, tuple[Endpoint, ...]]) -> None:
        """Serve by these endpoints from now on."""
        for number, slot in enumerate(Slot):
            group = self.groups[number]
            before = {pool.endpoint: pool for pool in group.pools}
            # Where nobody stays there is nobody to be spared by: a first table, a new release.
            beside = any(endpoint in before for endpoint in endpoints[slot])
            pools = []
            for endpoint in endpoints[slot]:
                known = before.pop(endpoint, None)
                pools.append(known or self._new_pool(endpoint, group, warm=beside))
            group.use(tuple(pools))
            for pool in before.values():
                pool.retire()
                self._retired.append(pool)

    def _new_pool(self, endpoint: Endpoint, group: Cluster, *, warm: bool) -> Pool:
        health = Health(self._rules.health)
        if warm:
            health.warm(self.now)
        security = self._security
        if security is not None and group.name not in security.slots:
            security = None
        pool = Pool(endpoint, self._limits, self._parser, group.counted, health, group, security)
        if self._checks.interval_s > 0:
            pool.check_by(check_on(pool, self._checks, group, self._draw))
        return pool

    def sweep(self, now: float) -> None:
        """Act on what time has brought. now: monotonic seconds."""
        self.now = now
        for group in self.groups:
            group.sweep(now)
        self._retired = [pool for pool in self._retired if pool.in_flight]

    async def close(self) -> None:
        """Close every connection."""
        for group in self.groups:
            group.close()
            for pool in group.pools:
                await pool.close()
