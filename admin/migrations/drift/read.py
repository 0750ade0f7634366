"""Reads the fingerprint of a schema from PostgreSQL's catalogues, in one snapshot."""

import json
from collections.abc import Iterable
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from admin.migrations.drift.model import Fingerprint

if TYPE_CHECKING:
    import asyncpg

    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = Any

OWN_TABLES: Final = ("turnout_schema_history", "turnout_schema_fence")
"""Turnout's own tables in a target: they are not the application's."""


async def fingerprint(
    connection: Connection, schema: str, *, grants: bool = False, ignored: Iterable[str] = ()
) -> Fingerprint:
    """Of one schema, as this session sees it. grants: with who may do what to its relations.

    ignored: names of relations that don't count, beside Turnout's own.
    """
    sql = files("admin.migrations.drift").joinpath("schema.sql").read_text("utf-8")
    inner = connection.transaction()
    await inner.start()
    try:
        await connection.execute("SELECT set_config('search_path', quote_ident($1), true)", schema)
        rows = await connection.fetch(sql, schema, grants)
    finally:
        await inner.rollback()
    objects = {
        (row["kind"], row["name"]): {
            trait: str(value) for trait, value in json.loads(row["traits"]).items() if value
        }
        for row in rows
    }
    return Fingerprint(objects).without([*OWN_TABLES, *ignored])
