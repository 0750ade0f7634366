"""What a broken-off statement has left in a target, and how that is mended.

Only for a step that this ledger's workers have begun: what others left behind is theirs.
Source: PostgreSQL's documentation of CREATE INDEX ("Building Indexes Concurrently"), REINDEX
("Rebuilding Indexes Concurrently") and ALTER TABLE … DETACH PARTITION.
"""

from typing import TYPE_CHECKING, Final

from admin.migrations.faults import Failed, Failure
from admin.migrations.files import Statement
from admin.migrations.steps import Kind, Step
from admin.migrations.target.session import Limits
from admin.migrations.targets import quoted

if TYPE_CHECKING:
    from admin.migrations.executor import Work

_INDEX: Final = """
SELECT i.indisvalid FROM pg_index i
  JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = $1 AND c.relname = $2
"""
_HALF_REBUILT: Final = """
SELECT n.nspname, c.relname FROM pg_index i
  JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = $1 AND NOT i.indisvalid AND c.relname ~ '_cc(new|old)[0-9]*$'
"""
_DETACHING: Final = """
SELECT h.inhdetachpending FROM pg_inherits h
  JOIN pg_class c ON c.oid = h.inhrelid JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = $1 AND c.relname = $2
"""


async def exists(work: "Work", step: Step) -> bool:
    """Whether what the step is about to make is there already."""
    return step.kind is Kind.INDEX and await _valid(work, step) is not None


async def mended(work: "Work", step: Step, limits: Limits) -> bool:
    """Clear away what a step that was begun has left. True: it is done, and not to be run again."""
    if step.kind is Kind.INDEX:
        valid = await _valid(work, step)
        if valid is False:
            await _drop(work, _schema(work, step), step.name, limits)
        return valid is True
    if step.kind is Kind.DROP_INDEX:
        return await _valid(work, step) is None
    if step.kind is Kind.REINDEX:
        for row in await work.session.connection.fetch(_HALF_REBUILT, _schema(work, step)):
            await _drop(work, row["nspname"], row["relname"], limits)
        return False
    if step.kind is Kind.DETACH:
        return await _detached(work, step, limits)
    return False


async def check(work: "Work", statement: Statement, step: Step) -> None:
    """After it has run: IF NOT EXISTS also passes over an index that is broken. Failed."""
    if step.kind is Kind.INDEX and await _valid(work, step) is False:
        name = f"{_schema(work, step)}.{step.name}"
        raise Failed(
            Failure(
                f"the index {name} was there already, and is not valid",
                f"It was left by something else than this migration: DROP INDEX CONCURRENTLY "
                f"{name}, then `turnout migrations retry {work.job.plan}`.",
                code="invalid-index",
                file=work.job.file.path,
                line=statement.line,
                statement=statement.sql,
            )
        )


async def _detached(work: "Work", step: Step, limits: Limits) -> bool:
    pending = await work.session.connection.fetchval(
        _DETACHING, step.schema or work.session.target.schema, step.name
    )
    if pending:
        parent = f"{quoted(step.table_schema or work.session.target.schema)}.{quoted(step.table)}"
        child = f"{quoted(step.schema or work.session.target.schema)}.{quoted(step.name)}"
        sql = f"ALTER TABLE {parent} DETACH PARTITION {child} FINALIZE"
        await work.run(Statement(sql, 0), limits)
    return pending is not False


async def _valid(work: "Work", step: Step) -> bool | None:
    """Whether the index is valid; None: there is none."""
    found: bool | None = await work.session.connection.fetchval(
        _INDEX, _schema(work, step), step.name
    )
    return found


async def _drop(work: "Work", schema: str, name: str, limits: Limits) -> None:
    sql = f"DROP INDEX CONCURRENTLY IF EXISTS {quoted(schema)}.{quoted(name)}"
    await work.run(Statement(sql, 0), limits)


def _schema(work: "Work", step: Step) -> str:
    return step.schema or work.session.target.schema
