"""Redis follows PostgreSQL: what is missing there is published, what was lost is published anew.

`plan` decides; the reconciler does it. Rules:
1. Behind (decided, not published yet): the missing log entries are published in order.
2. Lost (no table, or a lower version than was there): the version rises above all that anybody
   has seen, and the whole table is published, so that no worker's version goes down.
3. Ahead (the database was restored from a backup): the same as lost.
4. Of another commit (a failover of either lost commits, and others took their versions), or decided
   before PostgreSQL was promoted or restored: the same.
5. Complete, but for a snapshot that the log has left behind: a new one is written.
"""

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from time import monotonic

import structlog

from admin.config import Settings
from admin.routing import audit, idempotency
from admin.routing.database import DatabaseUnavailableError
from admin.routing.events import Hub
from admin.routing.fleet import Fleet
from admin.routing.publish import ANY, RESET, Publisher, Snapshot, StoreUnavailableError
from admin.routing.store import OTHER_TIMELINE, Standing, Store
from admin.routing.view import DEFAULT_LEASE_S
from proxy.routing.change import Change
from proxy.routing.codec import encode_change

log = structlog.get_logger(__name__)
WILD = 1_000_000
"""A worker's version isn't signed: one that lies this far above the table is not believed."""
PRUNE_EVERY_S = 60.0


class Step(StrEnum):
    """What is to be done about Redis."""

    NOTHING = "nothing"
    CATCH_UP = "catch-up"
    REPUBLISH = "republish"
    RESET = "reset"


ANEW = frozenset({Step.REPUBLISH, Step.RESET})


@dataclass(frozen=True, slots=True)
class Plan:
    """The step, why, and for publishing anew the version to rise above."""

    step: Step
    reason: str = ""
    floor: int = 0


def plan(
    desired: int, snapshot: Snapshot, seen: int, ours: str = "", *, has_moved: bool = False
) -> Plan:
    """What Redis needs. desired: the database's version; seen: the highest seen in Redis.

    ours: the commit that made Redis' version in the database; empty: not known. has_moved: the
    database's server has another history than when it made its version.

    What lies in Redis is not signed as far as it is looked at here: a version far above the
    table is believed of nobody, lest it use up the versions.
    """
    ceiling = desired + WILD
    workers = [lease.status.version for lease in snapshot.leases if lease.status.version < ceiling]
    stores = [version for version in (snapshot.version, snapshot.log_version) if version < ceiling]
    floor = max([seen, *stores, *workers])
    if len(stores) < 2:
        return Plan(Step.RESET, "unbelievable", floor)
    fault = _fault(desired, snapshot, seen, ceiling)
    if not fault and ours and snapshot.commit_id and ours != snapshot.commit_id:
        fault = "lost commits"
    if not fault and has_moved:
        fault = OTHER_TIMELINE
    if fault:
        return Plan(Step.REPUBLISH, fault, floor)
    return Plan(Step.CATCH_UP if snapshot.version < desired else Step.NOTHING)


def _fault(desired: int, snapshot: Snapshot, seen: int, ceiling: int) -> str:
    """Why the version has to rise above all that anybody has seen; empty if it has not to."""
    live = [lease.status.version for lease in snapshot.leases if lease.remaining_ms > 0]
    faults = {
        "missing": snapshot.version < 0,
        "torn": snapshot.version != snapshot.log_version
        or not 0 <= snapshot.at <= snapshot.version,
        "ahead": snapshot.version > desired,
        # They would count as serving what they never got, and refuse it when it comes.
        "workers ahead": any(desired < version < ceiling for version in live),
        "went back": snapshot.version < min(seen, desired),
    }
    return next((fault for fault, found in faults.items() if found), "")


class Reconciler:
    """Looks at both stores, when woken and every `interval_s`, and makes Redis follow."""

    def __init__(
        self, store: Store, publisher: Publisher, fleet: Fleet, hub: Hub, settings: Settings
    ) -> None:
        self._store, self._publisher, self._fleet, self._hub = store, publisher, fleet, hub
        self._settings = settings
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self.announced: int | None = None
        self.desired: int | None = None
        self.database_reachable: bool | None = None
        self._publication_fault = ""
        self._looked_at = -1

    def wake(self) -> None:
        """Look now."""
        self._wake.set()

    async def run(self) -> None:
        """Look for ever. Unreachable stores are waited for."""
        while True:
            await self._try()
            self._wake.clear()
            try:
                async with asyncio.timeout(self._settings.reconcile_interval_s):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def _try(self) -> None:
        try:
            await self.once()
        except StoreUnavailableError as error:
            self._tell_fault(str(error))
        except DatabaseUnavailableError as error:
            self._reach_database(False, str(error))
        else:
            self._publication_fault = ""
            self._reach_database(True)

    def _tell_fault(self, fault: str) -> None:
        """Redis answers a look but takes no table (read-only, full): nobody else would say so."""
        if self._fleet.reachable and fault != self._publication_fault:
            self._publication_fault = fault
            log.error("the table can't be published", fault=fault)

    def _reach_database(self, reachable: bool, fault: str = "") -> None:
        if reachable is not self.database_reachable:
            self.database_reachable = reachable
            log.log(20 if reachable else 40, "postgresql", reachable=reachable, fault=fault)

    async def once(self) -> int | None:
        """Look at both and do what is needed; the version, if the table was published anew.

        DatabaseUnavailableError, StoreUnavailableError.
        """
        async with self._lock:
            if self.desired is None:
                await self._look_back()
            standing, snapshot, needed = await self._look()
            self.decided(standing.table.version)
            anew = None
            if needed.step is Step.CATCH_UP:
                await self._catch_up(standing, snapshot)
            elif needed.step in ANEW:
                anew = await self._republish()
            else:
                self._publisher.seen = max(self._publisher.seen, snapshot.version)
                await self._checkpoint(standing, snapshot)
            await self._announce()
            return anew

    async def _look_back(self) -> None:
        """Redis may have lost the registry before we began, and with it workers that we never knew."""
        ago_s = await self._store.republished_s()
        if ago_s is not None and ago_s < DEFAULT_LEASE_S:
            self._fleet.settle(DEFAULT_LEASE_S - max(ago_s, 0.0))

    async def prune(self) -> None:
        """Take off what is older than it has to be kept, for ever."""
        while True:
            try:
                await idempotency.prune(
                    self._store.database,
                    self._settings.idempotency_hours,
                    self._settings.log_entries,
                )
            except DatabaseUnavailableError:
                log.debug("the database can't be reached")
            await asyncio.sleep(PRUNE_EVERY_S)

    async def _look(self) -> tuple[Standing, Snapshot, Plan]:
        """Both stores, in the order that makes them comparable while others go on changing them.

        What we saw in Redis before, then Redis, then the database: each is never behind the one
        before it, unless something was lost.
        """
        seen = self._publisher.seen
        snapshot = await self._fleet.refresh()
        standing = await self._store.standing()
        desired, ours = standing.table.version, standing.commit_id
        if snapshot.version != desired:
            ours = await self._store.commit_at(snapshot.version)
        has_moved = standing.is_of_another_timeline
        return standing, snapshot, plan(desired, snapshot, seen, ours, has_moved=has_moved)

    async def _catch_up(self, standing: Standing, snapshot: Snapshot) -> None:
        have, wanted = snapshot.version, standing.table.version
        entries = await self._store.bodies(have, wanted)
        if [version for version, _ in entries] == list(range(have + 1, wanted + 1)):
            await self._publish(standing, entries, have, snapshot.commit_id)
        else:
            await self._publish_whole(standing, ANY)

    async def _checkpoint(self, standing: Standing, snapshot: Snapshot) -> None:
        """Write a snapshot once it is quiet, or once the log since the last has grown long."""
        quiet, self._looked_at = self._looked_at == snapshot.version, snapshot.version
        if snapshot.tail > 0 and (quiet or self._publisher.is_long(snapshot)):
            await self._publisher.checkpoint(standing.table, standing.commit_id)

    async def _republish(self) -> int | None:
        async with self._store.republishing():
            before, snapshot, needed = await self._look()
            if needed.step not in ANEW:
                return None
            have = before.table.version
            if snapshot.version < 0 and have > 0:
                self._fleet.settle()
            standing = await self._store.bump(have, needed.floor, needed.reason)
            if standing is None:
                return None
            version = standing.table.version
            log.warning("the table is published anew", reason=needed.reason, version=version)
            if await self._publish_whole(standing, RESET if needed.step is Step.RESET else ANY):
                self._hub.tell("republished", {"version": version, "reason": needed.reason})
            return version

    async def _publish_whole(self, standing: Standing, expected: str) -> bool:
        version = standing.table.version
        return await self._publish(
            standing, [(version, encode_change(Change(version, ())))], expected
        )

    async def _publish(
        self,
        standing: Standing,
        entries: list[tuple[int, bytes]],
        expected: int | str,
        after: str = "",
    ) -> bool:
        started, table = monotonic(), standing.table
        outcome = await self._publisher.publish(table, entries, expected, standing.commit_id, after)
        self._fleet.take(outcome.snapshot)
        self.decided(table.version)
        if outcome.word == "published":
            self._fleet.expect(table.version, started)
        return outcome.word == "published"

    def decided(self, version: int) -> None:
        """The database is at this version, or beyond."""
        self.desired = max(version, self.desired or 0)

    def announce(self, version: int, action: str, actor: str) -> None:
        """Tell listeners of a change of our own, unless others' changes come first."""
        if self.announced is not None and version == self.announced + 1:
            self._tell(version, action, actor)
        else:
            self.wake()

    async def _announce(self) -> None:
        """Tell listeners of changes that other admins made."""
        desired = self.desired or 0
        if self.announced is None:
            self.announced = desired
        if desired <= self.announced:
            return
        async with self._store.database.connection() as connection:
            rows = await audit.since(connection, self.announced)
        for version, action, actor in rows:
            self._tell(version, action, actor)

    def _tell(self, version: int, action: str, actor: str) -> None:
        if self.announced is None or version > self.announced:
            self.announced = version
            self._hub.tell("change", {"version": version, "action": action, "actor": actor})
