"""What a table's columns take, and a few rows of it: what values for trials are made from."""

from collections.abc import Collection
from typing import Final

import asyncpg

from admin.migrations.identifiers import quoted
from admin.migrations.proof.columns import Column, Table
from admin.migrations.proof.servers import Connection

ROWS: Final = 2
"""How many rows are looked at."""
_COLUMNS = """
SELECT a.attname, t.typname AS base,
       t.typcategory::text AS category, a.attnotnull OR t.typnotnull AS not_null,
       a.attgenerated <> '' AS generated, a.attidentity = 'a' AS identity,
       CASE WHEN a.atttypmod > 4 AND t.typname IN ('varchar', 'bpchar')
            THEN a.atttypmod - 4 END AS length,
       (SELECT e.enumlabel FROM pg_enum e WHERE e.enumtypid = t.oid ORDER BY e.enumsortorder LIMIT 1) AS label
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
 WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped
 ORDER BY a.attnum
"""
_KEYS = """
SELECT DISTINCT a.attname FROM pg_index i
  JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
 WHERE i.indrelid = $1::regclass AND i.indisunique
"""
_OBSTACLES = """
SELECT format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS %I', conrelid::regclass, conname) AS sql
  FROM pg_constraint
 WHERE contype = 'f' AND conparentid = 0 AND (conrelid = $1::regclass OR confrelid = $1::regclass)
UNION ALL
SELECT format('ALTER TABLE %s DISABLE TRIGGER %I', tgrelid::regclass, tgname)
  FROM pg_trigger WHERE tgrelid = $1::regclass AND NOT tgisinternal AND tgenabled <> 'D'
"""
_FUNCTIONS = """
SELECT EXISTS (
  SELECT FROM pg_proc p JOIN pg_language l ON l.oid = p.prolang JOIN pg_namespace n ON n.oid = p.pronamespace
   WHERE p.proname = ANY ($1) AND l.lanname NOT IN ('internal', 'c')
     AND n.nspname NOT IN ('pg_catalog', 'information_schema'))
"""


class Facts:
    """Of all tables that were asked for, each read once until `forget`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._tables: dict[str, Table | None] = {}

    def forget(self) -> None:
        """The schema has changed."""
        self._tables.clear()

    async def table(self, schema: str, name: str) -> Table | None:
        """None: there is no such table, or it may not be read."""
        if not name:
            return None
        full = f"{quoted(schema)}.{quoted(name)}" if schema else quoted(name)
        if full not in self._tables:
            self._tables[full] = await self._read(full)
        return self._tables[full]

    async def has_functions(self, names: Collection[str]) -> bool:
        """Whether one of them is written in a language whose text may break."""
        return bool(names) and bool(await self._connection.fetchval(_FUNCTIONS, list(names)))

    async def _read(self, full: str) -> Table | None:
        try:
            async with self._connection.transaction():
                rows = await self._connection.fetch(_COLUMNS, full)
                keys = await self._connection.fetch(_KEYS, full)
                obstacles = await self._connection.fetch(_OBSTACLES, full)
                values = await self._values(full, [row["attname"] for row in rows])
        except asyncpg.PostgresError:
            return None
        columns = {row["attname"]: _column(row, values.get(row["attname"], ())) for row in rows}
        return Table(
            full,
            columns,
            frozenset(row["attname"] for row in keys),
            tuple(row["sql"] for row in obstacles),
        )

    async def _values(self, full: str, names: list[str]) -> dict[str, tuple[str | None, ...]]:
        if not names:
            return {}
        wanted = ", ".join(f"{quoted(name)}::text" for name in names)
        rows = await self._connection.fetch(f"SELECT {wanted} FROM {full} LIMIT {ROWS}")  # noqa: S608 - quoted
        return {name: tuple(row[place] for row in rows) for place, name in enumerate(names)}


def _column(row: asyncpg.Record, values: tuple[str | None, ...]) -> Column:
    return Column(
        name=row["attname"],
        base=row["base"],
        category=row["category"],
        not_null=row["not_null"],
        generated=row["generated"] or row["identity"],
        length=row["length"],
        label=row["label"],
        values=values,
    )
