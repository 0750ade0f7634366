"""Jobs: claimed, held by their leases, ended, given back, and taken from workers that fell silent.

Rules:
1. One statement claims: it takes a free place of a server, the first job that may run there, skips
   what others are claiming, and raises the target's fence. The indexes let no second one through.
2. A worker's word about a job counts only with the job's fence, while it is running.
3. Leases run by the database's clock, and nobody else's.
4. A claim may have waited for a lock: the plan is looked at once more when the job is claimed, so
   that whoever has paused it and sees nothing run can rely on that.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import asyncpg
import msgspec

from admin.migrations.faults import Failure, tells_all
from admin.migrations.files import Applied
from admin.migrations.ledger.waves import settle
from admin.migrations.states import JOBS, JobEvent, JobState
from admin.migrations.targets import Target
from admin.routing.database import Connection

_CLAIM: Final = """
WITH places AS (
    SELECT known.server, free.place
      FROM unnest($2::text[], $3::integer[]) AS known(server, at_once),
           LATERAL (
               SELECT number AS place FROM generate_series(1, known.at_once) AS number
                WHERE NOT EXISTS (
                    SELECT FROM turnout.migration_jobs busy
                     WHERE busy.state = 'running' AND busy.server = known.server
                       AND busy.place = number
                )
                ORDER BY random() LIMIT 1
           ) free
), next AS (
    SELECT job.id, job.target, places.place
      FROM places, turnout.migration_plans plan,
           LATERAL (
               SELECT mine.id, mine.target FROM turnout.migration_jobs mine
                WHERE mine.plan = plan.name AND mine.server = places.server
                  AND mine.state = 'queued' AND mine.wave <= plan.wave
                  AND mine.not_before <= now()
                  AND NOT EXISTS (
                      SELECT FROM turnout.migration_targets gone
                       WHERE gone.name = mine.target AND gone.retired_at IS NOT NULL
                  )
                  AND NOT EXISTS (
                      SELECT FROM turnout.migration_jobs busy
                       WHERE busy.target = mine.target AND busy.state = 'running'
                  )
                  AND mine.position = (
                      SELECT min(first.position) FROM turnout.migration_jobs first
                       WHERE first.plan = mine.plan AND first.target = mine.target
                         AND first.state = 'queued'
                  )
                ORDER BY mine.wave, mine.rank, mine.position LIMIT 1
                  FOR UPDATE SKIP LOCKED
           ) job
     WHERE plan.state = 'running'
     ORDER BY plan.priority DESC, plan.number LIMIT 1
), fenced AS (
    UPDATE turnout.migration_targets target SET fence = target.fence + 1
      FROM next WHERE target.name = next.target AND target.retired_at IS NULL
    RETURNING target.*
)
UPDATE turnout.migration_jobs job
   SET state = 'running', worker = $1, place = next.place, fence = fenced.fence,
       lease_until = clock_timestamp() + make_interval(secs => $4), begun_at = clock_timestamp(),
       ended_at = NULL, rows_done = NULL, rows_total = NULL
  FROM next, fenced
 WHERE job.id = next.id
RETURNING job.id, job.plan, job.position, job.wave, job.tries, job.deaths, job.fence, job.target,
          fenced.tenant, fenced.server, fenced.database, fenced.schema, fenced.looked_at
"""
_RENEW: Final = """
UPDATE turnout.migration_jobs job
   SET lease_until = clock_timestamp() + make_interval(secs => $3),
       rows_done = coalesce(held.rows_done, job.rows_done),
       rows_total = coalesce(held.rows_total, job.rows_total)
  FROM unnest($1::bigint[], $2::bigint[], $4::bigint[], $5::bigint[])
       AS held(id, fence, rows_done, rows_total), turnout.migration_plans plan
 WHERE job.id = held.id AND job.fence = held.fence AND job.state = 'running'
   AND plan.name = job.plan
RETURNING job.id, plan.state = 'running' AS may_go_on
"""
_END: Final = """
WITH ended AS (
    UPDATE turnout.migration_jobs
       SET state = $3, lease_until = NULL, ended_at = clock_timestamp(), duration_ms = $4,
           error = $5::jsonb, tries = tries + $6,
           touched = touched AND NOT ($11 AND EXISTS (
               SELECT FROM turnout.migration_files file
                WHERE file.plan = migration_jobs.plan AND file.position = migration_jobs.position
                  AND file.transactional)),
           not_before = clock_timestamp() + make_interval(secs => $7)
     WHERE id = $1 AND fence = $2 AND state = 'running'
    RETURNING *
), told AS (
    INSERT INTO turnout.migration_history
        (actor, event, plan, target, key, wave, fence, duration_ms, detail)
    SELECT ended.worker, $8, ended.plan, ended.target, file.key, ended.wave, ended.fence,
           ended.duration_ms, ended.error
      FROM ended JOIN turnout.migration_files file USING (plan, position)
), looked AS (
    UPDATE turnout.migration_targets target SET looked_at = clock_timestamp()
      FROM ended WHERE target.name = ended.target AND target.fence = ended.fence
       AND $9::jsonb IS NOT NULL
), here AS (
    -- Another fence: the target lies elsewhere by now, of which this says nothing.
    SELECT ended.target FROM ended JOIN turnout.migration_targets target
                                     ON target.name = ended.target AND target.fence = ended.fence
), had AS (
    INSERT INTO turnout.migration_applied AS mine
        (target, key, version, name, kind, phase, requires, checksum, plan, fence, applied_at,
         duration_ms)
    SELECT here.target, found.* FROM here, jsonb_to_recordset($9::jsonb) AS found(
               key text, version text, name text, kind text, phase text, requires text,
               checksum text, plan text, fence bigint, applied_at timestamptz,
               duration_ms double precision)
    ON CONFLICT (target, key) DO UPDATE
       SET name = excluded.name, phase = excluded.phase, requires = excluded.requires,
           checksum = excluded.checksum, plan = excluded.plan, fence = excluded.fence,
           applied_at = excluded.applied_at, duration_ms = excluded.duration_ms
     -- All of it: what the ledger had may be of another place, whose fences don't compare.
     WHERE mine.fence <= excluded.fence OR $10
), gone AS (
    DELETE FROM turnout.migration_applied stale USING here
     WHERE $10 AND stale.target = here.target
       AND NOT EXISTS (SELECT FROM jsonb_array_elements($9::jsonb) found
                        WHERE found ->> 'key' = stale.key)
)
SELECT plan, wave, target, position FROM ended
"""
_BLOCK: Final = """
UPDATE turnout.migration_jobs SET state = 'blocked'
 WHERE plan = $1 AND target = $2 AND position > $3 AND state = 'queued'
"""
_LAPSE: Final = """
WITH lapsed AS (
    SELECT id FROM turnout.migration_jobs
     WHERE state = 'running' AND lease_until < clock_timestamp()
       FOR UPDATE SKIP LOCKED
), freed AS (
    UPDATE turnout.migration_jobs job
       SET state = 'queued', lease_until = NULL, deaths = job.deaths + 1
      FROM lapsed WHERE job.id = lapsed.id
    RETURNING job.*
)
INSERT INTO turnout.migration_history (actor, event, plan, target, key, wave, fence)
SELECT freed.worker, 'lapsed', freed.plan, freed.target, file.key, freed.wave, freed.fence
  FROM freed JOIN turnout.migration_files file USING (plan, position)
RETURNING plan
"""
_CATCH_UP: Final = """
UPDATE turnout.migration_targets target SET fence = $3
  FROM turnout.migration_jobs job
 WHERE job.id = $1 AND job.fence = $2 AND job.state = 'running'
   AND target.name = job.target AND target.fence < $3
"""
_TOUCH: Final = """
UPDATE turnout.migration_jobs SET touched = true WHERE id = $1 AND fence = $2 AND state = 'running'
"""
# The plan's row is waited for, so that a cancellation under way is seen.
_CANCEL_LEFT: Final = """
WITH over AS (
    SELECT name, state FROM turnout.migration_plans WHERE name = ANY($1) FOR SHARE
)
UPDATE turnout.migration_jobs SET state = 'cancelled'
  FROM over WHERE plan = over.name AND over.state = 'cancelled' AND migration_jobs.state = 'queued'
"""
_GOES_ON: Final = "SELECT state = 'running' FROM turnout.migration_plans WHERE name = $1"
_LOCK_PLAN: Final = "SELECT FROM turnout.migration_plans WHERE name = $1 FOR UPDATE"
_CLAIM_TRIES: Final = 5
STATES: Final[Mapping[JobEvent, JobState]] = {
    event: state for (_, event), state in JOBS.items() if state is not JobState.RUNNING
}


@dataclass(frozen=True, slots=True)
class Claim:
    """A job in a worker's hands. tries, deaths: how often it was tried again, and lost its worker.

    known: whether the ledger has looked at the target before.
    """

    id: int
    plan: str
    position: int
    wave: int
    tries: int
    deaths: int
    fence: int
    target: Target
    known: bool


@dataclass(frozen=True, slots=True)
class Held:
    """A job whose lease is to be renewed. rows_done, rows_total: how far its backfill is."""

    id: int
    fence: int
    rows_done: int | None = None
    rows_total: int | None = None


async def claim(
    connection: Connection, worker: str, servers: Mapping[str, int], lease_s: float
) -> Claim | None:
    """The next job that may run on one of the servers, now this worker's; None: there is none.

    servers: how many of each server's targets may be at work.
    """
    for _ in range(_CLAIM_TRIES):
        try:
            row = await connection.fetchrow(
                _CLAIM, worker, list(servers), list(servers.values()), lease_s
            )
        except asyncpg.UniqueViolationError:
            continue  # another worker was quicker to this place, or to this target
        if row is None:
            return None
        mine = _claim(row)
        if await connection.fetchval(_GOES_ON, mine.plan):
            return mine
        await give_back(connection, mine, None, 0.0, counts=False)
        return None
    return None


async def touch(connection: Connection, mine: Claim) -> bool:
    """From now on something of it may be in its target. As `succeed`."""
    return await connection.execute(_TOUCH, mine.id, mine.fence) != "UPDATE 0"


async def renew(connection: Connection, held: Sequence[Held], lease_s: float) -> dict[int, bool]:
    """Renew the leases. The jobs that are still this worker's, and whether their plans go on."""
    rows = await connection.fetch(
        _RENEW,
        [each.id for each in held],
        [each.fence for each in held],
        lease_s,
        [each.rows_done for each in held],
        [each.rows_total for each in held],
    )
    return {row["id"]: row["may_go_on"] for row in rows}


async def succeed(
    connection: Connection,
    mine: Claim,
    event: JobEvent,
    duration_ms: float,
    applied: Collection[Applied],
    *,
    all_of_it: bool,
) -> bool:
    """The target has it. event: APPLIED or FOUND. False: the job is no longer this worker's.

    all_of_it: `applied` is all that the target has, and the ledger forgets the rest.
    """
    rows = msgspec.json.encode(list(applied)).decode()
    return await _end(connection, mine, event, duration_ms, applied=rows, all_of_it=all_of_it)


async def give_back(
    connection: Connection, mine: Claim, failure: Failure | None, after_s: float, *, counts: bool
) -> bool:
    """It is to be run again, by whomever, after a while. counts: it was a try. As `succeed`."""
    given = await _end(
        connection,
        mine,
        JobEvent.GIVEN_BACK,
        None,
        failure=failure,
        after_s=after_s,
        tried=int(counts),
    )
    if given:
        await connection.execute(_CANCEL_LEFT, [mine.plan])
    return given


async def catch_up(connection: Connection, mine: Claim, fence: int) -> None:
    """The job's target has seen this fence: the next claim gives out a higher one."""
    await connection.execute(_CATCH_UP, mine.id, mine.fence, fence)


async def fail(connection: Connection, mine: Claim, failure: Failure) -> bool:
    """It has failed: its target's later ones are blocked, its wave may be over. As `succeed`."""
    async with connection.transaction():
        await connection.execute(_LOCK_PLAN, mine.plan)
        ended = await _end(connection, mine, JobEvent.FAILED, None, failure=failure, tried=1)
        if ended:
            await connection.execute(_BLOCK, mine.plan, mine.target.name, mine.position)
            await settle(connection, mine.plan)
    return ended


async def lapse(connection: Connection) -> int:
    """Take back what lost its worker; how many."""
    plans = [row["plan"] for row in await connection.fetch(_LAPSE)]
    if plans:
        await connection.execute(_CANCEL_LEFT, plans)
    return len(plans)


async def _end(  # noqa: PLR0913 - the columns that an end fills
    connection: Connection,
    mine: Claim,
    event: JobEvent,
    duration_ms: float | None,
    *,
    failure: Failure | None = None,
    tried: int = 0,
    after_s: float = 0.0,
    applied: str | None = None,
    all_of_it: bool = False,
) -> bool:
    error = None if failure is None else msgspec.json.encode(failure).decode()
    rolled_back = failure is not None and tells_all(failure.sqlstate)
    row = await connection.fetchrow(
        _END,
        *(mine.id, mine.fence, str(STATES[event]), duration_ms, error, tried, after_s),
        *(str(event), applied, all_of_it, rolled_back),
    )
    return row is not None


def _claim(row: asyncpg.Record) -> Claim:
    target = Target(row["target"], row["tenant"], row["server"], row["database"], row["schema"])
    return Claim(
        *(row["id"], row["plan"], row["position"], row["wave"], row["tries"], row["deaths"]),
        *(row["fence"], target, row["looked_at"] is not None),
    )
