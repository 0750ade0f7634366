"""What a database knows that the files don't: types, NOT NULL, defaults, and how large tables are."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from admin.migrations.lint.context import Size
from admin.migrations.lint.schema import Check, Column, Schema, Table
from admin.migrations.lint.sqltext import Type, quoted
from admin.migrations.references import ReferenceFault, database_url

_COLUMNS = Path(__file__).with_name("columns.sql").read_text("utf-8")
_SIZES = Path(__file__).with_name("sizes.sql").read_text("utf-8")
_CHECKS = Path(__file__).with_name("checks.sql").read_text("utf-8")
_LENGTHS = frozenset({"varchar", "bpchar"})
_PRECISE = frozenset({"timestamp", "timestamptz", "time", "timetz", "bit", "varbit"})
_HEADER = 4
"""What PostgreSQL adds to a length that it keeps as a modifier (VARHDRSZ)."""


class DatabaseError(Exception):
    """It can't be read. The message names the reference, and never the URL."""


@dataclass(frozen=True, slots=True)
class Known:
    """What was read."""

    schema: Schema
    sizes: Mapping[str, Size]


async def look(reference: str, schema: str, timeout_s: float) -> Known:
    """Read a schema's tables. timeout_s: for all of it. DatabaseError."""
    try:
        url = database_url(reference)
    except ReferenceFault as error:
        raise DatabaseError(str(error)) from None
    try:
        async with asyncio.timeout(timeout_s):
            return await _read(url, schema)
    except TimeoutError:
        raise DatabaseError(f"{reference}: no answer in {timeout_s:g} s") from None
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        # A message of PostgreSQL's may quote the URL's user and host, so its class has to do.
        raise DatabaseError(f"{reference} can't be read: {type(error).__name__}") from None


async def _read(url: str, schema: str) -> Known:
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction(readonly=True):
            columns = await connection.fetch(_COLUMNS, schema)
            sizes = await connection.fetch(_SIZES, schema)
            checks = await connection.fetch(_CHECKS, schema)
    finally:
        await connection.close()
    return Known(
        _schema(columns, checks),
        {row["name"]: Size(row["bytes"], row["rows"]) for row in sizes},
    )


def _schema(columns: Iterable[asyncpg.Record], checks: Iterable[asyncpg.Record]) -> Schema:
    found = Schema()
    for row in columns:
        table = found.tables.setdefault(quoted(row["table_name"]), Table())
        table.columns[row["name"]] = Column(
            type_from(row["type"], row["modifier"]),
            row["not_null"],
            row["has_default"],
            row["is_virtual"],
        )
    for row in checks:
        table = found.tables.setdefault(quoted(row["table_name"]), Table())
        table.checks[row["name"]] = Check(
            row["not_null"] or "", row["is_valid"], frozenset(row["columns"])
        )
    return found


def type_from(name: str, modifier: int) -> Type:
    """A type from PostgreSQL's own name of it (`_int4` is an array) and its modifier (-1: none)."""
    is_array = name.startswith("_")
    bare = name.removeprefix("_")
    if modifier < 0:
        return Type(bare, (), is_array)
    if bare in _LENGTHS:
        return Type(bare, (modifier - _HEADER,), is_array)
    if bare == "numeric":
        packed = modifier - _HEADER
        # Scale: 11 bits, signed (numeric.c, make_numeric_typmod).
        scale = ((packed & 0x7FF) ^ 1024) - 1024
        return Type(bare, (packed >> 16 & 0xFFFF, scale), is_array)
    return Type(bare, (modifier,) if bare in _PRECISE else (), is_array)
