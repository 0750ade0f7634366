"""One change from request to last ack: decide, publish, wait.

Rules: a change is made only while Redis answers, so that what is decided can take effect. Once
committed it stays, whatever becomes of its publication: the reconciler brings it to Redis.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic

import structlog

from admin.routing.database import DatabaseUnavailableError
from admin.routing.fleet import Fleet
from admin.routing.limits import Guard, LimitError, LimitsMovedError
from admin.routing.publish import Publisher, StoreUnavailableError
from admin.routing.reconcile import Reconciler
from admin.routing.store import Committed, Proposal, Repeated, Store
from proxy.routing.ack import WorkerStatus
from proxy.routing.codec import encode_change
from proxy.routing.model import RoutingTable

TRIES = 5
"""How often a change is checked anew, while what it has to keep to goes on changing."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Served:
    """Who serves a version. ack_ms: from the request's start to the last ack, if all do.

    live: what the workers that count last said.
    """

    version: int
    converged: bool
    acked: tuple[str, ...]
    pending: tuple[str, ...]
    refused: dict[str, str]
    ack_ms: float | None
    published: bool
    table: RoutingTable | None = field(default=None, repr=False)
    live: tuple[WorkerStatus, ...] = field(default=(), repr=False)


class Control:
    """Takes changes through the three stores."""

    def __init__(
        self,
        store: Store,
        publisher: Publisher,
        fleet: Fleet,
        reconciler: Reconciler,
        on_ack: Callable[[float], None],
        guard: Guard,
    ) -> None:
        """on_ack: gets ack_ms of each change that converged. guard: knows what changes keep to."""
        self.store, self.fleet, self.reconciler = store, fleet, reconciler
        self._publisher, self._on_ack, self._guard = publisher, on_ack, guard
        self._lock = asyncio.Lock()

    async def change(
        self, proposal: Proposal, started: float, timeout_s: float
    ) -> Served | Repeated:
        """Make the change and wait for the acks. started: when the request began (monotonic seconds).

        Raises StoreUnavailableError (nothing was changed) and what `Store.commit` raises.
        """
        if self._lock.locked() and self.fleet.reachable is False:
            # Others are finding out already: a queue of time-outs would help nobody.
            raise StoreUnavailableError("unreachable")
        async with self._lock:
            await self._ready()
            outcome = await self._commit(proposal)
            if isinstance(outcome, Repeated):
                return outcome
            version = outcome.table.version
            self.reconciler.decided(version)
            self.reconciler.announce(version, proposal.action, proposal.author.actor)
            version = await self._publish(outcome, started) or version
        served = await self._served(version, started, timeout_s, outcome.table)
        if served.ack_ms is not None:
            self._on_ack(served.ack_ms)
        return served

    async def served(self, version: int, timeout_s: float) -> Served:
        """Who serves a version that was made; waits until all do, at most timeout_s."""
        return await self._served(version, None, timeout_s, None)

    async def _commit(self, proposal: Proposal) -> Committed | Repeated:
        """Within the limits that are known; what they refuse is asked of those of now."""
        limits = await self._guard.limits()
        for _ in range(TRIES):
            try:
                return await self.store.commit(proposal, limits)
            except LimitsMovedError:
                limits = await self._guard.limits(fresh=True)
            except LimitError:
                # More may be allowed by now than is known.
                known, limits = limits, await self._guard.limits(fresh=True)
                if limits == known:
                    raise
        raise LimitsMovedError

    async def _ready(self) -> None:
        """Redis answers and stands where the database does, or is brought there first."""
        if await self._publisher.version() != self.reconciler.desired:
            await self.reconciler.once()

    async def _publish(self, committed: Committed, started: float) -> int | None:
        """The version at which the change is in Redis, None if that couldn't be reached."""
        table, anew = committed.table, None
        entry = (table.version, encode_change(committed.change))
        try:
            outcome = await self._publisher.publish(
                table, [entry], table.version - 1, committed.commit_id, committed.after
            )
            self.fleet.take(outcome.snapshot)
            there = (outcome.snapshot.version, outcome.snapshot.commit_id)
            if outcome.word != "published" and there != (table.version, committed.commit_id):
                # Another may have published anew before us: what is there then carries it.
                anew = await self.reconciler.once() or self.fleet.published
        except (StoreUnavailableError, DatabaseUnavailableError) as error:
            log.warning("a change is not published yet", version=table.version, fault=str(error))
            self.reconciler.wake()
            return None
        # Published anew in between: only the version that carries the change now counts.
        version = max(anew or 0, table.version)
        if self.fleet.published < version:
            return None
        self.fleet.expect(version, started)
        return version

    async def _served(
        self, version: int, started: float | None, timeout_s: float, table: RoutingTable | None
    ) -> Served:
        deadline = monotonic() + timeout_s if started is None else started + timeout_s
        outcome, converged = await self.fleet.wait(version, deadline)
        ack_ms = None
        if converged and started is not None:
            ack_ms = round((monotonic() - started) * 1000, 3)
        return Served(
            version,
            converged,
            outcome.acked,
            outcome.pending,
            outcome.refused,
            ack_ms,
            self.fleet.published >= version,
            table,
            outcome.live,
        )
