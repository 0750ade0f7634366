"""A backfill at work: batch by batch by key, each with its mark in one transaction, then verified.

Rules:
1. A batch's work and the key up to which it reached are one transaction: it goes on from there.
2. Between two batches it keeps its part of the server's pace, waits while the server is behind or
   busy, and makes room if it is asked to.
3. It is done when its own queries say that nothing is left.
"""

import asyncio
import time

import structlog

from admin.migrations.backfill import Load, Trail, holds_back, pause_s
from admin.migrations.executor import Work
from admin.migrations.faults import THEN, Failed, Failure, Interrupted
from admin.migrations.files import Batch, Row, Statement
from admin.migrations.targets import literal

log = structlog.get_logger(__name__)
_FILLS = (0x7475726E, 0x66696C6C)
"""The advisory lock that backfills share while they are at work: "turn", "fill" in ASCII."""
_JOIN = f"SELECT pg_try_advisory_lock_shared({_FILLS[0]}, {_FILLS[1]})"
HAS_HIDDEN_REPLICAS = "SELECT EXISTS (SELECT FROM pg_stat_replication WHERE state IS NULL)"
"""A replica's state, and how far it is, are NULL for a role that may not see them."""
_LOAD = f"""
SELECT coalesce((SELECT max(extract(epoch FROM replay_lag)) FROM pg_stat_replication), 0)::float8
           AS lag_s,
       (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint AS written,
       (SELECT min(replay_lsn) - '0/0'::pg_lsn FROM pg_stat_replication)::bigint AS replayed,
       (SELECT count(*) FROM pg_stat_activity
         WHERE state = 'active' AND backend_type = 'client backend' AND pid <> pg_backend_pid())
           AS active,
       (SELECT count(*) FROM pg_locks
         WHERE locktype = 'advisory' AND granted AND objsubid = 2
           AND (classid, objid) = ({_FILLS[0]}, {_FILLS[1]})) AS backfills,
       NOT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') AS is_blind,
       ({HAS_HIDDEN_REPLICAS}) AS has_hidden_replicas
"""  # noqa: S608 - two constants
_TYPE = """
SELECT format_type(a.atttypid, a.atttypmod), greatest(c.reltuples, 0)::bigint, a.attnotnull
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
 WHERE a.attrelid = to_regclass($1) AND attname = $2 AND attnum > 0 AND NOT attisdropped
"""
_BOUNDS = """
SELECT (array_agg(k))[1]::text, (array_agg(k))[count(*)]::text, count(*)
  FROM (SELECT {key} AS k FROM {table} {after} ORDER BY {key} LIMIT {size}) batch
"""


async def run(work: Work, batch: Batch, row: Row | None) -> None:
    """All batches that are left, then the queries that verify. As `execute` raises."""
    position, rows = (row.position, row.rows) if row else (None, 0)
    await _prepare(work)
    of_type, total = await _column(work, batch)
    await work.session.connection.execute(_JOIN)
    trail = Trail()
    while True:
        load = await _room(work, trail)
        began = time.monotonic()
        done = await _one(work, batch, position, of_type)
        if done is None:
            break
        position, touched, keys = done
        rows += touched
        work.progress.told(rows, max(total, rows))
        took_s = time.monotonic() - began
        rows_per_s = work.settings.backfill_rows_per_s / max(1, load.backfills)
        await _pause(work, pause_s(keys, rows_per_s, took_s))
    await _verify(work, batch)


async def _prepare(work: Work) -> None:
    """The server takes the keys as texts, and knows their types from the statement."""
    for number, statement in enumerate(work.job.file.statements):
        prepared = f"PREPARE turnout_batch_{number} AS {statement.sql}"
        await work.run(Statement(prepared, statement.line, statement.column))


async def _column(work: Work, batch: Batch) -> tuple[str, int]:
    """The key's type, and about how many rows there are. Failed: there is no such key."""
    name = batch.key.strip('"') if batch.key.startswith('"') else batch.key.lower()
    found = await work.session.connection.fetchrow(_TYPE, batch.table, name)
    if found is None or not found["attnotnull"]:
        fault = f"there is no column {batch.key} in {batch.table}"
        if found is not None:
            fault = f"{batch.key} of {batch.table} is not NOT NULL: rows without it lie in no batch"
        raise Failed(
            Failure(
                f"turnout:batch: {fault}",
                f"Mend the header. {THEN.format(plan=work.job.plan)}",
                code="batch",
                file=work.job.file.path,
            )
        )
    return found[0], found[1]


async def _one(
    work: Work, batch: Batch, position: str | None, of_type: str
) -> tuple[str, int, int] | None:
    """One batch: the key that it reached, the rows that it changed, and its keys; None: no more."""
    session = work.session
    after = "" if position is None else f"WHERE {batch.key} > {literal(position)}::{of_type}"
    bounds = _BOUNDS.format(key=batch.key, table=batch.table, after=after, size=batch.size)
    await session.begin()
    await work.versions.raise_fence()
    found = await session.connection.fetchrow(bounds)
    if found is None or not found[2]:
        await session.commit()
        return None
    (low, high, keys), touched = found, 0
    for number, statement in enumerate(work.job.file.statements):
        call = f"EXECUTE turnout_batch_{number}({literal(low)}, {literal(high)})"
        tag = await work.run(Statement(call, statement.line, statement.column))
        touched += _rows_of(tag)
    await work.versions.moved(work.job.file.key, high, touched)
    await session.commit()
    return high, touched, keys


async def _pause(work: Work, for_s: float) -> None:
    """Keep the pace. A pause may be long, so it is asked meanwhile whether to go on. Interrupted."""
    until = time.monotonic() + for_s
    while (left_s := until - time.monotonic()) > 0:
        if not work.progress.may_go_on():
            raise Interrupted
        await asyncio.sleep(min(left_s, work.settings.backfill_pause_s))


async def _load(work: Work, trail: Trail) -> Load:
    """What the server says of itself. Failed: the worker's role doesn't see it."""
    row = await work.session.connection.fetchrow(_LOAD)
    assert row is not None  # noqa: S101 - a SELECT without FROM has a row
    unseen = row["has_hidden_replicas"] or (row["is_blind"] and work.settings.backfill_active)
    if not unseen:
        since_s = trail.lag_s(row["written"], row["replayed"], time.monotonic())
        return Load(max(row["lag_s"], since_s), row["active"], row["backfills"])
    raise Failed(
        Failure(
            "the worker's role doesn't see how far replicas are behind, or what sessions do",
            "GRANT pg_read_all_stats TO the role of the worker's URL. "
            + THEN.format(plan=work.job.plan),
            code="replicas-unseen",
            file=work.job.file.path,
        )
    )


async def _room(work: Work, trail: Trail) -> Load:
    """Until the server has room for a batch; how it stands then. Interrupted, Failed."""
    settings = work.settings
    told = ""
    while True:
        if not work.progress.may_go_on():
            raise Interrupted
        load = await _load(work, trail)
        reason = holds_back(load, settings.backfill_lag_s, settings.backfill_active)
        if not reason:
            return load
        if reason != told:
            log.info("a backfill waits", target=work.job.target.name, reason=reason)
            told = reason
        await asyncio.sleep(settings.backfill_pause_s)


async def _verify(work: Work, batch: Batch) -> None:
    await work.session.begin()
    for query in batch.verify:
        left = await work.session.connection.fetchval(query)
        if left != 0:
            # The next try goes through all of it: what is left may lie anywhere.
            await work.versions.moved(work.job.file.key, None, 0)
            await work.session.commit()
            raise Failed(
                Failure(
                    f"the backfill went through the table, and its query still gives {left}",
                    "Rows came in behind it, or its statement leaves some out: look at them; "
                    f"`turnout migrations retry {work.job.plan}` goes through the table again.",
                    code="not-verified",
                    file=work.job.file.path,
                    statement=query,
                )
            )
    await work.session.commit()


def _rows_of(tag: str) -> int:
    """How many rows a command tag tells of: UPDATE 7 → 7."""
    last = tag.rpartition(" ")[2]
    return int(last) if last.isdecimal() else 0
