"""A migration that is not one transaction: its statements one by one, each a step that is resumed.

Rules:
1. The session holds the target's advisory lock from the first step to the last: who comes after
   ends the session first, so that no statement of a zombie is on its way when another begins.
2. A statement that can run in a transaction does, with its step's mark: it is done exactly once.
3. Of one that can't, it is written down that it was begun; whoever goes on looks at what it has
   left (`target.mending`), and mends that before it is run again.
"""

import time

from admin.migrations import batches
from admin.migrations.executor import Result, Work, done, standing
from admin.migrations.faults import Interrupted
from admin.migrations.files import Row, Statement
from admin.migrations.steps import Kind, Step, step_of
from admin.migrations.target import mending
from admin.migrations.target.session import Limits


async def apply(work: Work) -> Result:
    """Go on with the job from where the target says that it is. As `execute` raises."""
    session, versions, job = work.session, work.versions, work.job
    await session.begin()
    await versions.enter(whole_session=True)
    rows = await versions.rows()
    if (found := standing(work, rows)) is not None:
        await session.commit()
        return found
    row = _to_go_on_with(rows.get(job.file.key), job.file.checksum)
    if row is None:
        await versions.save(job.file, job.plan, 0.0, whole=False)
    await session.commit()
    began = time.monotonic()
    if job.file.batch is not None:
        await batches.run(work, job.file.batch, row)
    else:
        await _steps(work, row)
    await session.begin()
    await versions.raise_fence()
    took_ms = (time.monotonic() - began) * 1000
    applied = await versions.save(job.file, job.plan, took_ms, whole=True)
    await session.commit()
    return done(applied, rows)


def _to_go_on_with(row: Row | None, checksum: str) -> Row | None:
    """The row, if it is of this very text and not whole; None: it is begun anew."""
    if row is None or row.is_whole or row.applied.checksum != checksum:
        return None
    return row


async def _steps(work: Work, row: Row | None) -> None:
    first = row.steps if row else 0
    statements = work.job.file.statements
    for number in range(first, len(statements)):
        if not work.progress.may_go_on():
            raise Interrupted
        statement = statements[number]
        step = step_of(statement.sql)
        begun = row is not None and number == first and row.step_begun
        if step.kind is Kind.WITHIN:
            await _within(work, statement, number)
        else:
            await _alone(work, statement, step, number, begun=begun)


async def _within(work: Work, statement: Statement, number: int) -> None:
    await work.session.begin()
    await work.versions.raise_fence()
    await work.run(statement)
    await work.versions.step(work.job.file.key, number + 1, begun=False)
    await work.session.commit()


async def _alone(work: Work, statement: Statement, step: Step, number: int, *, begun: bool) -> None:
    settings = work.settings
    limits = Limits(settings.concurrent_lock_timeout_s, settings.statement_timeout_s)
    is_done = begun and await mending.mended(work, step, limits)
    if not is_done:
        # What is there before it was ever begun is somebody else's: PostgreSQL says so then.
        if not begun and not await mending.exists(work, step):
            await _mark(work, number, begun=True)
        await work.run(statement, limits)
        await mending.check(work, statement, step)
    await _mark(work, number + 1, begun=False)


async def _mark(work: Work, steps: int, *, begun: bool) -> None:
    await work.session.begin()
    await work.versions.raise_fence()
    await work.versions.step(work.job.file.key, steps, begun=begun)
    await work.session.commit()
