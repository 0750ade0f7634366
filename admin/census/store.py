"""Rolls in PostgreSQL: taken once with their drain, watched, ended.

Rule: a roll is ended once, by whoever comes first.
"""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

import asyncpg

from admin.census.model import Device, Outcome, Roll
from admin.routing.database import Connection
from proxy.routing.model import Slot

_TAKE = """
INSERT INTO turnout.rolls (drain, slot, beyond) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING
"""
_REPLACE = """
UPDATE turnout.rolls SET outcome = 'replaced', ended_at = now()
 WHERE slot = $2 AND drain <> $1 AND outcome = ''
"""
_ADD = """
INSERT INTO turnout.roll_devices (drain, tenant, device, was_there)
SELECT $1, tenant, device, $4 FROM unnest($2::text[], $3::text[]) AS given (tenant, device)
ON CONFLICT (drain, tenant, device) DO UPDATE SET was_there = true WHERE excluded.was_there
"""
_FIND = """
SELECT r.*, d.tenants, d.state AS drain_state, d.outcome AS drain_outcome,
       extract(epoch FROM now() - d.ended_at) AS over_s
  FROM turnout.rolls r JOIN turnout.drains d ON d.name = r.drain
"""
_DEVICES = """
SELECT tenant, device, was_there, missing_since FROM turnout.roll_devices WHERE drain = $1
"""
_MISSING = """
UPDATE turnout.roll_devices r
   SET missing_since = CASE WHEN $4 THEN now() END
  FROM unnest($2::text[], $3::text[]) AS given (tenant, device)
 WHERE r.drain = $1 AND r.tenant = given.tenant AND r.device = given.device
"""
_END = """
UPDATE turnout.rolls SET outcome = $2, counts = $3::jsonb, ended_at = now()
 WHERE drain = $1 AND outcome = ''
"""


class Record(NamedTuple):
    """A roll as it stands. devices: each with since when it is missing; None: it is not.

    tenants: the drain's. over_s: for how long the drain has been done; None: it is not.
    """

    drain: str
    roll: Roll
    tenants: frozenset[str] | None
    drain_outcome: str
    over_s: float | None
    beyond: int
    outcome: str
    counts: Mapping[str, int]
    taken_at: datetime
    ended_at: datetime | None
    missing_since: Mapping[Device, datetime | None]


async def take(connection: Connection, drain: str, roll: Roll, beyond: int) -> bool:
    """Write the drain's roll down, once; it takes the place of the slot's earlier ones."""
    async with connection.transaction():
        if await connection.execute(_TAKE, drain, str(roll.slot), beyond) != "INSERT 0 1":
            return False
        await connection.execute(_REPLACE, drain, str(roll.slot))
        await add(connection, drain, roll.there, was_there=True)
        await add(connection, drain, roll.elsewhere, was_there=False)
        return True


async def add(
    connection: Connection, drain: str, devices: Iterable[Device], *, was_there: bool
) -> None:
    """These belong to the roll, too."""
    tenants, names = _columns(devices)
    if names:
        await connection.execute(_ADD, drain, tenants, names, was_there)


async def find(connection: Connection, drain: str) -> Record | None:
    """The roll of this drain."""
    row = await connection.fetchrow(f"{_FIND} WHERE r.drain = $1", drain)
    return None if row is None else await _record(connection, row)


async def is_taken(connection: Connection, drain: str) -> bool:
    """Whether the drain's roll is written down."""
    found = await connection.fetchval("SELECT 1 FROM turnout.rolls WHERE drain = $1", drain)
    return found is not None


async def watched(connection: Connection) -> list[str]:
    """The drains whose rolls are watched, the oldest first."""
    rows = await connection.fetch(
        "SELECT drain FROM turnout.rolls WHERE outcome = '' ORDER BY taken_at"
    )
    return [row["drain"] for row in rows]


async def note_missing(
    connection: Connection, drain: str, devices: Iterable[Device], *, missing: bool
) -> None:
    """These are missing since now, or are not any more."""
    tenants, names = _columns(devices)
    if names:
        await connection.execute(_MISSING, drain, tenants, names, missing)


async def end(
    connection: Connection, drain: str, outcome: Outcome, counts: Mapping[str, int]
) -> bool:
    """Watch it no more. False: it was ended before."""
    done = await connection.execute(_END, drain, str(outcome), json.dumps(dict(counts)))
    return bool(done == "UPDATE 1")


def _columns(devices: Iterable[Device]) -> tuple[list[str], list[str]]:
    rows = list(devices)
    return [device.tenant for device in rows], [device.name for device in rows]


async def _record(connection: Connection, row: asyncpg.Record) -> Record:
    rows = await connection.fetch(_DEVICES, row["drain"])
    there = {Device(each["tenant"], each["device"]): each for each in rows if each["was_there"]}
    elsewhere = {Device(each["tenant"], each["device"]) for each in rows if not each["was_there"]}
    tenants, over_s = row["tenants"], row["over_s"]
    return Record(
        row["drain"],
        Roll(Slot(row["slot"]), frozenset(there), frozenset(elsewhere)),
        None if tenants is None else frozenset(tenants),
        row["drain_outcome"],
        None if row["drain_state"] != "done" else float(over_s),
        row["beyond"],
        row["outcome"],
        json.loads(row["counts"]) if row["counts"] else {},
        row["taken_at"],
        row["ended_at"],
        {device: each["missing_since"] for device, each in there.items()},
    )
