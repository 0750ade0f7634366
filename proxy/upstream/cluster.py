"""One slot, as one worker sees it: its endpoints, who is under way there, and who waits.

Rules:
1. Every change of what is thought of an endpoint ends in `_refresh`, which alone decides which
   endpoints are eligible.
2. Who waits is called from the loop, never from within the exchange that made room: that one
   may be in the middle of a connection's own callback.
3. `wake` is called wherever room may have come up: an exchange is over, a connection is gone,
   the endpoints changed, time has passed.
"""

import asyncio
import logging
from typing import Final

from proxy.http1 import reply as replies
from proxy.http1.reply import LocalReply
from proxy.observability import telemetry
from proxy.upstream.admission import (
    ADMITTED,
    QUEUE_FULL,
    TENANT_BUSY,
    WAIT,
    Admission,
    AdmissionLimits,
    Place,
    Waiter,
)
from proxy.upstream.balance import Balance
from proxy.upstream.budget import RetryBudget
from proxy.upstream.health import EJECTED, TRIAL, UNHEALTHY, WARMING, HealthRules, State
from proxy.upstream.pool import Pool, Room

log = logging.getLogger("turnout.upstream")

_SWITCHED: Final = 101


class ClusterRules:
    """What a slot's settings come to.

    panic_percent: with less of its endpoints eligible, all are used; 0: never. eject_percent: of
    its endpoints, how many may be ejected at once. queue_s: seconds in line at most.
    """

    __slots__ = (
        "admission",
        "eject_percent",
        "health",
        "panic_percent",
        "queue_s",
        "retry_per_s",
        "retry_percent",
    )

    def __init__(
        self,
        *,
        admission: AdmissionLimits,
        health: HealthRules,
        queue_s: float,
        panic_percent: int,
        eject_percent: int,
        retry: tuple[int, float],
    ) -> None:
        self.admission = admission
        self.health = health
        self.queue_s = queue_s
        self.panic_percent = panic_percent
        self.eject_percent = eject_percent
        self.retry_percent, self.retry_per_s = retry


class Cluster(Room):
    """See the module. name: the slot's. counted: where it is counted."""

    __slots__ = (
        "_counts",
        "_healthy",
        "_listed",
        "_rules",
        "_timer",
        "_waking",
        "admission",
        "balance",
        "budget",
        "counted",
        "name",
    )

    def __init__(
        self, name: str, rules: ClusterRules, balance: Balance, counted: telemetry.Group
    ) -> None:
        self.name = name
        self.counted = counted
        self._rules = rules
        self._counts = counted.values
        self._listed = self._healthy = 0
        self._waking = False
        self._timer: asyncio.TimerHandle | None = None
        self.balance = balance
        self.admission = Admission(rules.admission)
        self.budget = RetryBudget(rules.retry_percent, rules.retry_per_s)

    @property
    def pools(self) -> tuple[Pool, ...]:
        """The pools of the endpoints that the table names."""
        return self.balance.pools

    # ── who may go ────────────────────────────────────────────────────────────────────────────

    def claim(self, avoid: Pool | None) -> Pool | None:
        """An endpoint for an exchange, counted; None: see `refusal`, or `balance.busy`."""
        pool = self.balance.claim(avoid)
        if self.balance.panic and pool is not None:
            self._count(telemetry.PANICS)
        return pool

    def refusal(self, avoid: Pool | None) -> LocalReply:
        """Why the last claim came to nothing. avoid: as it was given."""
        if self.balance.busy:
            return replies.ALL_BUSY
        if avoid is not None:
            return replies.CONNECT_FAILED
        return replies.NONE_HEALTHY if self.balance.pools else replies.NO_ENDPOINT

    def has_room_for(self, tenant: bytes) -> bool:
        """Whether one more exchange of this tenant would be let in at once."""
        admission = self.admission
        return admission.has_room_for(tenant) and self.balance.has_room

    def enter(self, tenant: bytes) -> LocalReply | None:
        """Count in what doesn't stand in line: a plain connection. Why not, if it can't be."""
        verdict = self.admission.admit(tenant)
        if verdict == ADMITTED:
            return None
        return self.refused(TENANT_BUSY if verdict == TENANT_BUSY else QUEUE_FULL)

    def leave(self, tenant: bytes) -> None:
        """An exchange is over: count it out, and let the next one have its place."""
        self.admission.leave(tenant)
        if self.admission.waiting:
            self.wake()

    def may_retry(self, failed: Pool | None) -> bool:
        """Whether a request may be sent once more, elsewhere than where it failed.

        failed: an endpoint that is out of question now. Counts the retry.
        """
        if failed is not None and all(pool is failed for pool in self.balance.eligible):
            return False
        if self.budget.withdraw():
            self._count(telemetry.RETRIES)
            return True
        self._count(telemetry.RETRIES_REFUSED)
        return False

    # ── the line ──────────────────────────────────────────────────────────────────────────────

    def wait(self, waiter: Waiter, tenant: bytes) -> Place | LocalReply:
        """A place in the line, or why there is none."""
        loop = asyncio.get_running_loop()
        place = Place(waiter, tenant, loop.time() + self._rules.queue_s)
        verdict = self.admission.wait(place)
        if verdict != WAIT:
            return self.refused(verdict)
        self._counts[telemetry.QUEUE] += 1
        if self._timer is None:
            self._timer = loop.call_later(self._rules.queue_s, self._expire)
        return place

    def refused(self, verdict: int) -> LocalReply:
        """Count a refusal by a limit; its answer."""
        self._count(telemetry.QUEUE_REFUSED)
        return _REFUSALS[verdict]

    def give_up(self, place: Place) -> None:
        """Who waited goes away."""
        self.admission.give_up(place)
        self._counts[telemetry.QUEUE] -= 1

    def wake(self) -> None:
        """There may be room for who waits: look soon."""
        if self.admission.waiting and not self._waking:
            self._waking = True
            asyncio.get_running_loop().call_soon(self._let_in)

    def _let_in(self) -> None:
        """As many as there is room for now; who has to wait again is not asked twice."""
        self._waking = False
        admission, balance = self.admission, self.balance
        for _ in range(admission.waiting):
            if not (admission.waiting and admission.has_room and balance.has_room):
                break
            place = admission.next()
            self._counts[telemetry.QUEUE] -= 1
            place.waiter.turn()

    def _expire(self) -> None:
        """The time of who has waited longest is over, or nearly so."""
        self._timer = None
        loop = asyncio.get_running_loop()
        while (first := self.admission.first()) is not None:
            left = first.until - loop.time()
            if left > 0:
                self._timer = loop.call_later(left, self._expire)
                return
            self.give_up(first)
            self._count(telemetry.QUEUE_TIMEOUTS)
            first.waiter.waited_too_long()

    # ── what is thought of the endpoints ──────────────────────────────────────────────────────

    def answered(self, pool: Pool, status: int, now: float) -> None:
        """A final answer began. now: monotonic seconds."""
        if pool.health.answered(status, now, may_eject=self._may_eject(pool)):
            self._changed(pool)

    def completed(self, pool: Pool, status: int) -> None:
        """An answer is whole."""
        pool.health.completed(status)

    def joined(self, pool: Pool, now: float) -> None:
        """A tunnel stands, which is an answer and the whole of it. now: monotonic seconds."""
        self.answered(pool, _SWITCHED, now)
        self.completed(pool, _SWITCHED)

    def failed(self, pool: Pool, now: float) -> None:
        """A request failed at an endpoint: no connection; no answer, none in time, none in HTTP, or
        not all of it.
        """  # noqa: D205 - one sentence
        if pool.health.failed(now, may_eject=self._may_eject(pool)):
            self._changed(pool)

    def checked(self, pool: Pool, now: float, *, passed: bool) -> None:
        """A health check has an outcome."""
        if pool.health.checked(now, passed=passed):
            self._changed(pool)

    def use(self, pools: tuple[Pool, ...]) -> None:
        """These are the slot's endpoints from now on."""
        self.balance.pools = pools
        self._refresh()

    def sweep(self, now: float) -> None:
        """Act on what time has brought. now: monotonic seconds."""
        self.budget.sweep(now)
        for pool in self.balance.pools:
            pool.sweep(now)
            if pool.health.sweep(now):
                self._changed(pool)
        self.wake()

    def close(self) -> None:
        """Nothing is let in any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _may_eject(self, pool: Pool) -> bool:
        if pool.retired:
            return False  # it has left the table; its last exchanges concern nobody
        pools = self.balance.pools
        ejected = sum(pool.health.state == EJECTED for pool in pools)
        return (ejected + 1) * 100 <= self._rules.eject_percent * len(pools)

    def _changed(self, pool: Pool) -> None:
        state = pool.health.state
        level = logging.WARNING if state in {EJECTED, UNHEALTHY} else logging.INFO
        log.log(level, "endpoint %s of %s: %s", pool.endpoint, self.name, State(state).name.lower())
        if state == EJECTED:
            self._count(telemetry.EJECTIONS)
        self._refresh()

    def _refresh(self) -> None:
        """Decide anew which endpoints are eligible."""
        balance = self.balance
        pools = balance.pools
        healthy = [pool for pool in pools if pool.health.eligible]
        few = len(healthy) * 100 < self._rules.panic_percent * len(pools)
        # All checks failing is knowledge, not a guess: then nobody is sent into a time-out.
        known_dead = all(pool.health.state == UNHEALTHY for pool in pools)
        balance.panic = few and not known_dead
        balance.eligible = tuple(pools if balance.panic else healthy)
        cautious = any(pool.health.state in {TRIAL, WARMING} for pool in healthy)
        balance.guarded = cautious and not balance.panic
        # The endpoints of TCP listeners are counted in the same place.
        self._counts[telemetry.ENDPOINTS] += len(pools) - self._listed
        self._counts[telemetry.ENDPOINTS_ELIGIBLE] += len(healthy) - self._healthy
        self._listed, self._healthy = len(pools), len(healthy)
        self.wake()

    def _count(self, cell: int) -> None:
        self._counts[cell] += 1


_REFUSALS: Final = {TENANT_BUSY: replies.TENANT_BUSY, QUEUE_FULL: replies.ALL_BUSY}
