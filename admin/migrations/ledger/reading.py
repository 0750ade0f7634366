"""What the ledger says of plans, jobs and targets: for those who look."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from admin.migrations.ledger.waves import stand
from admin.migrations.waves import Wave
from admin.routing.database import Connection

RATE_S: Final = 60
"""Over how long a rate is measured."""
_PLAN: Final = "SELECT * FROM turnout.migration_plans WHERE name = $1"
_PLANS: Final = """
SELECT name, number, state, reason, to_version, targets, made_at, begun_at, ended_at
  FROM turnout.migration_plans WHERE number < $1 ORDER BY number DESC LIMIT $2
"""
_NAMES: Final = "SELECT number, name FROM turnout.migration_waves WHERE plan = $1"
_RATE: Final = """
SELECT count(*) FILTER (WHERE ended_at > now() - make_interval(secs => $2))::float8
           / greatest(least($2, extract(epoch FROM now() - min(begun_at))), 1) AS rate
  FROM turnout.migration_jobs
 WHERE plan = $1 AND state IN ('done', 'skipped', 'failed') AND begun_at IS NOT NULL
"""
_RUNS: Final = """
SELECT key, path, phase, requires, transactional FROM turnout.migration_files
 WHERE plan = $1 AND runs ORDER BY position
"""
_FAILED: Final = """
SELECT job.target, file.key, job.wave, job.tries, job.error
  FROM turnout.migration_jobs job JOIN turnout.migration_files file USING (plan, position)
 WHERE job.plan = $1 AND job.state = 'failed' ORDER BY job.ended_at, job.id LIMIT $2
"""
_HISTORY: Final = """
SELECT * FROM turnout.migration_history
 WHERE id < $1 AND ($2::text IS NULL OR plan = $2) AND ($3::text IS NULL OR target = $3)
 ORDER BY id DESC LIMIT $4
"""
_OF_TARGETS: Final = """
SELECT target.name, target.tenant, target.server, target.database, target.schema, target.looked_at,
       target.retired_at, target.retired_by, target.retired_why,
       array(SELECT key FROM turnout.migration_applied WHERE target = target.name ORDER BY applied_at)
           AS applied
  FROM turnout.migration_targets target
 WHERE {which}
"""
_TARGETS: Final = (
    _OF_TARGETS.format(which="target.name > $1 AND ($2::text IS NULL OR target.tenant = $2)")
    + " ORDER BY target.name LIMIT $3"
)
_TARGET: Final = _OF_TARGETS.format(which="target.name = $1")
_STATES: Final = """
SELECT plan.name AS plan, plan.state, plan.reason, plan.wave,
       count(job.id) FILTER (WHERE job.state IN ('done', 'skipped')) AS done,
       count(job.id) FILTER (WHERE job.state = 'failed') AS failed, count(job.id) AS jobs
  FROM turnout.migration_plans plan LEFT JOIN turnout.migration_jobs job ON job.plan = plan.name
 WHERE plan.moved_at > now() - interval '1 hour' OR plan.state = 'running'
 GROUP BY plan.name
"""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a plan stands. rate: jobs that ended in a second, of late. failed: the first ones."""

    row: Mapping[str, Any]
    waves: tuple[Wave, ...]
    names: Mapping[int, str]
    rate: float
    runs: tuple[Mapping[str, Any], ...]
    failed: tuple[Mapping[str, Any], ...]


async def plan(connection: Connection, name: str, failures: int) -> Standing | None:
    """How this plan stands; None: there is none of this name."""
    row = await connection.fetchrow(_PLAN, name)
    if row is None:
        return None
    names = {each["number"]: each["name"] for each in await connection.fetch(_NAMES, name)}
    return Standing(
        dict(row),
        tuple(await stand(connection, name)),
        names,
        await connection.fetchval(_RATE, name, float(RATE_S)) or 0.0,
        tuple(dict(each) for each in await connection.fetch(_RUNS, name)),
        tuple(_with(each, "error") for each in await connection.fetch(_FAILED, name, failures)),
    )


async def plans(connection: Connection, before: int, limit: int) -> list[dict[str, Any]]:
    """Plans, newest first. before: only those with a smaller number."""
    return [_dated(dict(row)) for row in await connection.fetch(_PLANS, before, limit)]


async def history(
    connection: Connection, before: int, of_plan: str | None, target: str | None, limit: int
) -> list[dict[str, Any]]:
    """What happened, newest first. before: only rows with a smaller id."""
    rows = await connection.fetch(_HISTORY, before, of_plan, target, limit)
    return [_dated(_with(row, "detail")) for row in rows]


async def known_targets(
    connection: Connection, after: str, tenant: str | None, limit: int
) -> list[dict[str, Any]]:
    """Targets by name, and what each has."""
    return [_dated(dict(row)) for row in await connection.fetch(_TARGETS, after, tenant, limit)]


async def known_target(connection: Connection, name: str) -> dict[str, Any] | None:
    """This one; None: the ledger knows none of this name."""
    row = await connection.fetchrow(_TARGET, name)
    return None if row is None else _dated(dict(row))


async def states(connection: Connection) -> dict[str, dict[str, Any]]:
    """How the plans of late stand, by name."""
    return {row["plan"]: dict(row) for row in await connection.fetch(_STATES)}


def _with(row: Any, name: str) -> dict[str, Any]:
    """The row, with this column read as JSON."""
    found = dict(row)
    found[name] = None if found[name] is None else json.loads(found[name])
    return found


def _dated(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in row.items()
    }
