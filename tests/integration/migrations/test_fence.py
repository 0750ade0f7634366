"""The target itself refuses who comes too late, and who comes after ends the one before."""

from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from admin.migrations.executor import Job, execute
from admin.migrations.faults import Fenced
from admin.migrations.target.session import Limits, Sessions
from admin.migrations.target.versions import Versions
from admin.migrations.targets import Target
from tests.support.migrations import Ledger, catalogue, file, job, of_tenant, settings

TABLE = "CREATE TABLE jobs (id bigint PRIMARY KEY)"
LIMITS = Limits(0.5, 5.0)


class Steady:
    def told(self, rows: int, total: int) -> None: ...

    def may_go_on(self) -> bool:
        return True

    async def begins(self) -> None: ...


@pytest.fixture
async def target(book: Ledger) -> Target:
    target = of_tenant("acme")
    await book.schemas([target])
    return target


async def run(book: Ledger, each: Job) -> bool:
    sessions = Sessions(settings(), book.environ)
    try:
        return (await execute(each, sessions, settings(), Steady())).found
    finally:
        await sessions.close()


async def test_a_lower_fence_writes_nothing(book: Ledger, target: Target) -> None:
    files = catalogue(file("1.0.0", TABLE), file("1.1.0", "CREATE TABLE late ()"))
    await run(book, job(files[0], target, 8, files))
    with pytest.raises(Fenced):
        await run(book, job(files[1], target, 7, files))
    assert await book.there.fetchval("SELECT to_regclass('t_acme.late')") is None
    assert (
        await book.there.fetchval("SELECT fence FROM t_acme.turnout_schema_history WHERE key = ''")
        == 8
    )


async def test_a_zombie_in_the_middle_of_its_transaction_is_ended(
    book: Ledger, target: Target
) -> None:
    files = catalogue(file("1.0.0", TABLE))
    sessions = Sessions(settings(), book.environ)
    async with sessions.open(target, 1, LIMITS) as zombie:
        versions = Versions(zombie, 1, makes_schema=False)
        await zombie.begin()
        await versions.enter()
        await zombie.run(TABLE)
        assert not await run(book, job(files[0], target, 2, files))
        # Only now it wakes up.
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)):
            await zombie.commit()
    await sessions.close()
    rows = await book.there.fetch(
        "SELECT key, fence FROM t_acme.turnout_schema_history WHERE key <> ''"
    )
    assert [tuple(row) for row in rows] == [("1.0.0", 2)]


async def test_a_zombie_that_comes_back_with_a_new_connection_is_refused(
    book: Ledger, target: Target
) -> None:
    files = catalogue(
        file("1.0.0", TABLE), file("1.1.0", "CREATE INDEX CONCURRENTLY i ON jobs (id)")
    )
    await run(book, job(files[0], target, 5, files))
    with pytest.raises(Fenced):
        await run(book, job(files[1], target, 4, files))
    assert await book.there.fetchval("SELECT to_regclass('t_acme.i')") is None


async def test_a_worker_is_not_ended_by_a_zombie(book: Ledger, target: Target) -> None:
    files = catalogue(file("1.0.0", TABLE))
    sessions = Sessions(settings(), book.environ)
    async with sessions.open(target, 9, LIMITS) as living:
        versions = Versions(living, 9, makes_schema=False)
        await living.begin()
        await versions.enter()
        with pytest.raises(Fenced):
            await run(book, job(files[0], target, 3, files))
        await living.commit()
    await sessions.close()


async def test_a_time_out_of_nothing_is_refused() -> None:
    for limits in ((0.0, 1.0), (1.0, 0.0), (0.0001, 1.0)):
        with pytest.raises(ValueError, match="at least a millisecond"):
            Limits(*limits)


async def test_a_ledger_that_is_behind_its_targets_catches_up(
    book: Ledger, target: Target, works: Callable[..., Awaitable[Any]]
) -> None:
    """As one that was restored, or made anew: it gives out fences that the target has seen."""
    files = catalogue(file("1.0.0", TABLE), file("1.1.0", "CREATE TABLE late ()"))
    await run(book, job(files[0], target, 1000, files))
    plan = await book.planned(files, [target])
    await works(book.worker(settings(lease_s=30.0)))
    await book.ends(plan)
    assert await book.jobs(plan) == {"skipped": 1, "done": 1}
    fence = await book.connection.fetchval("SELECT fence FROM turnout.migration_targets")
    assert fence > 1000
