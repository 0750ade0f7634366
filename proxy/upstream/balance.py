"""Which endpoint of a slot takes the next exchange: the one with the least in flight.

Ties go round, so that idle endpoints share light traffic.
"""

from proxy.upstream.pool import Pool


class Balance:
    """The pools of one slot."""

    def __init__(self) -> None:
        self.pools: tuple[Pool, ...] = ()
        self._next = 0

    def claim(self, avoid: Pool | None = None) -> Pool | None:
        """The pool to use, counted as in flight; None if there is none but `avoid`.

        avoid: an endpoint that has just failed this exchange.
        """
        pools = self.pools
        if len(pools) == 1:
            pool = pools[0]
            if pool is avoid:
                return None
            pool.in_flight += 1
            return pool
        chosen = self._least_in_flight(avoid)
        if chosen is not None:
            chosen.in_flight += 1
        return chosen

    def _least_in_flight(self, avoid: Pool | None) -> Pool | None:
        count = len(self.pools)
        if not count:
            return None
        self._next = (self._next + 1) % count
        best: Pool | None = None
        for offset in range(count):
            pool = self.pools[(self._next + offset) % count]
            if pool is not avoid and (best is None or pool.in_flight < best.in_flight):
                best = pool
        return best
