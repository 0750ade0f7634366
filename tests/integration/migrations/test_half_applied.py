"""What may be gone from a schema counts as gone, whatever has become of its job; and pauses hold."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from admin.migrations.guard import read
from admin.migrations.ledger import jobs
from admin.migrations.states import PlanEvent
from admin.migrations.version import Version
from tests.support.migrations import Ledger, catalogue, file, of_tenant, settings, until

Works = Callable[..., Awaitable[Any]]
TARGET = of_tenant("acme")
TABLE = file("1.2.0", "CREATE TABLE jobs (id bigint PRIMARY KEY, legacy text)")
OLD = Version.parse("1.2.0")
DROP = "ALTER TABLE jobs DROP COLUMN legacy"


def contract(*statements: str, transactional: bool = False) -> Any:
    return file(
        "1.3.0", *statements, phase="contract", requires="1.3.0", transactional=transactional
    )


async def planned(book: Ledger, works: Works, second: Any) -> str:
    """The first is applied; the second, which takes something away, begins."""
    await book.schemas([TARGET])
    first = await book.planned(catalogue(TABLE), [TARGET])
    worker = book.worker(settings(), "w0")
    task = await works(worker)
    await book.ends(first)
    worker.drain()
    await task
    return await book.planned(catalogue(TABLE, second), [TARGET], phases=("expand", "contract"))


async def serves_old(book: Ledger) -> bool:
    schema = (await read(book.connection)).schemas.of["acme"]
    return OLD in schema


async def ended(book: Ledger) -> bool:
    """Whether no job runs."""
    running = "SELECT count(*) = 0 FROM turnout.migration_jobs WHERE state = 'running'"
    return bool(await book.connection.fetchval(running))


@pytest.mark.parametrize("how", ["made room for", "lapsed"])
async def test_a_contract_that_is_half_applied_counts_also_when_it_is_cancelled(
    book: Ledger, works: Works, how: str
) -> None:
    plan = await planned(book, works, contract(DROP, "SELECT pg_sleep(30)"))
    worker = book.worker(settings(drain_s=0.1))
    await works(worker)
    steps = "SELECT max(steps) = 1 FROM t_acme.turnout_schema_history"
    await until(lambda: book.there.fetchval(steps))
    assert not await serves_old(book)
    worker.drain()
    await until(lambda: ended(book))
    if how == "lapsed":
        await book.connection.execute(
            "UPDATE turnout.migration_jobs SET state = 'running', tries = 0,"
            " lease_until = now() - interval '1 s' WHERE plan = $1 AND state = 'queued'",
            plan,
        )
        assert await jobs.lapse(book.connection) == 1
    assert await book.jobs(plan) == {"skipped": 1, "queued": 1}
    assert not await serves_old(book)
    await book.word(plan, PlanEvent.CANCEL)
    assert not await serves_old(book)


async def test_a_contract_that_was_rolled_back_does_not_count(book: Ledger, works: Works) -> None:
    plan = await planned(book, works, contract(DROP, "SELECT 1 / 0", transactional=True))
    await works(book.worker(settings()))
    await book.ends(plan, "stopped")
    assert await serves_old(book)


async def test_a_contract_that_was_never_begun_does_not_count(book: Ledger, works: Works) -> None:
    await book.connection.execute(
        "INSERT INTO turnout.slot_versions (slot, version, actor) VALUES ('blue', '1.2.0', 'x')"
    )
    plan = await planned(book, works, contract(DROP, "SELECT 1"))
    await works(book.worker(settings()))
    await book.ends(plan, "stopped")
    assert await serves_old(book)


async def test_a_claim_that_waits_while_its_plan_is_paused_gives_out_nothing(book: Ledger) -> None:
    plan = await book.planned(catalogue(TABLE), [TARGET])
    waits = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
        " AND datname = current_database()"
    )
    async with book.database.connection() as held, book.database.connection() as claiming:
        async with held.transaction():
            await held.execute("SELECT FROM turnout.migration_targets FOR UPDATE")
            claim = asyncio.create_task(jobs.claim(claiming, "w1", {"main": 4}, 60.0))
            await until(lambda: book.connection.fetchval(waits))
            await book.word(plan, PlanEvent.PAUSE)
        assert await claim is None
    assert await book.jobs(plan) == {"queued": 1}


async def test_what_is_given_back_after_its_plan_was_cancelled_is_cancelled(book: Ledger) -> None:
    targets = [of_tenant(name) for name in ("acme", "bodoni")]
    plan = await book.planned(catalogue(TABLE), targets, shares=())
    first, second = [await jobs.claim(book.connection, "w1", {"main": 4}, 60.0) for _ in range(2)]
    assert first is not None
    assert second is not None
    await book.word(plan, PlanEvent.CANCEL)
    assert await jobs.give_back(book.connection, first, None, 0.0, counts=False)
    await book.connection.execute(
        "UPDATE turnout.migration_jobs SET lease_until = now() - interval '1 s' WHERE id = $1",
        second.id,
    )
    assert await jobs.lapse(book.connection) == 1
    assert await book.jobs(plan) == {"cancelled": 2}
