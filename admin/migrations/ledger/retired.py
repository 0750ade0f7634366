"""Targets that are gone: retired in the ledger, and brought back.

Rules:
1. What is retired counts nowhere: no plan takes it, no job of it is claimed, no slot's version is
   compared with it. Its rows and its history stay, and all of it counts again once it is brought back.
2. A target at which a migration runs is not retired: nobody would know how that ended.
3. Locks are taken in the order of those who claim and who give plans a word: the plans, the jobs, the
   target. So whoever claims a job either is seen here, or sees that the target is retired.
"""

import json
import re
from typing import Any, Final

from admin.migrations.ledger.waves import settle
from admin.migrations.states import JOBS, JobEvent, NotNowError, sources
from admin.routing.audit import Author
from admin.routing.database import Connection

_NAME: Final = re.compile(r"[a-z0-9_.-]{1,63}")
"""As the ledger's own check has it."""
_HOLD_PLANS: Final = """
SELECT name FROM turnout.migration_plans plan
 WHERE EXISTS (SELECT FROM turnout.migration_jobs
                WHERE plan = plan.name AND target = $1 AND state = ANY($2))
 ORDER BY number FOR UPDATE
"""
_CANCEL: Final = """
UPDATE turnout.migration_jobs SET state = 'cancelled' WHERE target = $1 AND state = ANY($2)
"""
_CANCEL_OF_PLAN: Final = """
UPDATE turnout.migration_jobs job SET state = 'cancelled'
  FROM turnout.migration_targets target
 WHERE job.plan = $1 AND job.state = ANY($2)
   AND target.name = job.target AND target.retired_at IS NOT NULL
"""
_HOLD: Final = "SELECT retired_at FROM turnout.migration_targets WHERE name = $1 FOR UPDATE"
_RUNS: Final = """
SELECT plan FROM turnout.migration_jobs WHERE target = $1 AND state = 'running'
"""
_RETIRE: Final = """
UPDATE turnout.migration_targets
   SET retired_at = clock_timestamp(), retired_by = $2, retired_why = $3 WHERE name = $1
"""
_BRING_BACK: Final = """
UPDATE turnout.migration_targets
   SET retired_at = NULL, retired_by = NULL, retired_why = NULL WHERE name = $1
"""
_NAMES: Final = "SELECT name FROM turnout.migration_targets WHERE retired_at IS NOT NULL"
_TELL: Final = """
INSERT INTO turnout.migration_history (actor, event, plan, target, detail)
VALUES ($1, $2, '', $3, $4::jsonb)
"""
_AUDIT: Final = """
INSERT INTO turnout.audit (actor, role, action, to_state, outcome, request_id)
VALUES ($1, $2, $3, $4::jsonb, 'committed', $5)
"""
_WAITING: Final = sources(JOBS, JobEvent.CANCELLED)


async def names(connection: Connection) -> frozenset[str]:
    """The targets that are retired."""
    return frozenset(row["name"] for row in await connection.fetch(_NAMES))


async def retire(connection: Connection, target: str, why: str, author: Author) -> bool:
    """It is gone. False: the ledger knows no such target. NotNowError: it is, or a migration runs there."""
    if not _NAME.fullmatch(target):
        return False
    async with connection.transaction():
        plans = [row["name"] for row in await connection.fetch(_HOLD_PLANS, target, _WAITING)]
        await connection.execute(_CANCEL, target, _WAITING)
        held = await connection.fetchrow(_HOLD, target)
        if held is None:
            return False
        if held["retired_at"] is not None:
            raise NotNowError("it is retired already")
        running = await connection.fetchval(_RUNS, target)
        if running is not None:
            raise NotNowError(f"a migration of the plan {running} runs there: wait for its end")
        await connection.execute(_RETIRE, target, author.actor, why)
        for plan in plans:
            await settle(connection, plan)
        await _note(connection, "retired", "migration-retire", target, why, author)
    return True


async def bring_back(connection: Connection, target: str, why: str, author: Author) -> bool:
    """It is there again. False: the ledger knows no such target. NotNowError: it is not retired."""
    if not _NAME.fullmatch(target):
        return False
    async with connection.transaction():
        held = await connection.fetchrow(_HOLD, target)
        if held is None:
            return False
        if held["retired_at"] is None:
            raise NotNowError("it is not retired")
        await connection.execute(_BRING_BACK, target)
        await _note(connection, "brought-back", "migration-bring-back", target, why, author)
    return True


async def cancel_of(connection: Connection, plan: str) -> None:
    """Nothing of the plan waits for a target that is retired. The caller's transaction."""
    await connection.execute(_CANCEL_OF_PLAN, plan, _WAITING)


async def _note(
    connection: Connection, event: str, action: str, target: str, why: str, author: Author
) -> None:
    told: dict[str, Any] = {"why": why}
    await connection.execute(_TELL, author.actor, event, target, json.dumps(told))
    told["target"] = target
    await connection.execute(
        _AUDIT, author.actor, author.role, action, json.dumps(told), author.request_id
    )
