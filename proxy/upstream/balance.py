"""Which endpoint of a slot takes the next exchange: of two drawn by lot, the one with less to do.

Two are nearly as good as all, and don't send every newcomer to the one that just came back idle
(Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 1996). Of two endpoints
both are compared; ties go round. One that is warming up takes what it drew with the chance of
its share; one on trial takes one request at a time.
"""

from collections.abc import Callable

from proxy.upstream.health import TRIAL
from proxy.upstream.pool import Pool


class Balance:
    """The pools of one slot. draw: a source of numbers from 0 to below 1.

    eligible: those that may be used, as the cluster decides. guarded: whether one of them is on
    trial or warming. busy: whether the last claim found nothing because all connections are in
    use. panic: whether health is ignored, because too few are healthy.
    """

    __slots__ = ("_draw", "_turn", "busy", "eligible", "guarded", "panic", "pools")

    def __init__(self, draw: Callable[[], float]) -> None:
        self._draw = draw
        self._turn = 0
        self.pools: tuple[Pool, ...] = ()
        self.eligible: tuple[Pool, ...] = ()
        self.guarded = False
        self.panic = False
        self.busy = False

    def claim(self, avoid: Pool | None = None) -> Pool | None:
        """The pool to use, counted as in flight; None if there is none but `avoid`.

        avoid: an endpoint that has just failed this exchange.
        """
        pools = self.eligible
        if avoid is not None:
            pools = tuple([pool for pool in pools if pool is not avoid])
        count = len(pools)
        if not count:
            self.busy = False
            return None
        chosen = pools[0] if count == 1 else self._choose(pools, count)
        if not chosen.idle and chosen.full:
            other = self._with_room(pools)
            if other is None:
                self.busy = True
                return None
            chosen = other
        chosen.in_flight += 1
        return chosen

    @property
    def has_room(self) -> bool:
        """Whether a claim would not find all connections in use."""
        if not self.eligible:
            return True
        return self._with_room(self.eligible) is not None

    def _choose(self, pools: tuple[Pool, ...], count: int) -> Pool:
        if count == 2:
            self._turn = 1 - self._turn
            first, second = pools[self._turn], pools[1 - self._turn]
        else:
            one = int(self._draw() * count)
            other = int(self._draw() * (count - 1))
            if other >= one:
                other += 1
            first, second = pools[one], pools[other]
        if self.guarded:
            return self._choose_guarded(first, second, pools)
        return first if first.in_flight <= second.in_flight else second

    def _choose_guarded(self, first: Pool, second: Pool, pools: tuple[Pool, ...]) -> Pool:
        takes_first, takes_second = self._accepts(first), self._accepts(second)
        if takes_first != takes_second:
            return first if takes_first else second
        best = first if first.in_flight <= second.in_flight else second
        if takes_first:
            return best
        # Neither: one that is warm takes it, if there is one.
        settled: Pool | None = None
        for pool in pools:
            if pool.health.settled and (settled is None or pool.in_flight < settled.in_flight):
                settled = pool
        return best if settled is None else settled

    def _accepts(self, pool: Pool) -> bool:
        health = pool.health
        if health.state == TRIAL:
            return pool.in_flight == pool.tunnels
        return health.share >= 1.0 or self._draw() < health.share

    @staticmethod
    def _with_room(pools: tuple[Pool, ...]) -> Pool | None:
        """The one with the least in flight that takes one more."""
        best: Pool | None = None
        for pool in pools:
            if not pool.full and (best is None or pool.in_flight < best.in_flight):
                best = pool
        return best
