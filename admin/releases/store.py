"""Releases in PostgreSQL: begun, moved on, looked up, with what is done, measured and signed.

Rules:
1. A release moves on only from the revision that it was seen at; otherwise StaleError.
2. Whatever is written down of a release stands in the trail, in the same transaction.
3. What is waited for grows by what both the database's clock and the carrying admin's own measured
   since the last look, the lesser of the two: no clock that jumps ends a stabilisation.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import asyncpg
import msgspec

from admin.gates.checklist import Checklist
from admin.intents import StaleError
from admin.releases import kept_store, trail
from admin.releases.course import DRILL_OVER, Effect
from admin.releases.model import ENDED, Release, State
from admin.releases.needs import Need, needs_of
from admin.releases.plan import Kind, Plan
from admin.routing.audit import Author
from admin.routing.database import Connection
from proxy.routing.codec import canary_document, decode_canary
from proxy.routing.model import Slot

LAST = datetime(9999, 1, 1, tzinfo=UTC)
_BEGIN = """
INSERT INTO turnout.releases
    (name, version, from_version, kind, is_drill, plan, active, base, expected, waits_for, note,
     begun_by, actor, role, request_id, devices, needs)
VALUES ($1, $2, $3, $4, $5, $6::jsonb, $7, $8::jsonb, $9::jsonb, $10, $11, $12, $12, $13, $14, $15,
        $16::jsonb)
ON CONFLICT DO NOTHING
"""
_FIND = "SELECT * FROM turnout.releases WHERE name = $1"
_CURRENT = """
SELECT * FROM turnout.releases
 ORDER BY (state IN ('done', 'aborted', 'rolled-back')), waits_for <> '', begun_at DESC LIMIT 1
"""
_PAGE = """
SELECT * FROM turnout.releases
 WHERE (begun_at, name) < ($1, $2) ORDER BY begun_at DESC, name DESC LIMIT $3
"""
_OPEN = """
SELECT name FROM turnout.releases
 WHERE state NOT IN ('done', 'aborted', 'rolled-back') ORDER BY begun_at
"""
_SAVE = """
UPDATE turnout.releases
   SET revision = revision + 1, state = $3, step = $4,
       visit = $5, paused = $6, expected = $7::jsonb,
       dwelt_s = CASE WHEN visit = $5 THEN dwelt_s ELSE 0 END,
       waits_for = $8, old_is_gone = $9, reason = $10, fault = $11,
       active = $16, base = $17::jsonb, from_version = $18,
       looked_at = clock_timestamp(),
       moved_at = CASE WHEN visit = $5 THEN moved_at ELSE now() END,
       ended_at = CASE WHEN $12 THEN now() ELSE ended_at END,
       actor = coalesce($13, actor), role = coalesce($14, role),
       request_id = coalesce($15, request_id)
 WHERE name = $1 AND revision = $2
"""
_LOOK = """
UPDATE turnout.releases
   SET dwelt_s = dwelt_s + greatest(
           0, least($3::float8, extract(epoch FROM clock_timestamp() - looked_at)::float8)
       ),
       looked_at = clock_timestamp()
 WHERE name = $1 AND revision = $2
RETURNING dwelt_s
"""
_VERDICT = "UPDATE turnout.releases SET verdict = $2::jsonb WHERE name = $1"
_AUDIT = """
INSERT INTO turnout.audit (actor, role, action, to_state, outcome, request_id)
VALUES ($1, $2, $3, $4::jsonb, 'committed', $5)
"""
_EFFECTS = """
SELECT *, extract(epoch FROM clock_timestamp() - ended_at) AS ended_ago_s
  FROM turnout.release_effects WHERE release = $1 ORDER BY begun_at, name
"""
_STANDS = """
SELECT true FROM turnout.releases WHERE name = $1 AND visit = $2 AND NOT paused FOR SHARE
"""
_EFFECT_BEGUN = """
INSERT INTO turnout.release_effects (release, name, kind) VALUES ($1, $2, $3)
ON CONFLICT (release, name) DO UPDATE
   SET tries = turnout.release_effects.tries + 1, outcome = NULL, ended_at = NULL
"""
_EFFECT_ENDED = """
UPDATE turnout.release_effects SET ended_at = now(), outcome = $3, detail = $4::json
 WHERE release = $1 AND name = $2
"""
_GATES = """
SELECT *, extract(epoch FROM clock_timestamp() - measured_at) AS age_s
  FROM turnout.release_gates WHERE release = $1 ORDER BY measured_at, gate
"""
_GATE = """
INSERT INTO turnout.release_gates (release, gate, state, outcome, detail, evidence)
VALUES ($1, $2, $3, $4, $5, $6::json)
ON CONFLICT (release, gate, state) DO UPDATE
   SET outcome = excluded.outcome, detail = excluded.detail, evidence = excluded.evidence,
       measured_at = now()
"""
_SIGN = """
INSERT INTO turnout.release_signatures (release, signer, approved, actor, note, item)
VALUES ($1, $2, $3, $4, $5, $6)
"""
# Before there were items, a signer was one.
_SIGNED = """
SELECT DISTINCT ON (signer, of) *
  FROM (SELECT *, coalesce(nullif(item, ''), signer) AS of
          FROM turnout.release_signatures WHERE release = $1) AS every
 ORDER BY signer, of, id DESC
"""
_VERSIONS = "SELECT slot, version FROM turnout.slot_versions ORDER BY slot"
_LAST_DRILL = """
SELECT max(ended_at) FROM turnout.releases
 WHERE is_drill AND state = 'rolled-back' AND reason = $1
"""


Row = asyncpg.Record


class Record:
    """A release as it stands in the database. row: all of its columns, at its revision."""

    __slots__ = ("release", "revision", "row")

    def __init__(self, row: asyncpg.Record, release: Release | None = None) -> None:
        self.row = row
        self.revision: int = row["revision"]
        self.release = release or _release(row)

    @property
    def author(self) -> Author:
        """Who has last set it off: what it does is theirs."""
        return Author(self.row["actor"], self.row["role"], self.row["request_id"])


@dataclass(frozen=True, slots=True)
class Intent:
    """A release that is to begin. note: what its author wants remembered.

    devices: how many are connected; None: nobody counts.
    """

    release: Release
    kind: Kind
    note: str
    author: Author
    devices: int | None = None


async def begin(connection: Connection, intent: Intent) -> bool:
    """Write down what is intended. False: another release has not ended, or has this name."""
    release, author = intent.release, intent.author
    async with connection.transaction():
        done = await connection.execute(
            *(_BEGIN, release.name, release.version, release.from_version, str(intent.kind)),
            *(release.is_drill, json.dumps(msgspec.to_builtins(release.plan)), str(release.active)),
            *(_canary(release.base), _canary(release.expected), release.waits_for, intent.note),
            *(author.actor, author.role, author.request_id, intent.devices),
            json.dumps(msgspec.to_builtins(release.needs)),
        )
        begun = bool(done == "INSERT 0 1")
        if begun:
            told = {
                "version": release.version,
                "from_version": release.from_version,
                "kind": str(intent.kind),
                "note": intent.note,
                "waits_for": release.waits_for,
                "plan": msgspec.to_builtins(release.plan),
            }
            await note(connection, release.name, "begun", author, told)
            await audit(connection, "release-begin", author, {"release": release.name, **told})
    return begun


async def find(connection: Connection, name: str) -> Record | None:
    """The release of this name."""
    row = await connection.fetchrow(_FIND, name)
    return None if row is None else Record(row)


async def current(connection: Connection) -> Record | None:
    """The release that acts, or the one that waits, or else the last."""
    row = await connection.fetchrow(_CURRENT)
    return None if row is None else Record(row)


async def page(connection: Connection, before: tuple[datetime, str], limit: int) -> list[Record]:
    """Newest first. before: begin and name of the last one seen; (LAST, ""): from the newest."""
    return [Record(row) for row in await connection.fetch(_PAGE, *before, limit)]


async def unfinished(connection: Connection) -> list[str]:
    """The names of those that have not ended."""
    return [row["name"] for row in await connection.fetch(_OPEN)]


async def last_drill(connection: Connection) -> datetime | None:
    """When the last drill ended well; None: there was none."""
    found: datetime | None = await connection.fetchval(_LAST_DRILL, DRILL_OVER)
    return found


async def devices(connection: Connection, name: str) -> int | None:
    """How many were connected when it began; None: nobody counted."""
    row = await connection.fetchrow(_FIND, name)
    return None if row is None else row["devices"]


async def save(
    connection: Connection,
    record: Record,
    after: Release,
    event: str,
    told: Mapping[str, Any],
    author: Author | None = None,
) -> None:
    """The release is this now. event, told: for the trail. author: who did it; None: the release.

    StaleError if it is no longer as the record has it. The caller's transaction.
    """
    done = await connection.execute(
        *(_SAVE, after.name, record.revision, str(after.state), after.step),
        *(after.visit, after.paused, _canary(after.expected)),
        *(after.waits_for, after.old_is_gone, after.reason, after.fault),
        after.state in ENDED,
        *((author.actor, author.role, author.request_id) if author else (None, None, None)),
        *(str(after.active), _canary(after.base), after.from_version),
    )
    if done != "UPDATE 1":
        raise StaleError(after.name)
    body = {"state": str(after.state), "step": after.step, "paused": after.paused, **told}
    await note(connection, after.name, event, author, body)


async def look(connection: Connection, record: Record, measured_s: float) -> Record:
    """The release, with what is over of what it waits for. StaleError as `save`.

    measured_s: since the caller's last look; 0 while nothing is waited for.
    """
    name = record.release.name
    dwelt_s = await connection.fetchval(_LOOK, name, record.revision, measured_s)
    if dwelt_s is None:
        raise StaleError(name)
    return Record(record.row, replace(record.release, dwelt_s=float(dwelt_s)))


async def note_verdict(connection: Connection, name: str, verdict: Mapping[str, Any]) -> None:
    """What the monitor says of it now."""
    await connection.execute(_VERDICT, name, json.dumps(verdict))
    await kept_store.note_verdict(connection, name, verdict)


async def note(
    connection: Connection, name: str, event: str, author: Author | None, told: Mapping[str, Any]
) -> None:
    """A row of the trail."""
    await trail.add(connection, name, event, author.actor if author else "turnout", told)


async def audit(
    connection: Connection, action: str, author: Author, told: Mapping[str, Any]
) -> None:
    """A row of the audit trail, for what a person did."""
    await connection.execute(
        _AUDIT, author.actor, author.role, action, json.dumps(told), author.request_id
    )


# ── effects ──────────────────────────────────────────────────────────────────────────────────


async def effects(connection: Connection, name: str) -> dict[str, asyncpg.Record]:
    """What it has done and begun, by name, oldest first."""
    return {row["name"]: row for row in await connection.fetch(_EFFECTS, name)}


async def effect_begun(connection: Connection, release: Release, effect: Effect) -> None:
    """It is about to be done. StaleError: somebody has moved the release on, or paused it."""
    name = release.name
    async with connection.transaction():
        if await connection.fetchval(_STANDS, name, release.visit) is None:
            raise StaleError(name)
        await connection.execute(_EFFECT_BEGUN, name, effect.name, str(effect.kind))
        told = {"effect": effect.name, "kind": str(effect.kind), "what": effect.what}
        await note(connection, name, "effect-begun", None, told)


async def effect_ended(
    connection: Connection, name: str, effect: Effect, outcome: str, detail: Mapping[str, Any]
) -> None:
    """It is done, or failed. The caller's transaction."""
    await connection.execute(_EFFECT_ENDED, name, effect.name, outcome, json.dumps(detail))
    told = {"effect": effect.name, "kind": str(effect.kind), **detail}
    await note(connection, name, f"effect-{outcome}", None, told)


# ── gates and signatures ─────────────────────────────────────────────────────────────────────


async def gates(connection: Connection, name: str) -> list[asyncpg.Record]:
    """What each gate said last, in each state."""
    return list(await connection.fetch(_GATES, name))


async def note_gate(
    connection: Connection,
    name: str,
    state: State,
    gate: str,
    said: Mapping[str, Any],
    *,
    tell: bool,
) -> None:
    """A gate has said this. said: outcome, detail, evidence. tell: in the trail too."""
    async with connection.transaction():
        await connection.execute(
            *(_GATE, name, gate, str(state), said["outcome"], said["detail"]),
            json.dumps(said["evidence"]),
        )
        if tell:
            await note(connection, name, "gate", None, {"gate": gate, "state": str(state), **said})


async def sign(
    connection: Connection,
    name: str,
    needs: Sequence[Need],
    *,
    approved: bool,
    text: str,
    author: Author,
) -> None:
    """Somebody has signed these, or refuses to."""
    async with connection.transaction():
        for each in needs:
            await connection.execute(
                _SIGN, name, each.role, approved, author.actor, text, each.item
            )
            told = {"signer": each.role, "item": each.item, "approved": approved, "note": text}
            await note(connection, name, "signed", author, told)
            await audit(connection, "release-sign", author, {"release": name, **told})


async def signatures(connection: Connection, name: str) -> dict[tuple[str, str], asyncpg.Record]:
    """The last word on each item, by item and signer."""
    rows = await connection.fetch(_SIGNED, name)
    return {(row["of"], row["signer"]): row for row in rows}


async def roles(connection: Connection, active: Slot) -> dict[str, Any]:
    """Who serves whom, and what each slot is known to run, for the trail."""
    found = {row["slot"]: row["version"] for row in await connection.fetch(_VERSIONS)}
    known = {str(slot): found.get(str(slot)) for slot in Slot}
    return {"active": str(active), "standby": str(active.other), "versions": known}


def _canary(canary: Any) -> str:
    return json.dumps(canary_document(canary))


def _release(row: asyncpg.Record) -> Release:
    plan = msgspec.convert(json.loads(row["plan"]), Plan)
    return Release(
        *(row["name"], row["version"], row["from_version"], plan),
        Slot(row["active"]),
        decode_canary(json.loads(row["base"])),
        decode_canary(json.loads(row["expected"])),
        State(row["state"]),
        *(row["step"], row["visit"], row["paused"], row["dwelt_s"], row["waits_for"]),
        *(row["old_is_gone"], row["is_drill"], row["reason"], row["fault"]),
        _needs(row["needs"], plan),
    )


def _needs(told: str | None, plan: Plan) -> tuple[Need, ...]:
    """None: it began before there were any, and needs what its plan says."""
    if told is None:
        return needs_of(plan, Checklist(()))
    return msgspec.convert(json.loads(told), tuple[Need, ...])
