"""What a database knows that the files don't: columns, constraints, indexes, views, and how large tables are."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import postgast

from admin.migrations.lint.attaching import Bound, bounds_of
from admin.migrations.lint.context import Size
from admin.migrations.lint.schema import Check, Column, ForeignKey, Schema, Table
from admin.migrations.lint.sqltext import Type, quoted
from admin.migrations.references import ReferenceFault, database_url

_QUERIES = {
    name: Path(__file__).with_name(f"{name}.sql").read_text("utf-8")
    for name in (
        *("columns", "tables", "checks", "keys", "foreign_keys"),
        *("domains", "functions", "sizes"),
    )
}
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
            rows = {name: await connection.fetch(query, schema) for name, query in _QUERIES.items()}
    finally:
        await connection.close()
    found = Schema()
    for name, take in _TAKEN.items():
        for row in rows[name]:
            take(found, row)
    return Known(found, {row["name"]: Size(row["bytes"], row["rows"]) for row in rows["sizes"]})


def _table(found: Schema, row: asyncpg.Record) -> Table:
    return found.table(quoted(row["table_name"]))


def _take_column(found: Schema, row: asyncpg.Record) -> None:
    type_ = type_from(row["type"], row["modifier"])
    if row["of_view"]:
        view = found.views.setdefault(quoted(row["table_name"]), {})
        found.views[quoted(row["table_name"])] = {**view, row["name"]: type_}
        return
    _table(found, row).columns[row["name"]] = Column(
        type_, row["not_null"], row["has_default"], row["is_virtual"]
    )


def _take_table(found: Schema, row: asyncpg.Record) -> None:
    table = _table(found, row)
    table.is_partitioned, table.has_rest = row["is_partitioned"], row["has_rest"]
    table.partitioned_by = row["partitioned_by"]
    table.method, table.tablespace = row["method"], row["tablespace"]
    # Of a table with a replica identity of its own, what a primary key decides isn't known.
    table.is_whole = not row["is_replicated"]


def _take_check(found: Schema, row: asyncpg.Record) -> None:
    _table(found, row).checks[row["name"]] = Check(
        row["not_null"] or "",
        row["is_valid"],
        frozenset(row["columns"]),
        _bounds(row["expression"]),
    )


def _bounds(expression: str | None) -> frozenset[Bound]:
    """What PostgreSQL's own words for a CHECK say of single columns."""
    if expression is None:
        return frozenset()
    (parsed,) = postgast.parse(f"SELECT {expression}").stmts
    return bounds_of(parsed.stmt.select_stmt.target_list[0].res_target.val)


def _take_key(found: Schema, row: asyncpg.Record) -> None:
    table, columns = _table(found, row), tuple(row["columns"])
    table.indexes[row["name"]] = columns if row["finds"] else ("", *columns)
    if row["is_primary"]:
        table.primary, table.primary_key = row["name"], columns
    if row["is_key"] and len(columns) == 1 and columns[0]:
        table.keys.add(columns[0])
    if all(columns):
        found.indexes[row["index_name"]] = columns
    if not row["is_unique"]:
        found.plain_indexes.add(quoted(row["index_name"]))


def _take_foreign_key(found: Schema, row: asyncpg.Record) -> None:
    _table(found, row).foreign_keys[row["name"]] = ForeignKey(
        tuple(row["columns"]),
        quoted(row["parent"]),
        tuple(row["parent_columns"]),
        row["on_delete"],
        row["on_update"],
        row["is_valid"],
    )


def _take_domain(found: Schema, row: asyncpg.Record) -> None:
    name = quoted(row["name"])
    found.domains[name] = type_from(row["type"], row["modifier"])
    if row["is_checked"]:
        found.constrained_domains.add(name)


_TAKEN: Mapping[str, Callable[[Schema, asyncpg.Record], None]] = {
    "columns": _take_column,
    "tables": _take_table,
    "checks": _take_check,
    "keys": _take_key,
    "foreign_keys": _take_foreign_key,
    "domains": _take_domain,
    "functions": lambda found, row: found.functions.add(row["name"]),
}


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
