"""One worker: lanes that each claim a job, run it, and tell the ledger; the leases renewed beside.

Rules:
1. A lane holds one job at a time. What ends a job is told to the ledger until it has heard it, or
   has given the job to somebody else: a ledger that is away is waited for.
2. A job whose lease is no longer ours is dropped at once; what it still writes, the target refuses.
3. Asked to drain, a worker claims nothing more, lets its jobs end, and gives back in time what
   doesn't: what was committed stays, what wasn't is rolled back. It ends whatever hangs or is away.
4. Whoever comes by moves on what is due: workers and admins alike.
"""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random  # noqa: TID251 - jitter; the seed is the caller's
from typing import TypeVar

import structlog

from admin.migrations.catalogue.model import Phase
from admin.migrations.compatibility import still_needed
from admin.migrations.config import Settings
from admin.migrations.executor import Job, Result, execute
from admin.migrations.faults import Again, Failed, Failure, Fenced, Interrupted, backoff_s, remedy
from admin.migrations.files import File
from admin.migrations.guard import slot_versions
from admin.migrations.ledger import jobs
from admin.migrations.ledger.jobs import Claim, Held
from admin.migrations.ledger.plans import files_of
from admin.migrations.ledger.waves import settle_all
from admin.migrations.states import JobEvent
from admin.migrations.target.session import Sessions
from admin.migrations.version import Version
from admin.routing.database import Connection, Database, DatabaseUnavailableError
from admin.tasks import Tasks

log = structlog.get_logger(__name__)
Told = TypeVar("Told")
PLANS_KEPT = 8
"""Plans whose files are kept in memory."""
RENEWALS = 3
"""How often a lease is renewed while it lasts."""
GIVE_BACK_S = 5.0
"""How long a lane that is to end has for leaving its target, and telling the ledger."""
AGAIN_S = 0.25
"""How soon a ledger that is away is asked again."""


class Lease:
    """A job in this worker's hands: what its executor tells and asks."""

    def __init__(
        self, mine: Claim, task: "asyncio.Task[None]", touches: Callable[[], Awaitable[bool]]
    ) -> None:
        """touches: tells the ledger that the target may be changed from now on; whether it may."""
        self.mine, self._task, self._touches = mine, task, touches
        self.takes_away = False
        """Whether it is a contract: of no other the ledger needs to know before it is done."""
        self.is_lost = False
        self._goes_on = True
        self._rows: tuple[int | None, int | None] = (None, None)

    def told(self, rows: int, total: int) -> None:
        """How far a backfill is."""
        self._rows = (rows, total)

    def may_go_on(self) -> bool:
        """Whether the plan goes on, and the worker."""
        return self._goes_on

    async def begins(self) -> None:
        """Before the target is written to. Fenced."""
        if self.takes_away and not await self._touches():
            raise Fenced("the ledger has given the job to somebody else")

    def make_room(self) -> None:
        """Ask it to end between two of its steps."""
        self._goes_on = False

    def lose(self) -> None:
        """The ledger has given it to somebody else, or will: end it where it is."""
        self.is_lost = True
        self._task.cancel()

    @property
    def held(self) -> Held:
        """For the renewal."""
        return Held(self.mine.id, self.mine.fence, *self._rows)


class Worker:
    """One worker process' work. name: in the ledger. chance: for jitter."""

    def __init__(
        self, name: str, database: Database, sessions: Sessions, settings: Settings, chance: Random
    ) -> None:
        self.name = name
        self._database, self._sessions, self._settings = database, sessions, settings
        self._chance = chance
        self._servers = {name: server.at_once for name, server in settings.servers.items()}
        self._leases: dict[int, Lease] = {}
        self._files: dict[str, tuple[File, ...]] = {}
        self._draining = asyncio.Event()
        self._is_away = False

    async def run(self) -> None:
        """Until `drain` is asked for, and what was begun has ended."""
        tasks = Tasks()
        tasks.start("renew", self._renew)
        tasks.start("advance", lambda: advance(self._database, self._settings.look_s))
        try:
            async with asyncio.TaskGroup() as lanes:
                mine = [
                    lanes.create_task(self._lane(), name=f"lane {number}")
                    for number in range(self._settings.jobs_at_once)
                ]
                await self._draining.wait()
                await self._give_time(mine)
        finally:
            await tasks.close()
            await self._sessions.close()

    def drain(self) -> None:
        """Claim nothing more; end in good order."""
        log.info("draining", jobs=len(self._leases))
        self._draining.set()

    async def _give_time(self, lanes: "list[asyncio.Task[None]]") -> None:
        """Wait for the lanes; what lasts longer is asked to make room, and then given back."""
        for lease in self._leases.values():
            lease.make_room()
        _, late = await asyncio.wait(lanes, timeout=self._settings.drain_s)
        # The first time they give their jobs back. Where the ledger is away that has no end, and it
        # takes the jobs back by itself once their leases are over.
        while late:
            for lane in late:
                lane.cancel()
            _, late = await asyncio.wait(late, timeout=GIVE_BACK_S)

    async def _lane(self) -> None:
        while not self._draining.is_set():
            mine = await self._claim()
            if mine is None:
                await self._pause()
            else:
                await self._work(mine)

    async def _claim(self) -> Claim | None:
        try:
            async with self._database.connection() as connection:
                return await jobs.claim(
                    connection, self.name, self._servers, self._settings.lease_s
                )
        except DatabaseUnavailableError as error:
            # It may have been claimed all the same: then its lease will lapse.
            self._away(error)
            return None

    async def _pause(self) -> None:
        """A moment, jittered; less if the worker is to drain."""
        pause_s = self._settings.look_s * (0.5 + self._chance.random())
        try:
            await asyncio.wait_for(self._draining.wait(), pause_s)
        except TimeoutError:
            return

    async def _work(self, mine: Claim) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a lane is one
        lease = Lease(mine, task, lambda: self._ask(lambda c: jobs.touch(c, mine)))
        before = self._leases.get(mine.id)
        if before is not None:
            # Its lease lapsed while the ledger was away, and it is we who have claimed it again.
            before.lose()
        self._leases[mine.id] = lease
        said = log.bind(plan=mine.plan, target=mine.target.name, fence=mine.fence)
        try:
            await self._tell(await self._outcome(mine, lease, said))
        except asyncio.CancelledError:
            if not lease.is_lost:
                await self._tell(lambda c: jobs.give_back(c, mine, None, 0.0, counts=False))
                raise
            task.uncancel()
            said.warning("the lease was lost")
        finally:
            if self._leases.get(mine.id) is lease:
                del self._leases[mine.id]

    async def _outcome(
        self, mine: Claim, lease: Lease, said: structlog.stdlib.BoundLogger
    ) -> Callable[[Connection], Awaitable[bool]]:
        """Run the job; what there is to tell the ledger of it."""
        if mine.deaths >= self._settings.deaths:
            return self._failed(mine, _deadly(mine), said)
        try:
            files = await self._plan(mine.plan)
            file = files[mine.position]
            job = Job(mine.plan, mine.target, mine.fence, file, files)
            await self._admit(file, mine.plan)
            lease.takes_away = file.phase == Phase.CONTRACT
            result = await execute(job, self._sessions, self._settings, lease)
        except Interrupted:
            return lambda c: jobs.give_back(c, mine, None, 0.0, counts=False)
        except (Fenced, Failed, Again) as error:
            return self._not_done(mine, error, said)
        except Exception as error:  # noqa: BLE001 - logged, and bounded like any other try
            said.exception("a fault of this program")
            unforeseen = Again("", f"a fault of the worker ({type(error).__name__}): see its log")
            return self._again(mine, unforeseen, said)
        said.info("done", key=file.key, ms=round(result.duration_ms, 1), found=result.found)
        return lambda c: _succeed(c, mine, file, result)

    async def _admit(self, file: File, plan: str) -> None:
        """Failed, if it takes away what a slot's version needs.

        Asked after the claim, from which on changes of the routing count it as applied: so either
        they see it, or it sees them.
        """
        if file.phase != Phase.CONTRACT or file.requires is None:
            return
        why = still_needed(await self._ask(slot_versions), Version.parse(file.requires))
        if why:
            raise Failed(
                Failure(
                    f"not applied: {why}",
                    "Deploy the required version to that slot and say so (`turnout versions set`), or give the way"
                    f" back up (`turnout versions forget`); then `turnout migrations retry {plan}`.",
                    code="still-needed",
                    file=file.path,
                )
            )

    def _not_done(
        self, mine: Claim, error: Fenced | Failed | Again, said: structlog.stdlib.BoundLogger
    ) -> Callable[[Connection], Awaitable[bool]]:
        if isinstance(error, Failed):
            return self._failed(mine, error.failure, said)
        if isinstance(error, Again):
            return self._again(mine, error, said)
        return self._fenced(mine, error, said)

    def _failed(
        self, mine: Claim, failure: Failure, said: structlog.stdlib.BoundLogger
    ) -> Callable[[Connection], Awaitable[bool]]:
        said.error(
            "failed", code=failure.code, sqlstate=failure.sqlstate, file=failure.file,
            line=failure.line,
        )  # fmt: skip
        return lambda c: jobs.fail(c, mine, failure)

    def _again(
        self, mine: Claim, error: Again, said: structlog.stdlib.BoundLogger
    ) -> Callable[[Connection], Awaitable[bool]]:
        """Another try, unless there were enough."""
        settings, tries = self._settings, mine.tries + 1
        failure = error.failure or Failure(
            error.message, remedy(error.sqlstate, mine.plan), "target", error.sqlstate
        )
        if tries >= settings.tries:
            return self._failed(mine, failure, said)
        pause_s = backoff_s(
            tries, settings.backoff_s, settings.backoff_max_s, self._chance.random()
        )
        said.info("tries again", sqlstate=error.sqlstate, tries=tries, after_s=round(pause_s, 2))
        return lambda c: jobs.give_back(c, mine, failure, pause_s, counts=True)

    def _fenced(
        self, mine: Claim, error: Fenced, said: structlog.stdlib.BoundLogger
    ) -> Callable[[Connection], Awaitable[bool]]:
        """Whoever came after has the job, and this one's word counts for nothing.

        Unless the ledger itself is behind its targets, because it was restored: then it catches up.
        """
        said.warning("fenced", reason=str(error))
        tell = self._again(mine, Again("", str(error)), said)

        async def catch_up(connection: Connection) -> bool:
            await jobs.catch_up(connection, mine, error.fence)
            return await tell(connection)

        return catch_up

    async def _plan(self, plan: str) -> tuple[File, ...]:
        if plan not in self._files:
            found = await self._ask(lambda connection: files_of(connection, plan))
            while len(self._files) >= PLANS_KEPT:
                del self._files[next(iter(self._files))]
            self._files[plan] = found
        return self._files[plan]

    async def _tell(self, say: Callable[[Connection], Awaitable[bool]]) -> None:
        if not await self._ask(say):
            log.warning("the ledger has given the job to somebody else")

    async def _ask(self, ask: Callable[[Connection], Awaitable[Told]]) -> Told:
        """Ask the ledger until it answers."""
        while True:
            try:
                async with self._database.connection() as connection:
                    answer = await ask(connection)
            except DatabaseUnavailableError as error:
                self._away(error)
                await asyncio.sleep(AGAIN_S)
            else:
                self._is_away = False
                return answer

    def _away(self, error: DatabaseUnavailableError) -> None:
        """Say once that the ledger can't be reached."""
        if not self._is_away:
            log.warning("the ledger can't be reached", fault=str(error))
        self._is_away = True

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._settings.lease_s / RENEWALS)
            leases = list(self._leases.values())
            if not leases:
                continue
            try:
                async with self._database.connection() as connection:
                    ours = await jobs.renew(
                        connection, [lease.held for lease in leases], self._settings.lease_s
                    )
            except DatabaseUnavailableError:
                # Nobody else can claim meanwhile; the target's fence is there for the rest.
                continue
            for lease in leases:
                if self._leases.get(lease.mine.id) is not lease:
                    continue  # ended while we asked
                if lease.mine.id not in ours:
                    lease.lose()
                elif not ours[lease.mine.id]:
                    lease.make_room()


async def advance(database: Database, look_s: float) -> None:
    """Take back what has lapsed and move on what is due, for ever. Runs wherever somebody can."""
    while True:
        try:
            async with database.connection() as connection:
                lapsed = await jobs.lapse(connection)
                if lapsed:
                    log.warning("workers fell silent", jobs=lapsed)
                await settle_all(connection)
        except DatabaseUnavailableError:
            log.debug("the ledger can't be reached")
        await asyncio.sleep(look_s)


async def _succeed(connection: Connection, mine: Claim, file: File, result: Result) -> bool:
    """What was not looked at before is told whole, as is what was found."""
    event = JobEvent.FOUND if result.found else JobEvent.APPLIED
    whole = result.found or not mine.known
    applied = result.applied.values() if whole else [result.applied[file.key]]
    return await jobs.succeed(connection, mine, event, result.duration_ms, applied, all_of_it=whole)


def _deadly(mine: Claim) -> Failure:
    return Failure(
        f"{mine.deaths} workers died while they were at it",
        f"See the workers' logs and memory; then `turnout migrations retry {mine.plan}`.",
        code="workers-died",
    )
