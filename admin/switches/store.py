"""Switches in PostgreSQL: begun, moved on, looked up.

Rule: a switch moves on only from the state that it was seen in.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import asyncpg

from admin.intents import StaleError
from admin.routing.audit import Author
from admin.routing.database import Connection
from admin.routing.store import Key, KeyReusedError
from admin.switches.model import TRANSITIONS, Event, State, Step, Switch
from proxy.routing.codec import decode_operations, encode_operation

_BEGIN = """
INSERT INTO turnout.switches
    (name, action, operations, tenants, step_kind, step_target, limit_s, per_second, accept_lost,
     actor, role, request_id)
VALUES ($1, $2, $3::jsonb, $4, $5, $6, $7, $8, $9, $10, $11, $12)
ON CONFLICT (name) DO NOTHING
"""
# Where the keys of instant changes lie too: a key is of one request, whichever kind it is.
_TAKE_KEY = """
INSERT INTO turnout.idempotency (actor, key, fingerprint, version) VALUES ($1, $2, $3, 0)
ON CONFLICT (actor, key) DO UPDATE SET at = turnout.idempotency.at
RETURNING fingerprint
"""
_FIND = "SELECT * FROM turnout.switches WHERE name = $1"
_OPEN = "SELECT name FROM turnout.switches WHERE state NOT IN ('done', 'undone') ORDER BY begun_at"
_PAGE = """
SELECT * FROM turnout.switches
 WHERE (begun_at, name) < ($1, $2) ORDER BY begun_at DESC, name DESC LIMIT $3
"""
_MOVE = """
UPDATE turnout.switches
   SET state = $3, reason = coalesce($4, reason),
       drained_at = CASE WHEN $3 = 'stepping' THEN now() ELSE drained_at END,
       stepped_at = CASE WHEN $3 = 'committing' THEN now() ELSE stepped_at END,
       ended_at = CASE WHEN $3 IN ('done', 'undone') THEN now() ELSE ended_at END
 WHERE name = $1 AND state = $2
"""
_HELD = "UPDATE turnout.switches SET held = $2, held_at = now() WHERE name = $1"
_COMMITTED = "UPDATE turnout.switches SET committed = $2 WHERE name = $1"
_STEP_BEGUN = "UPDATE turnout.switches SET step_begun = true WHERE name = $1"
_CANCEL = """
UPDATE turnout.switches SET cancelled_by = $2
 WHERE name = $1 AND cancelled_by IS NULL AND state IN ('holding', 'stepping')
"""
_AGE = "SELECT extract(epoch FROM now() - begun_at) FROM turnout.switches WHERE name = $1"
LAST = datetime(9999, 1, 1, tzinfo=UTC)


class Record:
    """A switch as it stands in the database. row: all of its columns."""

    __slots__ = ("row", "switch")

    def __init__(self, row: asyncpg.Record) -> None:
        self.row = row
        self.switch = _switch(row)

    @property
    def author(self) -> Author:
        """Who asked for it."""
        return Author(self.row["actor"], self.row["role"], self.row["request_id"])

    @property
    def cancelled_by(self) -> str | None:
        """Who wants it undone."""
        found: str | None = self.row["cancelled_by"]
        return found


async def begin(
    connection: Connection, switch: Switch, action: str, author: Author, key: Key | None = None
) -> bool:
    """Write down what is intended; False: it stands there. KeyReusedError."""
    async with connection.transaction():
        if key is not None:
            taken = await connection.fetchval(_TAKE_KEY, author.actor, key.key, key.fingerprint)
            if taken != key.fingerprint:
                raise KeyReusedError
        return await _begin(connection, switch, action, author)


async def _begin(connection: Connection, switch: Switch, action: str, author: Author) -> bool:
    step = switch.step
    done = await connection.execute(
        _BEGIN,
        switch.name,
        action,
        json.dumps([encode_operation(operation) for operation in switch.operations]),
        None if switch.tenants is None else sorted(switch.tenants),
        *((None, None) if step is None else (step.kind, step.target)),
        *(switch.limit_s, switch.per_second, switch.accept_lost),
        *(author.actor, author.role, author.request_id),
    )
    return bool(done == "INSERT 0 1")


async def find(connection: Connection, name: str) -> Record | None:
    """The switch of this name."""
    row = await connection.fetchrow(_FIND, name)
    return None if row is None else Record(row)


async def unfinished(connection: Connection) -> list[str]:
    """The names of those that have not ended, oldest first."""
    return [row["name"] for row in await connection.fetch(_OPEN)]


async def page(connection: Connection, before: tuple[datetime, str], limit: int) -> list[Record]:
    """Newest first. before: begin and name of the last one seen; (LAST, ""): from the newest."""
    return [Record(row) for row in await connection.fetch(_PAGE, *before, limit)]


async def move(
    connection: Connection, switch: Switch, event: Event, reason: str | None = None
) -> None:
    """The switch takes this event. StaleError if it is no longer where it was seen."""
    following = TRANSITIONS[switch.state, event]
    done = await connection.execute(_MOVE, switch.name, str(switch.state), str(following), reason)
    if done != "UPDATE 1":
        raise StaleError(switch.name)


async def note_held(connection: Connection, name: str, version: int) -> None:
    """Its hold is decided, as this version."""
    await connection.execute(_HELD, name, version)


async def note_committed(connection: Connection, name: str, version: int) -> None:
    """Its commit is decided, as this version."""
    await connection.execute(_COMMITTED, name, version)


async def note_step(connection: Connection, name: str) -> None:
    """Its step is about to begin: from here on it may have been done."""
    await connection.execute(_STEP_BEGUN, name)


async def cancel(connection: Connection, name: str, by: str) -> bool:
    """Ask for it to be undone. False if it is too late for that, or was asked already."""
    return bool(await connection.execute(_CANCEL, name, by) == "UPDATE 1")


async def age_s(connection: Connection, name: str) -> float:
    """Seconds since it began, by the database's clock: admins' clocks may differ."""
    found: Any = await connection.fetchval(_AGE, name)
    return float(found)


def _switch(row: asyncpg.Record) -> Switch:
    step = Step(row["step_kind"], row["step_target"]) if row["step_kind"] else None
    tenants: Iterable[str] | None = row["tenants"]
    return Switch(
        row["name"],
        decode_operations(json.loads(row["operations"])),
        None if tenants is None else frozenset(tenants),
        State(row["state"]),
        step,
        row["limit_s"],
        row["per_second"],
        row["accept_lost"],
        row["held"],
        row["committed"],
        row["step_begun"],
        row["reason"],
    )
