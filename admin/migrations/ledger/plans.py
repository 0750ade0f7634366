"""Plans: written down with their files, waves and jobs; moved by an operator's word; read back."""

import json
from collections.abc import Iterable, Mapping
from secrets import token_hex
from typing import Any, Final

import asyncpg
import msgspec

from admin.migrations.backfill import header
from admin.migrations.files import File, Statement
from admin.migrations.ledger.retired import cancel_of
from admin.migrations.ledger.waves import move_plan, move_wave, settle, stand, tell
from admin.migrations.plan import Draft, Had
from admin.migrations.states import (
    PLANS,
    WAVES,
    JobState,
    NotNowError,
    PlanEvent,
    PlanState,
    WaveEvent,
    WaveState,
    after,
)
from admin.migrations.targets import Target, TargetFault
from admin.routing.audit import Author
from admin.routing.database import Connection

_TARGETS: Final = """
WITH asked AS (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
               AS asked(name, tenant, server, database, schema)
), news AS (
    -- Thousands are as they were, and to write them again would lock each.
    SELECT asked.* FROM asked LEFT JOIN turnout.migration_targets mine USING (name)
     WHERE (mine.tenant, mine.server, mine.database, mine.schema)
           IS DISTINCT FROM (asked.tenant, asked.server, asked.database, asked.schema)
)
INSERT INTO turnout.migration_targets AS mine (name, tenant, server, database, schema, fence)
-- Another target may have been in its place: its fence has to be above whatever stands there.
SELECT news.*, (SELECT coalesce(max(fence), 0) FROM turnout.migration_targets) FROM news
ON CONFLICT (name) DO UPDATE
   SET tenant = excluded.tenant, server = excluded.server, database = excluded.database,
       schema = excluded.schema,
       -- Elsewhere now: what lies there has not been looked at, and what is still done where it was
       -- is not done here.
       looked_at = CASE WHEN (mine.server, mine.database, mine.schema)
                           = (excluded.server, excluded.database, excluded.schema)
                        THEN mine.looked_at END,
       fence = CASE WHEN (mine.server, mine.database, mine.schema)
                       = (excluded.server, excluded.database, excluded.schema)
                    THEN mine.fence ELSE greatest(mine.fence, excluded.fence) + 1 END
 WHERE (mine.tenant, mine.server, mine.database, mine.schema)
       IS DISTINCT FROM (excluded.tenant, excluded.server, excluded.database, excluded.schema)
"""
_TEXTS: Final = """
INSERT INTO turnout.migration_texts (checksum, text)
SELECT * FROM unnest($1::text[], $2::text[]) ON CONFLICT DO NOTHING
"""
_PLAN: Final = """
INSERT INTO turnout.migration_plans
    (name, priority, failure_budget, to_version, phases, targets, up_to_date, begun_by, actor, role,
     request_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9, $10)
"""
_FILE: Final = """
INSERT INTO turnout.migration_files
    (plan, position, key, version, name, kind, phase, requires, path, checksum, transactional, runs,
     statements)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13::jsonb)
"""
_WAVE: Final = "INSERT INTO turnout.migration_waves (plan, number, name) VALUES ($1, $2, $3)"
_JOBS: Final = """
INSERT INTO turnout.migration_jobs (plan, target, server, position, wave, rank)
SELECT $1, * FROM unnest($2::text[], $3::text[], $4::integer[], $5::integer[], $6::integer[])
"""
_FILES: Final = """
SELECT file.*, text.text FROM turnout.migration_files file
  JOIN turnout.migration_texts text USING (checksum)
 WHERE file.plan = $1 ORDER BY file.position
"""
_HOLD: Final = "SELECT state, wave FROM turnout.migration_plans WHERE name = $1 FOR UPDATE"
_CANCEL: Final = """
UPDATE turnout.migration_jobs SET state = 'cancelled'
 WHERE plan = $1 AND state IN ('queued', 'blocked')
"""
_RETRY: Final = """
UPDATE turnout.migration_jobs
   SET state = 'queued', tries = 0, deaths = 0, not_before = clock_timestamp()
 WHERE plan = $1 AND state IN ('failed', 'blocked')
RETURNING wave
"""
_AUTHOR: Final = """
UPDATE turnout.migration_plans SET actor = $2, role = $3, request_id = $4 WHERE name = $1
"""
_AUDIT: Final = """
INSERT INTO turnout.audit (actor, role, action, to_state, outcome, request_id)
VALUES ($1, $2, $3, $4::jsonb, 'committed', $5)
"""
_APPLIED: Final = """
SELECT applied.target, target.server, target.database, target.schema,
       array_agg(applied.key) AS keys, array_agg(applied.checksum) AS checksums
  FROM turnout.migration_applied applied
  JOIN turnout.migration_targets target ON target.name = applied.target
 WHERE target.looked_at IS NOT NULL
 GROUP BY applied.target, target.name
"""
_TYPICAL: Final = """
SELECT key, percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_ms) AS typical_ms
  FROM turnout.migration_applied WHERE plan <> '' GROUP BY key
"""


async def create(connection: Connection, made: Draft, author: Author, name: str = "") -> str:
    """Write the plan down; its name, by default a new one. Nothing of it runs yet."""
    name = name or f"m-{token_hex(6)}"
    wish = made.wish
    async with connection.transaction():
        await know(connection, [place.target for place in made.waves.places])
        files = made.files
        await connection.execute(
            _TEXTS, [each.checksum for each in files], [each.text for each in files]
        )
        await connection.execute(
            _PLAN,
            *(name, wish.priority, wish.failure_budget, wish.to, list(wish.phases)),
            *(made.targets, made.up_to_date, author.actor, author.role, author.request_id),
        )
        await connection.executemany(_FILE, [_file_row(name, each) for each in files])
        waves = [(name, number, wave) for number, wave in enumerate(made.waves.names)]
        await connection.executemany(_WAVE, waves)
        await connection.execute(_JOBS, name, *_job_columns(made))
        await cancel_of(connection, name)
        await tell(connection, author.actor, "planned", name)
        told = {"plan": name, "to": wish.to, "phases": list(wish.phases), "jobs": made.count}
        await _note(connection, "migration-plan", told, author)
    return name


async def know(connection: Connection, targets: Iterable[Target]) -> None:
    """Have the ledger know where these targets lie now. TargetFault: one has another name there."""
    rows = [(each.name, each.tenant, each.server, each.database, each.schema) for each in targets]
    if not rows:
        return
    try:
        await connection.execute(_TARGETS, *(list(column) for column in zip(*rows, strict=True)))
    except asyncpg.UniqueViolationError as error:
        _, _, place = (error.detail or "").partition("=")
        raise TargetFault(
            f"{place.partition(')')[0]}) is known to the ledger by the name of another target, which the"
            " settings don't name any more, or that is retired: give it that name back, or bring it back"
            " (`turnout migrations targets`)"
        ) from None


async def command(connection: Connection, plan: str, event: PlanEvent, author: Author) -> bool:
    """An operator's word to the plan. False: there is no such plan. NotNowError."""
    async with connection.transaction():
        held = await connection.fetchrow(_HOLD, plan)
        if held is None:
            return False
        state = PlanState(held["state"])
        to = after(PLANS, state, event)
        await move_plan(connection, plan, to, held["wave"], "")
        await _EFFECTS.get(event, _nothing)(connection, plan)
        await connection.execute(_AUTHOR, plan, author.actor, author.role, author.request_id)
        await tell(connection, author.actor, str(event), plan)
        await cancel_of(connection, plan)
        await settle(connection, plan)
        told = {"plan": plan, "state": str(to)}
        await _note(connection, f"migration-{event}", told, author)
    return True


async def files_of(connection: Connection, plan: str) -> tuple[File, ...]:
    """All that the catalogue held when the plan was made, in order."""
    return tuple(_file(row) for row in await connection.fetch(_FILES, plan))


async def applied(
    connection: Connection, targets: Iterable[Target] | None = None
) -> dict[str, Had]:
    """What the ledger knows each target to have, by target: key → checksum.

    targets: where they lie by now; of one that lay elsewhere nothing is known. None: wherever.
    """
    places = None if targets is None else {each.name: each.place for each in targets}
    return {
        row["target"]: dict(zip(row["keys"], row["checksums"], strict=True))
        for row in await connection.fetch(_APPLIED)
        if places is None
        or places.get(row["target"]) == (row["server"], row["database"], row["schema"])
    }


async def typical_ms(connection: Connection) -> Mapping[str, float]:
    """What each migration took where it was applied, the median, by key."""
    return {row["key"]: row["typical_ms"] for row in await connection.fetch(_TYPICAL)}


async def _nothing(_: Connection, __: str) -> None:
    """The plan's own state says it all."""


async def _cancel(connection: Connection, plan: str) -> None:
    await connection.execute(_CANCEL, plan)


async def _resume(connection: Connection, plan: str) -> None:
    """What has failed until now no longer counts."""
    for wave in await stand(connection, plan):
        if wave.state is WaveState.STOPPED:
            to = after(WAVES, wave.state, WaveEvent.RESUMED)
            failed = wave.jobs.get(JobState.FAILED, 0)
            await move_wave(connection, plan, wave.number, to, failed)


async def _retry(connection: Connection, plan: str) -> None:
    """What has failed waits again, and what was blocked by it; their waves are open again."""
    touched = {row["wave"] for row in await connection.fetch(_RETRY, plan)}
    if not touched:
        raise NotNowError("nothing of it has failed")
    for wave in await stand(connection, plan):
        if wave.state is WaveState.OPEN and wave.number in touched:
            await move_wave(connection, plan, wave.number, wave.state, 0)
        elif wave.state is WaveState.STOPPED or wave.number in touched:
            to = after(WAVES, wave.state, WaveEvent.RETRIED)
            await move_wave(connection, plan, wave.number, to, 0)


_EFFECTS: Final = {
    PlanEvent.CANCEL: _cancel,
    PlanEvent.RESUME: _resume,
    PlanEvent.RETRY: _retry,
}


async def _note(
    connection: Connection, action: str, told: Mapping[str, Any], author: Author
) -> None:
    await connection.execute(
        _AUDIT, author.actor, author.role, action, json.dumps(told), author.request_id
    )


def _job_columns(made: Draft) -> tuple[list[Any], ...]:
    rows = [
        (place.target.name, place.target.server, position, place.wave, place.rank)
        for place in made.waves.places
        for position in made.jobs[place.target.name]
    ]
    return tuple(list(column) for column in zip(*rows, strict=True)) or ([], [], [], [], [])


def _file_row(plan: str, file: File) -> tuple[Any, ...]:
    return (
        *(plan, file.position, file.key, file.version, file.name, file.kind, file.phase),
        *(file.requires, file.path, file.checksum, file.transactional, file.runs),
        msgspec.json.encode(file.statements).decode(),
    )


def _file(row: asyncpg.Record) -> File:
    return File(
        *(row["position"], row["key"], row["version"], row["name"], row["kind"], row["phase"]),
        *(row["requires"], row["path"], row["text"], row["checksum"], row["transactional"]),
        *(row["runs"], msgspec.json.decode(row["statements"], type=tuple[Statement, ...])),
        header(row["text"]),
    )
