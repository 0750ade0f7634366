"""Brings the schema up to this version, safely when several instances start at once.

Rules. Files are named NUMBER_vVERSION_what.sql and only expand. An instance applies those of its own
version and below, so 1.2.0 runs before and after 1.3.0 has added to the schema. One instance acts
at a time (an advisory lock, polled: a session that blocks on it holds a snapshot, and CREATE INDEX
CONCURRENTLY would wait for that snapshot for ever). A statement that can't have its lock soon gives
up and tries again, rather than queue traffic behind itself. A file that changed after it was
applied stops the start.
"""

import asyncio
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from examples.print_erp.settings import version_number

FOLDER = Path(__file__).with_name("schema")
LOCK_KEY = int.from_bytes(b"printerp", "big") >> 1  # any constant of ours; 63 bits
LOCK_WAIT_SECONDS = 30.0
LOCK_POLL_SECONDS = 0.02
LOCK_TIMEOUT_MS = 2_000
STATEMENT_TIMEOUT_MS = 60_000
TRIES = 5

_TRY_LOCK = "SELECT pg_try_advisory_lock($1)"
_NAME = re.compile(r"(\d{3})_v(\d+\.\d+\.\d+)_(\w+)\.sql")
_LEDGER = """
CREATE TABLE IF NOT EXISTS erp_schema (
    number     INTEGER     PRIMARY KEY,
    version    TEXT        NOT NULL,
    name       TEXT        NOT NULL,
    checksum   TEXT        NOT NULL,
    applied_by TEXT        NOT NULL,
    applied_at TIMESTAMPTZ NOT NULL DEFAULT now()
)
"""


class SchemaError(Exception):
    """The schema can't be brought up to this version; says why, without secrets."""


@dataclass(frozen=True, slots=True)
class Step:
    """One file of the schema."""

    number: int
    version: str
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def statements(self) -> list[str]:
        """One, to run as a transaction; or each alone, when the file's first line says so."""
        if not self.text.startswith("-- outside a transaction"):
            return [self.text]
        return [part for part in self.text.split(";\n") if part.strip()]


def steps(up_to: tuple[int, ...], folder: Path = FOLDER) -> list[Step]:
    """The files that a version needs, in order. SchemaError for a name that doesn't fit."""
    return [step for step in _read(folder) if version_number(step.version) <= up_to]


def _read(folder: Path) -> Iterator[Step]:
    for path in sorted(folder.glob("*.sql")):
        fits = _NAME.fullmatch(path.name)
        if fits is None:
            raise SchemaError(f"{path.name} is not named NUMBER_vVERSION_what.sql")
        yield Step(int(fits[1]), fits[2], fits[3], path.read_text())


async def migrate(url: str, up_to: tuple[int, ...], instance: str) -> int:
    """Apply what is missing; how many files that was. SchemaError when it can't be done."""
    wanted = steps(up_to)
    connection = await asyncpg.connect(url, timeout=5, command_timeout=STATEMENT_TIMEOUT_MS / 1000)
    try:
        if not await _missing(connection, wanted):
            return 0
        await _lock(connection)
        await connection.execute(f"SET lock_timeout = {LOCK_TIMEOUT_MS}")
        await connection.execute(f"SET statement_timeout = {STATEMENT_TIMEOUT_MS}")
        await connection.execute(_LEDGER)
        missing = await _missing(connection, wanted)
        for step in missing:
            await _apply(connection, step, instance)
        return len(missing)
    finally:
        await connection.close(timeout=5)  # the advisory lock goes with its session


async def _missing(
    connection: "asyncpg.Connection[asyncpg.Record]", wanted: list[Step]
) -> list[Step]:
    if await connection.fetchval("SELECT to_regclass('erp_schema') IS NULL"):
        return wanted
    rows = await connection.fetch("SELECT number, checksum FROM erp_schema")
    applied = {row["number"]: row["checksum"] for row in rows}
    for step in wanted:
        if applied.get(step.number, step.checksum) != step.checksum:
            raise SchemaError(f"schema file {step.number:03} changed after it was applied")
    return [step for step in wanted if step.number not in applied]


async def _lock(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    try:
        async with asyncio.timeout(LOCK_WAIT_SECONDS):
            while not await connection.fetchval(_TRY_LOCK, LOCK_KEY):  # noqa: ASYNC110 - polled on purpose, see above
                await asyncio.sleep(LOCK_POLL_SECONDS)
    except TimeoutError:
        raise SchemaError("another instance has held the schema lock for too long") from None


async def _apply(
    connection: "asyncpg.Connection[asyncpg.Record]", step: Step, instance: str
) -> None:
    for attempt in range(1, TRIES + 1):
        try:
            await _apply_once(connection, step, instance)
        except asyncpg.LockNotAvailableError:
            await asyncio.sleep(0.1 * attempt)
        else:
            return
    raise SchemaError(f"schema file {step.number:03} could not have its lock in {TRIES} tries")


async def _apply_once(
    connection: "asyncpg.Connection[asyncpg.Record]", step: Step, instance: str
) -> None:
    record = "INSERT INTO erp_schema (number, version, name, checksum, applied_by) VALUES ($1, $2, $3, $4, $5)"
    values = (step.number, step.version, step.name, step.checksum, instance)
    if len(step.statements) == 1:
        async with connection.transaction():
            await connection.execute(step.text)
            await connection.execute(record, *values)
        return
    for statement in step.statements:
        await connection.execute(statement)
    await connection.execute(record, *values)
