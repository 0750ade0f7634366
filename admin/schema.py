"""Turnout's own schema: the numbered files of admin/sql, applied in order, each once.

Rules: one session lock lets one admin at a time in, so several may start at once. A file and
its row in the ledger are one transaction. An applied file never changes: a differing checksum
is refused, as is a ledger that knows files which this program doesn't have.
"""

import re
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files

import asyncpg
import structlog

from admin.routing.database import Connection

log = structlog.get_logger(__name__)
LOCK = 0x7475726E6F7574
"""The advisory lock's number: "turnout" in ASCII."""
_NAME = re.compile(r"(\d{4})__[a-z0-9_]+\.sql")
_LEDGER = """
CREATE SCHEMA IF NOT EXISTS turnout;
CREATE TABLE IF NOT EXISTS turnout.schema_ledger (
    number integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
"""


class SchemaError(Exception):
    """The database's schema and this program don't fit together; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file. checksum: SHA-256 of its text, hexadecimal."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """What the ledger remembers of the text."""
        return sha256(self.text.encode()).hexdigest()


def migrations() -> list[Migration]:
    """The files that come with this program, in order, without a gap."""
    found = []
    for file in files("admin").joinpath("sql").iterdir():
        match = _NAME.fullmatch(file.name)
        if match:
            text = file.read_text(encoding="utf-8")
            found.append(Migration(int(match[1]), file.name, text))
    found.sort(key=lambda migration: migration.number)
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise SchemaError("admin/sql: the numbers of the files have a gap or a double")
    return found


async def migrate(connection: Connection, wanted: list[Migration], wait_s: float) -> None:
    """Bring the schema up to date. wait_s: how long another admin's turn is waited for."""
    # A session lock, not one of a transaction: each file is a transaction of its own.
    await connection.execute("SELECT set_config('lock_timeout', $1, false)", f"{wait_s * 1000:.0f}")
    await connection.execute("SELECT pg_advisory_lock($1)", LOCK)
    try:
        await _make_ledger(connection)
        rows = await connection.fetch("SELECT number, name, checksum FROM turnout.schema_ledger")
        for migration in pending(wanted, {row["number"]: row["checksum"] for row in rows}):
            await _apply(connection, migration)
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", LOCK)
        await connection.execute("RESET lock_timeout")


async def _make_ledger(connection: Connection) -> None:
    """Only where it isn't there: later starts need no right to make a schema."""
    if await connection.fetchval("SELECT to_regclass('turnout.schema_ledger')") is not None:
        return
    try:
        await connection.execute(_LEDGER)
    except asyncpg.InsufficientPrivilegeError as error:
        raise SchemaError(
            "the database role may not make the schema turnout: grant it CREATE on the database, "
            "or run CREATE SCHEMA turnout AUTHORIZATION <role>"
        ) from error


def pending(wanted: list[Migration], applied: dict[int, str]) -> list[Migration]:
    """What is still to be applied. SchemaError if the ledger and the files contradict."""
    for migration in wanted:
        if applied.get(migration.number, migration.checksum) != migration.checksum:
            raise SchemaError(
                f"{migration.name} was changed after it was applied; restore the file as it was "
                "and put the change into a new one"
            )
    unknown = applied.keys() - {migration.number for migration in wanted}
    if unknown:
        raise SchemaError(
            f"the database has schema {max(unknown)}, this program knows {len(wanted)}: "
            "run a newer Turnout"
        )
    return [migration for migration in wanted if migration.number not in applied]


async def _apply(connection: Connection, migration: Migration) -> None:
    async with connection.transaction():
        await connection.execute(migration.text)
        await connection.execute(
            "INSERT INTO turnout.schema_ledger (number, name, checksum) VALUES ($1, $2, $3)",
            migration.number,
            migration.name,
            migration.checksum,
        )
    log.info("schema applied", file=migration.name)
