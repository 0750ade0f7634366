"""Kept traffic, baselines and verdicts in PostgreSQL.

Rules:
1. An interval takes another's place only if it was computed from no fewer windows: where Redis has
   lost some, what was kept stays.
2. Rows are written in the order of time, so that two admins who write the same don't deadlock.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg

from admin.releases.kept import Interval, body_of, gist, groups_in
from admin.routing.database import Connection

MAX_VERDICTS = 1_000
"""So many changes of the verdict are kept of a release, the first; the one that brought it back is in its trail."""
_LOCK = "SELECT pg_try_advisory_xact_lock(hashtextextended('traffic of ' || $1, 0))"
_TO_KEEP = """
SELECT name,
       extract(epoch FROM now() - begun_at)::float8 AS begun_ago_s,
       extract(epoch FROM now() - ended_at)::float8 AS ended_ago_s,
       (SELECT extract(epoch FROM now() - min(ended_at))::float8 FROM turnout.release_effects
         WHERE release = of.name AND kind IN ('weight', 'cutover') AND outcome = 'done') AS moved_ago_s,
       EXISTS (SELECT FROM turnout.release_baselines WHERE release = of.name) AS has_baseline,
       (SELECT max(begins) FROM turnout.release_traffic WHERE release = of.name) AS kept_to
  FROM turnout.releases AS of
 WHERE ended_at IS NULL OR ended_at > now() - make_interval(secs => $1)
 ORDER BY begun_at
"""
_KEEP = """
INSERT INTO turnout.release_traffic AS had
       (release, begins, length_s, told_ms, nodes, body, signals)
VALUES ($1, $2, $3, $4, $5, $6::json, $7::json)
ON CONFLICT (release, begins) DO UPDATE
   SET length_s = excluded.length_s, told_ms = excluded.told_ms, nodes = excluded.nodes,
       body = excluded.body, kept_at = now(),
       signals = CASE WHEN excluded.signals::text = '{}' THEN had.signals ELSE excluded.signals END
 WHERE excluded.told_ms >= had.told_ms AND excluded.length_s >= had.length_s
"""
_FORGET_INTERVALS = """
DELETE FROM turnout.release_traffic WHERE release = $1 AND begins = ANY ($2::bigint[])
"""
_ALL = "SELECT * FROM turnout.release_traffic WHERE release = $1 ORDER BY begins"
_FINE = """
SELECT * FROM turnout.release_traffic
 WHERE release = $1 AND begins < $2 AND length_s < 600 ORDER BY begins
"""
_KEEP_BASELINE = """
INSERT INTO turnout.release_baselines (release, body) VALUES ($1, $2) ON CONFLICT DO NOTHING
"""
_BASELINE = "SELECT body FROM turnout.release_baselines WHERE release = $1"
_FORGET_BASELINES = """
DELETE FROM turnout.release_baselines USING turnout.releases
 WHERE release = name AND ended_at < now() - make_interval(secs => $1)
"""
_PRUNE = """
DELETE FROM turnout.release_traffic USING turnout.releases
 WHERE release = name AND ended_at < now() - make_interval(days => $1)
"""
_PRUNE_VERDICTS = """
DELETE FROM turnout.release_verdicts USING turnout.releases
 WHERE release = name AND ended_at < now() - make_interval(days => $1)
"""
_VERDICT = """
INSERT INTO turnout.release_verdicts (release, gist, document)
SELECT $1, $2, $3::json
 WHERE $2 IS DISTINCT FROM (SELECT gist FROM turnout.release_verdicts
                             WHERE release = $1 ORDER BY id DESC LIMIT 1)
   AND (SELECT count(*) FROM turnout.release_verdicts WHERE release = $1) < $4
"""
_VERDICTS = "SELECT at, document FROM turnout.release_verdicts WHERE release = $1 ORDER BY id"


async def to_keep(connection: Connection, ended_s: float) -> list[asyncpg.Record]:
    """Releases that have not ended, or not longer ago than that, and how far each is kept."""
    return list(await connection.fetch(_TO_KEEP, ended_s))


async def is_ours(connection: Connection, name: str) -> bool:
    """Whether nobody else keeps this one now. Until the transaction ends."""
    return bool(await connection.fetchval(_LOCK, name))


async def keep(connection: Connection, name: str, intervals: Sequence[Interval]) -> None:
    """These take the place of what is kept of their time. The caller's transaction."""
    rows = [
        (
            *(name, each.begins, each.length_s, each.told_ms, each.nodes),
            *(body_of(each), json.dumps(dict(each.signals))),
        )
        for each in intervals
    ]
    await connection.executemany(_KEEP, rows)


async def replace(
    connection: Connection, name: str, these: Sequence[Interval], by: Interval
) -> None:
    """One takes the place of several. The caller's transaction."""
    await connection.execute(_FORGET_INTERVALS, name, [each.begins for each in these])
    await keep(connection, name, [by])


async def intervals(connection: Connection, name: str) -> list[Interval]:
    """All that is kept of a release, the oldest first."""
    return [_interval(row) for row in await connection.fetch(_ALL, name)]


async def fine(connection: Connection, name: str, before: int) -> list[Interval]:
    """What might be joined, of before that second."""
    return [_interval(row) for row in await connection.fetch(_FINE, name, before)]


async def keep_baseline(connection: Connection, name: str, body: bytes) -> None:
    """Windows of before; once there, they stay."""
    await connection.execute(_KEEP_BASELINE, name, body)


async def baseline(connection: Connection, name: str) -> bytes | None:
    """Windows of before, as they were kept."""
    found: bytes | None = await connection.fetchval(_BASELINE, name)
    return found


async def prune(connection: Connection, days: int, baseline_s: float) -> None:
    """Forget traffic and verdicts of what ended so many days ago (0: never), baselines after baseline_s."""
    await connection.execute(_FORGET_BASELINES, baseline_s)
    if days:
        await connection.execute(_PRUNE, days)
        await connection.execute(_PRUNE_VERDICTS, days)


async def note_verdict(connection: Connection, name: str, document: Mapping[str, Any]) -> None:
    """Remember it, if it differs from the one before; one that says nothing is none."""
    if "level" not in document:
        return
    await connection.execute(_VERDICT, name, gist(document), json.dumps(document), MAX_VERDICTS)


async def verdicts(connection: Connection, name: str) -> list[dict[str, Any]]:
    """Those that differed, the oldest first: at, document."""
    return [
        {"at": row["at"].isoformat(), **json.loads(row["document"])}
        for row in await connection.fetch(_VERDICTS, name)
    ]


def _interval(row: asyncpg.Record) -> Interval:
    return Interval(
        *(row["begins"], row["length_s"], row["told_ms"], row["nodes"]),
        *(groups_in(row["body"]), json.loads(row["signals"])),
    )
