"""Waves in PostgreSQL: how they stand, and moved on by whoever comes by.

Any worker and any admin may settle a plan, at any time, as often as it likes: what is due follows
from the rows alone (`waves.judge`), and the plan's row is held meanwhile.
"""

from collections import defaultdict
from typing import Final

from admin.migrations.states import (
    PLANS,
    WAVES,
    JobState,
    PlanEvent,
    PlanState,
    WaveEvent,
    WaveState,
    after,
)
from admin.migrations.waves import Wave, judge
from admin.routing.database import Connection

SYSTEM: Final = "system"
_RUNNING: Final = "SELECT name FROM turnout.migration_plans WHERE state = 'running'"
_HOLD: Final = """
SELECT state, failure_budget FROM turnout.migration_plans WHERE name = $1 FOR UPDATE
"""
_HOLD_FREE: Final = f"{_HOLD.rstrip()} SKIP LOCKED"
_WAVES: Final = """
SELECT number, state, forgiven FROM turnout.migration_waves WHERE plan = $1 ORDER BY number
"""
_COUNTS: Final = """
SELECT wave, state, count(*) FROM turnout.migration_jobs WHERE plan = $1 GROUP BY wave, state
"""
_MOVE_WAVE: Final = """
UPDATE turnout.migration_waves
   SET state = $3,
       opened_at = CASE WHEN $3 = 'open' THEN coalesce(opened_at, clock_timestamp()) ELSE opened_at END,
       ended_at = CASE WHEN $3 = 'done' THEN clock_timestamp() END,
       forgiven = coalesce($4, forgiven)
 WHERE plan = $1 AND number = $2
"""
_MOVE_PLAN: Final = """
UPDATE turnout.migration_plans
   SET state = $2, wave = greatest(wave, $3), reason = $4, moved_at = clock_timestamp(),
       begun_at = CASE WHEN $2 = 'running' THEN coalesce(begun_at, clock_timestamp()) ELSE begun_at END,
       ended_at = CASE WHEN $2 IN ('done', 'cancelled') THEN clock_timestamp() END
 WHERE name = $1
"""
_TELL: Final = """
INSERT INTO turnout.migration_history (actor, event, plan, wave) VALUES ($1, $2, $3, $4)
"""


async def settle_all(connection: Connection) -> list[str]:
    """Move on what is due of all plans that run; their names. Those that others hold are theirs."""
    moved = []
    for row in await connection.fetch(_RUNNING):
        async with connection.transaction():
            if await settle(connection, row["name"], waits=False):
                moved.append(row["name"])
    return moved


async def settle(connection: Connection, plan: str, *, waits: bool = True) -> bool:
    """Move on what is due of the plan; whether something was. In a transaction."""
    held = await connection.fetchrow(_HOLD if waits else _HOLD_FREE, plan)
    if held is None or held["state"] != PlanState.RUNNING:
        return False
    moved = False
    # What ends a wave may open the next, and that one may be over at once.
    while due := judge(waves := await stand(connection, plan), held["failure_budget"]):
        states = {wave.number: wave.state for wave in waves}
        for number, event in due:
            await move_wave(connection, plan, number, after(WAVES, states[number], event))
            await tell(connection, SYSTEM, f"wave-{event}", plan, number)
            if event is WaveEvent.OPENED:
                await move_plan(connection, plan, PlanState.RUNNING, number, "")
        moved = True
        if any(event is WaveEvent.SPENT for _, event in due):
            await _stop(connection, plan, waves[due[0][0]])
            return True
    if all(wave.state is WaveState.DONE for wave in waves):
        state = after(PLANS, PlanState.RUNNING, PlanEvent.FINISHED)
        await move_plan(connection, plan, state, len(waves) - 1, "")
        await tell(connection, SYSTEM, str(PlanEvent.FINISHED), plan)
        return True
    return moved


async def stand(connection: Connection, plan: str) -> list[Wave]:
    """How the plan's waves stand, in order."""
    counts: dict[int, dict[JobState, int]] = defaultdict(dict)
    for row in await connection.fetch(_COUNTS, plan):
        counts[row["wave"]][JobState(row["state"])] = row["count"]
    return [
        Wave(row["number"], WaveState(row["state"]), counts[row["number"]], row["forgiven"])
        for row in await connection.fetch(_WAVES, plan)
    ]


async def move_wave(
    connection: Connection, plan: str, number: int, state: WaveState, forgiven: int | None = None
) -> None:
    """The wave is in this state now."""
    await connection.execute(_MOVE_WAVE, plan, number, str(state), forgiven)


async def move_plan(
    connection: Connection, plan: str, state: PlanState, wave: int, reason: str
) -> None:
    """The plan is in this state now, and has come to this wave."""
    await connection.execute(_MOVE_PLAN, plan, str(state), wave, reason)


async def tell(
    connection: Connection, actor: str, event: str, plan: str, wave: int | None = None
) -> None:
    """Add to the history."""
    await connection.execute(_TELL, actor, event, plan, wave)


async def _stop(connection: Connection, plan: str, wave: Wave) -> None:
    state = after(PLANS, PlanState.RUNNING, PlanEvent.SPENT)
    reason = f"{wave.failures} failed in wave {wave.number + 1}, more than its budget allows"
    await move_plan(connection, plan, state, wave.number, reason)
    await tell(connection, SYSTEM, str(PlanEvent.SPENT), plan, wave.number)
