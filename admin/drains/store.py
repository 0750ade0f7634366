"""Drains in PostgreSQL: begun, moved on, looked up.

Rule: a drain moves on only from the state that it was seen in, as a switch does.
"""

import asyncpg

from admin.drains.model import TRANSITIONS, Drain, Event, State
from admin.intents import StaleError
from admin.routing.audit import Author
from admin.routing.database import Connection
from proxy.routing.model import Slot

_BEGIN = """
INSERT INTO turnout.drains
    (name, slot, tenants, per_second, limit_s, webhook, tenant_per_second, actor, role, request_id)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (slot) WHERE state <> 'done' DO NOTHING
"""
_FIND = """
SELECT *, extract(epoch FROM now() - begun_at) AS age_s,
       extract(epoch FROM now() - hurried_at) AS hurried_s
  FROM turnout.drains WHERE name = $1
"""
_LATEST = "SELECT name FROM turnout.drains WHERE slot = $1 ORDER BY begun_at DESC LIMIT 1"
_OPEN = "SELECT name FROM turnout.drains WHERE state <> 'done' ORDER BY begun_at"
_MOVE = """
UPDATE turnout.drains
   SET state = $3,
       outcome = CASE WHEN $3 = 'ending' THEN $4 ELSE outcome END,
       hurried_at = CASE WHEN $3 = 'hurrying' THEN now() ELSE hurried_at END,
       ended_at = CASE WHEN $3 = 'done' THEN now() ELSE ended_at END
 WHERE name = $1 AND state = $2
"""
_BEGUN = "UPDATE turnout.drains SET version = $2 WHERE name = $1"
_HURRIED = "UPDATE turnout.drains SET hurried_version = $2 WHERE name = $1"
_NOTE = "UPDATE turnout.drains SET note = $2 WHERE name = $1"
_STOP = """
UPDATE turnout.drains SET stopped_by = $2
 WHERE name = $1 AND stopped_by IS NULL AND state IN ('draining', 'hurrying')
"""


class Record:
    """A drain as it stands in the database. row: all of its columns, and its age in seconds."""

    __slots__ = ("drain", "row")

    def __init__(self, row: asyncpg.Record) -> None:
        self.row = row
        self.drain = _drain(row)

    @property
    def author(self) -> Author:
        """Who asked for it."""
        return Author(self.row["actor"], self.row["role"], self.row["request_id"])


async def begin(connection: Connection, drain: Drain, author: Author) -> bool:
    """Write down what is intended. False: another drain of the slot has not ended."""
    done = await connection.execute(
        _BEGIN,
        *(drain.name, str(drain.slot)),
        None if drain.tenants is None else sorted(drain.tenants),
        *(drain.per_second, drain.limit_s, drain.webhook, drain.tenant_per_second),
        *(author.actor, author.role, author.request_id),
    )
    return bool(done == "INSERT 0 1")


async def find(connection: Connection, name: str) -> Record | None:
    """The drain of this name."""
    row = await connection.fetchrow(_FIND, name)
    return None if row is None else Record(row)


async def latest(connection: Connection, slot: Slot) -> Record | None:
    """The slot's drain: the one that runs, or else the last."""
    name = await connection.fetchval(_LATEST, str(slot))
    return None if name is None else await find(connection, name)


async def unfinished(connection: Connection) -> list[str]:
    """The names of those that have not ended, oldest first."""
    return [row["name"] for row in await connection.fetch(_OPEN)]


async def move(connection: Connection, drain: Drain, event: Event) -> None:
    """The drain takes this event. StaleError if it is no longer where it was seen."""
    following = TRANSITIONS[drain.state, event]
    done = await connection.execute(_MOVE, drain.name, str(drain.state), str(following), str(event))
    if done != "UPDATE 1":
        raise StaleError(drain.name)


async def note_begun(connection: Connection, name: str, version: int) -> None:
    """It is in the table, since this version."""
    await connection.execute(_BEGUN, name, version)


async def note_hurried(connection: Connection, name: str, version: int) -> None:
    """It is in a hurry, since this version."""
    await connection.execute(_HURRIED, name, version)


async def note(connection: Connection, name: str, text: str) -> None:
    """Something to know of it beside its outcome."""
    await connection.execute(_NOTE, name, text)


async def stop(connection: Connection, name: str, by: str) -> bool:
    """Ask for it to end. False if it is too late for that, or was asked already."""
    return bool(await connection.execute(_STOP, name, by) == "UPDATE 1")


def _drain(row: asyncpg.Record) -> Drain:
    tenants = row["tenants"]
    return Drain(
        row["name"],
        Slot(row["slot"]),
        None if tenants is None else frozenset(tenants),
        row["per_second"],
        row["limit_s"],
        row["webhook"],
        State(row["state"]),
        row["version"],
        row["hurried_version"],
        row["outcome"],
        row["tenant_per_second"],
    )
