"""What the ledger says of plans, jobs, targets and of what has happened, page by page."""

import json
from collections.abc import Mapping
from typing import Any, Final

import asyncpg

from admin.routing.database import Connection

RECENT_S: Final = 30.0
"""The rate is that of the last so many seconds."""
_PLANS: Final = """
SELECT * FROM turnout.migration_plans
 WHERE ($1::text IS NULL OR name = $1) AND number < $2 ORDER BY number DESC LIMIT $3
"""
_FILES: Final = """
SELECT key, name, kind, phase, requires, path, checksum, transactional
  FROM turnout.migration_files WHERE plan = $1 AND runs ORDER BY position
"""
_WAVES: Final = """
SELECT wave.number, wave.name, wave.state, wave.opened_at, wave.ended_at,
       count(job.id) AS jobs, count(DISTINCT job.target) AS targets,
       count(job.id) FILTER (WHERE job.state IN ('done', 'skipped')) AS done,
       count(job.id) FILTER (WHERE job.state = 'running') AS running,
       count(job.id) FILTER (WHERE job.state = 'failed') AS failed,
       count(job.id) FILTER (WHERE job.state = 'blocked') AS blocked,
       count(job.id) FILTER (WHERE job.state = 'queued') AS queued,
       count(job.id) FILTER (WHERE job.state = 'cancelled') AS cancelled,
       coalesce(sum(job.rows_done), 0)::bigint AS rows_done,
       coalesce(sum(job.rows_total), 0)::bigint AS rows_total
  FROM turnout.migration_waves wave
  LEFT JOIN turnout.migration_jobs job ON job.plan = wave.plan AND job.wave = wave.number
 WHERE wave.plan = $1
 GROUP BY wave.plan, wave.number ORDER BY wave.number
"""
_RATE: Final = """
SELECT count(*) / greatest(least($2::float8, extract(epoch FROM clock_timestamp() - plan.begun_at)), 0.1)
  FROM turnout.migration_plans plan
  JOIN turnout.migration_jobs job ON job.plan = plan.name
 WHERE plan.name = $1 AND job.state IN ('done', 'skipped')
   AND job.ended_at > clock_timestamp() - make_interval(secs => $2::float8)
 GROUP BY plan.name
"""
_JOBS: Final = """
SELECT job.id, job.target, target.tenant, file.key, file.path, job.wave, job.state, job.worker,
       job.fence, job.tries, job.deaths, job.begun_at, job.ended_at, job.duration_ms, job.rows_done,
       job.rows_total, job.error
  FROM turnout.migration_jobs job
  JOIN turnout.migration_files file USING (plan, position)
  JOIN turnout.migration_targets target ON target.name = job.target
 WHERE job.plan = $1 AND ($2::text IS NULL OR job.state = $2) AND job.id > $3
 ORDER BY job.id LIMIT $4
"""
_HISTORY: Final = """
SELECT id, at, actor, event, plan, target, key, wave, fence, duration_ms, detail
  FROM turnout.migration_history
 WHERE id < $1 AND ($2::text IS NULL OR plan = $2) AND ($3::text IS NULL OR target = $3)
 ORDER BY id DESC LIMIT $4
"""
_TARGETS: Final = """
SELECT target.name, target.tenant, target.server, target.database, target.schema, target.fence,
       target.looked_at,
       coalesce((SELECT array_agg(key ORDER BY applied_at, key) FROM turnout.migration_applied
                  WHERE target = target.name), '{}') AS applied
  FROM turnout.migration_targets target WHERE target.name > $1 ORDER BY target.name LIMIT $2
"""
_SUMMARIES: Final = """
SELECT plan.name AS plan, plan.state, plan.wave, plan.reason,
       count(job.id) AS jobs,
       count(job.id) FILTER (WHERE job.state IN ('done', 'skipped')) AS done,
       count(job.id) FILTER (WHERE job.state = 'running') AS running,
       count(job.id) FILTER (WHERE job.state = 'failed') AS failed
  FROM turnout.migration_plans plan LEFT JOIN turnout.migration_jobs job ON job.plan = plan.name
 WHERE plan.state IN ('running', 'paused', 'stopped') OR plan.moved_at > now() - interval '1 minute'
 GROUP BY plan.name
"""
Row = dict[str, Any]


async def plans(connection: Connection, name: str | None, before: int, limit: int) -> list[Row]:
    """Plans, newest first, or the one of this name. before: only those with a smaller number."""
    return [_plain(row) for row in await connection.fetch(_PLANS, name, before, limit)]


async def whole(connection: Connection, plan: Row) -> Row:
    """The plan with its files, its waves, its rate and the time that is left."""
    name = plan["name"]
    waves = [_plain(row) for row in await connection.fetch(_WAVES, name)]
    rate = await connection.fetchval(_RATE, name, RECENT_S) or 0.0
    left = sum(wave["queued"] + wave["running"] for wave in waves)
    files = [_plain(row) for row in await connection.fetch(_FILES, name)]
    is_running = plan["state"] == "running"
    return {
        **plan,
        "files": files,
        "waves": waves,
        "rate": round(rate, 2) if is_running else 0.0,
        "left_s": round(left / rate, 1) if is_running and rate else None,
    }


async def jobs(
    connection: Connection, plan: str, state: str | None, after: int, limit: int
) -> list[Row]:
    """Jobs of a plan, in order of their numbers. after: only those with a larger one."""
    return [_plain(row) for row in await connection.fetch(_JOBS, plan, state, after, limit)]


async def history(
    connection: Connection, plan: str | None, target: str | None, before: int, limit: int
) -> list[Row]:
    """What has happened, newest first."""
    return [_plain(row) for row in await connection.fetch(_HISTORY, before, plan, target, limit)]


async def targets(connection: Connection, after: str, limit: int) -> list[Row]:
    """Targets by name, each with what it has."""
    return [_plain(row) for row in await connection.fetch(_TARGETS, after, limit)]


async def summaries(connection: Connection) -> dict[str, Mapping[str, Any]]:
    """The plans that are under way, or have just ended, by name: for the live feed."""
    return {row["plan"]: dict(row) for row in await connection.fetch(_SUMMARIES)}


def _plain(row: asyncpg.Record) -> Row:
    """The row as JSON has it."""
    found: Row = dict(row)
    for name, value in found.items():
        if hasattr(value, "isoformat"):
            found[name] = value.isoformat()
        elif name in {"error", "detail"} and isinstance(value, str):
            found[name] = json.loads(value)
    return found
