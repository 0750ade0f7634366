"""Ramps in PostgreSQL: begun, moved on, looked up, and how much of a step's time is over.

Rules:
1. A ramp moves on only from the revision that it was seen at; otherwise StaleError.
2. A step's time grows by what both the database's clock and the carrying admin's own measured since
   the last look, the lesser of the two: no clock that jumps skips a step. What nobody looked at, for
   no admin ran, is not of it.
3. What an operator has done to a ramp is in the audit trail, in the same transaction.
"""

import json
from collections.abc import Iterable
from dataclasses import replace

import asyncpg

from admin.canary.model import Foreign, Ramp, State, Step
from admin.canary.weights import By
from admin.intents import StaleError
from admin.routing.audit import Author
from admin.routing.database import Connection
from proxy.routing.codec import canary_document, decode_canary
from proxy.routing.model import Slot

STEP_ACTION = "ramp-step"
"""What the audit trail calls the changes that ramps make."""
_BEGIN = """
INSERT INTO turnout.ramps
    (name, shares, dwells_s, chosen_by, canary, active, seen, expected,
     begun_by, actor, role, request_id)
VALUES ($1, $2, $3, $4, $5::jsonb, $6, $7, $8::jsonb, $9, $9, $10, $11)
ON CONFLICT ((true)) WHERE state <> 'done' DO NOTHING
"""
_FIND = "SELECT * FROM turnout.ramps WHERE name = $1"
_LATEST = "SELECT * FROM turnout.ramps ORDER BY begun_at DESC LIMIT 1"
_OPEN = "SELECT name FROM turnout.ramps WHERE state <> 'done' ORDER BY begun_at"
_SAVE = """
UPDATE turnout.ramps
   SET revision = revision + 1, state = $3, position = $4, rises = $5, moves = $6, weight = $7,
       version = $8, dwelt_s = CASE WHEN moves = $6 THEN greatest(dwelt_s, $9) ELSE $9 END, seen = $10, expected = $11::jsonb, reason = $12, outcome = $13,
       looked_at = clock_timestamp(),
       moved_at = CASE WHEN state = $3 AND moves = $6 THEN moved_at ELSE now() END,
       ended_at = CASE WHEN $3 = 'done' THEN now() ELSE ended_at END,
       actor = coalesce($14, actor), role = coalesce($15, role),
       request_id = coalesce($16, request_id)
 WHERE name = $1 AND revision = $2
"""
_LOOK = """
UPDATE turnout.ramps
   SET dwelt_s = dwelt_s + greatest(
           0, least($3::float8, extract(epoch FROM clock_timestamp() - looked_at)::float8)
       ),
       looked_at = clock_timestamp(), seen = $4
 WHERE name = $1 AND revision = $2
RETURNING dwelt_s
"""
_STILL = "SELECT dwelt_s FROM turnout.ramps WHERE name = $1 AND revision = $2"
_AUDIT = """
INSERT INTO turnout.audit (actor, role, action, to_state, outcome, request_id)
VALUES ($1, $2, $3, $4::jsonb, 'committed', $5)
"""
_FOREIGN = """
SELECT version, actor, action, to_state FROM turnout.audit
 WHERE outcome = 'committed' AND version > $1 AND version <= $2 AND action <> $3
   AND (to_state ? 'canary' OR to_state ? 'active')
 ORDER BY version
"""


class Record:
    """A ramp as it stands in the database. row: all of its columns, at its revision.

    ramp: the same as a value; or as more is known of it since.
    """

    __slots__ = ("ramp", "revision", "row")

    def __init__(self, row: asyncpg.Record, ramp: Ramp | None = None) -> None:
        self.row = row
        self.revision: int = row["revision"]
        self.ramp = ramp or _ramp(row)

    @property
    def author(self) -> Author:
        """Who has last set it off: its steps are theirs."""
        return Author(self.row["actor"], self.row["role"], self.row["request_id"])


async def begin(connection: Connection, ramp: Ramp, author: Author) -> bool:
    """Write down what is intended. False: another ramp has not ended."""
    async with connection.transaction():
        done = await connection.execute(
            _BEGIN,
            ramp.name,
            [step.share for step in ramp.steps],
            [step.dwell_s for step in ramp.steps],
            *(str(ramp.by), json.dumps(canary_document(ramp.canary)), str(ramp.active)),
            *(ramp.seen, json.dumps(canary_document(ramp.expected))),
            *(author.actor, author.role, author.request_id),
        )
        begun = bool(done == "INSERT 0 1")
        if begun:
            await _note(connection, ramp, "ramp-begin", author)
    return begun


async def find(connection: Connection, name: str) -> Record | None:
    """The ramp of this name."""
    row = await connection.fetchrow(_FIND, name)
    return None if row is None else Record(row)


async def latest(connection: Connection) -> Record | None:
    """The ramp that runs, or else the last."""
    row = await connection.fetchrow(_LATEST)
    return None if row is None else Record(row)


async def unfinished(connection: Connection) -> list[str]:
    """The names of those that have not ended."""
    return [row["name"] for row in await connection.fetch(_OPEN)]


async def save(connection: Connection, record: Record, after: Ramp) -> None:
    """The ramp is this now. StaleError if it is no longer as the record has it."""
    await _save(connection, record, after, None)


async def command(
    connection: Connection, record: Record, after: Ramp, action: str, author: Author
) -> None:
    """An operator has done this to it. StaleError as `save`."""
    async with connection.transaction():
        await _save(connection, record, after, author)
        await _note(connection, after, action, author)


async def look(connection: Connection, record: Record, known: Ramp, measured_s: float) -> Record:
    """The ramp as it is known now, with what is over of its step's time. StaleError as `save`.

    measured_s: what the caller measured since it looked last.
    """
    name, revision = record.ramp.name, record.revision
    if known.state is State.DWELLING:
        dwelt_s = await connection.fetchval(_LOOK, name, revision, measured_s, known.seen)
    else:
        dwelt_s = await connection.fetchval(_STILL, name, revision)
    if dwelt_s is None:
        raise StaleError(name)
    return Record(record.row, replace(known, dwelt_s=float(dwelt_s)))


async def foreign(connection: Connection, after: int, to: int) -> list[Foreign]:
    """What others than ramps changed of canary and active slot, between these versions."""
    rows = await connection.fetch(_FOREIGN, after, to, STEP_ACTION)
    return [
        Foreign(row["version"], row["actor"], row["action"], json.loads(row["to_state"]))
        for row in rows
    ]


async def _save(connection: Connection, record: Record, after: Ramp, author: Author | None) -> None:
    done = await connection.execute(
        _SAVE,
        *(after.name, record.revision, str(after.state), after.position, after.rises),
        *(after.moves, after.weight, after.version, after.dwelt_s, after.seen),
        *(json.dumps(canary_document(after.expected)), after.reason, after.outcome),
        *((author.actor, author.role, author.request_id) if author else (None, None, None)),
    )
    if done != "UPDATE 1":
        raise StaleError(after.name)


async def _note(connection: Connection, ramp: Ramp, action: str, author: Author) -> None:
    told = {
        "ramp": ramp.name,
        "state": str(ramp.state),
        "steps": [step.share / 100 for step in ramp.steps],
        "by": str(ramp.by),
        "step": ramp.position + 1,
        "rises": ramp.rises,
    }
    await connection.execute(
        _AUDIT, author.actor, author.role, action, json.dumps(told), author.request_id
    )


def _steps(shares: Iterable[int], dwells_s: Iterable[float]) -> tuple[Step, ...]:
    return tuple(Step(*each) for each in zip(shares, dwells_s, strict=True))


def _ramp(row: asyncpg.Record) -> Ramp:
    return Ramp(
        row["name"],
        _steps(row["shares"], row["dwells_s"]),
        By(row["chosen_by"]),
        decode_canary(json.loads(row["canary"])),
        Slot(row["active"]),
        row["seen"],
        decode_canary(json.loads(row["expected"])),
        State(row["state"]),
        row["position"],
        row["rises"],
        row["moves"],
        row["weight"],
        row["version"],
        row["dwelt_s"],
        row["reason"],
        row["outcome"],
    )
