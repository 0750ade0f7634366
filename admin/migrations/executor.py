"""One job: one migration of one target, applied as the target's own table allows.

Rules:
1. What the target says is asked first, under its lock: a migration that it has is found, not run.
2. A file that differs from what was applied, and a version that the catalogue doesn't know, end the
   job before anything is run.
3. The session is the job's alone, and its errors become `Again`, `Failed` or `Fenced` here.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import asyncpg

from admin.migrations.catalogue_check import refused
from admin.migrations.config import Settings
from admin.migrations.faults import (
    LOST,
    MAX_TEXT,
    RETRYABLE,
    Again,
    Failed,
    Failure,
    message_of,
    remedy,
)
from admin.migrations.files import Applied, File, Row, Statement
from admin.migrations.target.session import Limits, Session, Sessions
from admin.migrations.target.versions import Versions
from admin.migrations.targets import Target


class Progress(Protocol):
    """What a long job tells on its way, and asks."""

    def told(self, rows: int, total: int) -> None:
        """So many rows are done, of about so many."""

    def may_go_on(self) -> bool:
        """Whether it is not asked to make room."""

    async def begins(self) -> None:
        """The target is connected to, and will be written to. Fenced."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be done. files: all that the plan knows; file: the one to apply."""

    plan: str
    target: Target
    fence: int
    file: File
    files: tuple[File, ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What was done. found: the target had it already, of another plan.

    applied: all that the target has now, by key.
    """

    found: bool
    duration_ms: float
    applied: Mapping[str, Applied] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Work:
    """A job at work on its target."""

    job: Job
    session: Session
    versions: Versions
    settings: Settings
    progress: Progress

    async def run(self, statement: Statement, limits: Limits | None = None) -> str:
        """Run one statement of its file; its command tag. Again, Failed."""
        try:
            return await self.session.run(statement.sql, limits)
        except asyncpg.PostgresError as error:
            raise _told(error, self.job, statement) from error


async def execute(job: Job, sessions: Sessions, settings: Settings, progress: Progress) -> Result:
    """Bring the job to its end. Again, Failed, Fenced, Interrupted."""
    limits = Limits(settings.lock_timeout_s, settings.statement_timeout_s)
    try:
        async with sessions.open(job.target, job.fence, limits) as session:
            versions = Versions(session, job.fence, makes_schema=settings.create_schemas)
            work = Work(job, session, versions, settings, progress)
            await progress.begins()
            return await _applied(work)
    except asyncpg.PostgresError as error:
        raise _told(error, job, None) from error
    except TimeoutError as error:
        raise Again(LOST, "the server hangs: it did not even keep its own time-outs") from error
    except (OSError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise Again(LOST, f"the connection was lost ({type(error).__name__})") from error


async def _applied(work: Work) -> Result:
    at_once = work.job.file.transactional and work.job.file.batch is None
    try:
        if at_once:
            return await _in_one_transaction(work)
        from admin.migrations import stepwise  # noqa: PLC0415 - it builds on this file

        return await stepwise.apply(work)
    finally:
        await work.session.leave(unlocks=not at_once)


async def _in_one_transaction(work: Work) -> Result:
    session, versions, job = work.session, work.versions, work.job
    await session.begin()
    await versions.enter()
    rows = await versions.rows()
    if (found := standing(work, rows)) is not None:
        await session.commit()
        return found
    began = time.monotonic()
    for statement in job.file.statements:
        await work.run(statement)
    # A deferred constraint speaks now, while its statement can still be told from the commit.
    await work.run(Statement("SET CONSTRAINTS ALL IMMEDIATE", 0))
    took_ms = (time.monotonic() - began) * 1000
    applied = await versions.save(job.file, job.plan, took_ms, whole=True)
    await session.commit()
    return done(applied, rows)


def standing(work: Work, rows: Mapping[str, Row]) -> Result | None:
    """What the target says of the job: it has it; None: it is to be applied. Failed."""
    job = work.job
    fault = refused(job.file, job.files, rows)
    if fault:
        raise Failed(fault)
    row = rows.get(job.file.key)
    if row is None or not row.is_whole or row.applied.checksum != job.file.checksum:
        return None
    applied = {key: each.applied for key, each in rows.items() if each.is_whole}
    return Result(row.applied.plan != job.plan, row.applied.duration_ms, applied)


def done(applied: Applied, rows: Mapping[str, Row]) -> Result:
    """The job is done: what the target has now. rows: what it had."""
    before = {key: each.applied for key, each in rows.items() if each.is_whole}
    return Result(False, applied.duration_ms, {**before, applied.key: applied})


def _told(error: asyncpg.PostgresError, job: Job, statement: Statement | None) -> Again | Failed:
    """PostgreSQL's error as ours, with its place in the file."""
    state = error.sqlstate or LOST
    sql = statement.sql if statement else ""
    line, column = _place(error, statement)
    failure = Failure(
        message_of(state, str(error.args[0] if error.args else type(error).__name__)),
        remedy(state, job.plan),
        code="statement" if statement else "target",
        sqlstate=state,
        hint=(getattr(error, "hint", None) or "")[:MAX_TEXT],
        file=job.file.path,
        line=line,
        column=column,
        statement=sql[:MAX_TEXT],
    )
    passes = state in RETRYABLE or _met_another(error)
    return Again(state, failure=failure) if passes else Failed(failure)


def _met_another(error: asyncpg.PostgresError) -> bool:
    """Whether somebody made the same object meanwhile, such as an extension that two targets need.

    IF NOT EXISTS doesn't see what isn't committed, and then meets its row in PostgreSQL's catalogue.
    """
    doubled = isinstance(error, asyncpg.UniqueViolationError)
    return doubled and getattr(error, "schema_name", None) == "pg_catalog"


def _place(error: asyncpg.PostgresError, statement: Statement | None) -> tuple[int, int]:
    """Line and column in the file; 0: unknown."""
    if statement is None or not statement.line:
        return 0, 0
    offset = getattr(error, "position", None)
    if not offset or not str(offset).isdecimal():
        return statement.line, statement.column
    before = statement.sql[: int(offset) - 1]
    lines = before.count("\n")
    if not lines:
        return statement.line, statement.column + len(before)
    return statement.line + lines, len(before) - before.rfind("\n")
