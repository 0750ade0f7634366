"""What the old version's queries give: asked as its role, each rolled back."""

from collections.abc import Sequence
from dataclasses import dataclass

import asyncpg

ROLE = "erp"
_STRINGS = {"text", "varchar", "bpchar"}
"""They look the same to every client, on the wire too: no query sees one become the other."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a query gave: an error, or the command's tag, its columns and its rows."""

    error: str | None
    tag: str = ""
    columns: tuple[tuple[str, str], ...] = ()
    rows: tuple[tuple[object, ...], ...] = ()


async def run(session: asyncpg.Connection, scripts: Sequence[str]) -> None:
    """Each script that isn't empty."""
    for script in filter(None, scripts):
        await session.execute(script)


async def answers(session: asyncpg.Connection, queries: Sequence[str]) -> list[Outcome]:
    """The queries' outcomes, as the old version's role."""
    # Or the client would take a type for what it was.
    await session.reload_schema_state()
    return [await _outcome(session, query) for query in queries]


async def _outcome(session: asyncpg.Connection, query: str) -> Outcome:
    transaction = session.transaction()  # a savepoint, if there is one already
    await transaction.start()
    try:
        await session.execute(f"SET LOCAL ROLE {ROLE}")
        prepared = await session.prepare(query)
        rows = await prepared.fetch()
        await session.execute("SET CONSTRAINTS ALL IMMEDIATE")
    except asyncpg.PostgresError as error:
        return Outcome(str(error))
    finally:
        await transaction.rollback()
    columns = tuple((column.name, _seen(column.type)) for column in prepared.get_attributes())
    return Outcome(None, prepared.get_statusmsg() or "", columns, tuple(tuple(row) for row in rows))


def _seen(kind: asyncpg.Type) -> str:
    """A column's type, as a client tells types apart."""
    return "string" if kind.name in _STRINGS else f"{kind.schema}.{kind.name}"
