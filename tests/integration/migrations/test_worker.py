"""One worker on real targets: applied once, found, refused, failed, stopped, retried, drained."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from admin.migrations.ledger.plans import applied
from admin.migrations.states import PlanEvent
from tests.support.migrations import Ledger, catalogue, file, of_tenant, of_tenants, settings, until

Works = Callable[..., Awaitable[Any]]
TABLE = "CREATE TABLE jobs (id bigint PRIMARY KEY, quantity integer)"
COLUMN = "ALTER TABLE jobs ADD COLUMN priority integer DEFAULT 5"


async def test_every_target_gets_each_migration_in_order(book: Ledger, works: Works) -> None:
    targets = of_tenants(5)
    await book.schemas(targets)
    plan = await book.planned(catalogue(file("1.0.0", TABLE), file("1.1.0", COLUMN)), targets)
    await works(book.worker(settings()))
    await book.ends(plan)
    assert await book.jobs(plan) == {"done": 10}
    for target in targets:
        rows = await book.there.fetch(
            f'SELECT key, state, plan FROM "{target.schema}".turnout_schema_history'
            " WHERE key <> '' ORDER BY 1"
        )
        assert [tuple(row) for row in rows] == [
            ("1.0.0", "applied", plan),
            ("1.1.0", "applied", plan),
        ]
        assert await book.there.fetchval(f'SELECT count(priority) FROM "{target.schema}".jobs') == 0
    had = await applied(book.connection)
    assert {name: sorted(keys) for name, keys in had.items()} == {
        target.name: ["1.0.0", "1.1.0"] for target in targets
    }


async def test_what_the_ledger_knows_gets_no_job(book: Ledger, works: Works) -> None:
    targets = of_tenants(2)
    await book.schemas(targets)
    files = catalogue(file("1.0.0", TABLE))
    first = await book.planned(files, targets[:1])
    await works(book.worker(settings()))
    await book.ends(first)
    second = await book.planned(files, targets, applied=await applied(book.connection))
    await book.ends(second)
    assert await book.jobs(second) == {"done": 1}


async def test_what_a_target_has_already_is_found_and_not_run(book: Ledger, works: Works) -> None:
    (target,) = of_tenants(1)
    await book.schemas([target])
    files = catalogue(file("1.0.0", TABLE))
    first = await book.planned(files, [target])
    await works(book.worker(settings()))
    await book.ends(first)
    # The ledger is told nothing of it: as after its loss.
    second = await book.planned(files, [target])
    await book.ends(second)
    assert await book.jobs(second) == {"skipped": 1}


async def test_a_changed_file_is_refused_at_the_target(book: Ledger, works: Works) -> None:
    (target,) = of_tenants(1)
    await book.schemas([target])
    first = await book.planned(catalogue(file("1.0.0", TABLE)), [target])
    await works(book.worker(settings()))
    await book.ends(first)
    plan = await book.planned(
        catalogue(file("1.0.0", TABLE, "SELECT 1"), file("1.1.0", COLUMN)), [target]
    )
    await book.ends(plan, "stopped")
    assert (await errors(book, plan))[0]["code"] == "changed-file"


async def test_a_version_that_the_catalogue_does_not_know_is_refused(
    book: Ledger, works: Works
) -> None:
    (target,) = of_tenants(1)
    await book.schemas([target])
    first = await book.planned(catalogue(file("2.0.0", TABLE)), [target])
    await works(book.worker(settings()))
    await book.ends(first)
    plan = await book.planned(catalogue(file("1.1.0", "CREATE TABLE other ()")), [target])
    await book.ends(plan, "stopped")
    (error,) = await errors(book, plan)
    assert error["code"] == "unknown-version"
    assert "2.0.0" in error["message"]


async def test_a_failing_tenant_stops_its_wave_and_the_report_says_where(
    book: Ledger, works: Works
) -> None:
    good, bad, rest = of_tenant("good"), of_tenant("bad"), of_tenants(6)
    await book.schemas([good, *rest], TABLE)
    await book.schemas([bad], f"{TABLE}; INSERT INTO jobs VALUES (1, -1)")
    check = "ALTER TABLE jobs\n  ADD CONSTRAINT positive CHECK (quantity > 0)"
    files = catalogue(file("1.1.0", COLUMN, check), file("1.2.0", "CREATE TABLE next ()"))
    plan = await book.planned(
        files, [good, bad, *rest], pilots=frozenset({"good", "bad"}), failure_budget=0
    )
    await works(book.worker(settings(jobs_at_once=1)))
    await book.ends(plan, "stopped")
    (error,) = await errors(book, plan)
    assert (error["file"], error["line"], error["sqlstate"]) == ("V1.1.0__what.sql", 2, "23514")
    assert error["statement"] == check
    assert "violated by some row" in error["message"]
    assert f"turnout migrations retry {plan}" in error["remedy"]
    columns = "SELECT count(*) FROM information_schema.columns WHERE column_name = 'priority'"
    assert await book.there.fetchval(f"{columns} AND table_schema = 't_bad'") == 0, "half applied"
    for target in rest:
        assert await book.there.fetchval(f"{columns} AND table_schema = '{target.schema}'") == 0

    await book.word(plan, PlanEvent.RESUME)
    await book.ends(plan)
    counts = await book.jobs(plan)
    assert (counts["failed"], counts["blocked"]) == (1, 1), counts
    assert counts["done"] == 2 * (1 + len(rest))

    await book.there.execute("DELETE FROM t_bad.jobs")
    await book.word(plan, PlanEvent.RETRY)
    await book.ends(plan)
    assert await book.jobs(plan) == {"done": 2 * (2 + len(rest))}


async def test_a_migration_that_waits_for_a_lock_gives_up_and_blocks_nobody_longer(
    book: Ledger, works: Works
) -> None:
    (target,) = of_tenants(1)
    await book.schemas([target], f"{TABLE}; INSERT INTO jobs VALUES (1, 1)")
    plan = await book.planned(catalogue(file("1.1.0", COLUMN)), [target])
    async with book.there.transaction():
        await book.there.execute("LOCK TABLE t_c0.jobs IN ACCESS SHARE MODE")
        await works(book.worker(settings(tries=100)))
        # It has waited, given up, and waits for its next try: nothing queues behind it.
        tried = "SELECT sum(tries) FROM turnout.migration_jobs WHERE plan = $1"
        await until(lambda: book.connection.fetchval(tried, plan))
        why = "SELECT error ->> 'sqlstate' FROM turnout.migration_jobs WHERE plan = $1"
        assert await book.connection.fetchval(why, plan) == "55P03"
        other = await asyncpg.connect(book.environ["TURNOUT_TEST_TARGETS"])
        try:
            # Behind a migration that waits for its lock, even a reader would wait.
            assert await other.fetchval("SELECT count(*) FROM t_c0.jobs") == 1
        finally:
            await other.close()
    await book.ends(plan)
    assert await book.jobs(plan) == {"done": 1}


async def errors(book: Ledger, plan: str) -> list[dict[str, Any]]:
    rows = await book.connection.fetch(
        "SELECT error FROM turnout.migration_jobs WHERE plan = $1 AND state = 'failed'", plan
    )
    return [json.loads(row["error"]) for row in rows]


@pytest.mark.parametrize("name", ["lock_timeout", "statement_timeout"])
async def test_nothing_runs_without_time_outs_whatever_a_migration_sets(
    book: Ledger, works: Works, name: str
) -> None:
    (target,) = of_tenants(1)
    await book.schemas([target], "CREATE TABLE seen (what text)")
    tamper = f"DO $$ BEGIN PERFORM set_config('{name}', '0', false); END $$"
    look = f"INSERT INTO seen SELECT current_setting('{name}')"
    plan = await book.planned(catalogue(file("1.0.0", tamper, look)), [target])
    await works(book.worker(settings()))
    await book.ends(plan)
    assert await book.there.fetchval("SELECT what FROM t_c0.seen") in {"200ms", "10min"}


async def test_what_another_has_made_at_the_same_moment_is_tried_again(
    book: Ledger, works: Works
) -> None:
    """IF NOT EXISTS looks first; of two that see nothing, one then meets the other's row."""
    (target,) = of_tenants(1)
    await book.schemas([target])
    make = "CREATE SCHEMA IF NOT EXISTS common"
    plan = await book.planned(catalogue(file("1.0.0", make)), [target])
    waits = (
        f"SELECT count(*) FROM pg_stat_activity WHERE query = '{make}' AND wait_event_type = 'Lock'"
    )
    async with book.there.transaction():
        await book.there.execute(make)
        await works(book.worker(settings(lock_timeout_s=60.0)))
        await until(lambda: book.connection.fetchval(waits))
    await book.ends(plan, "done", "stopped")
    assert await book.jobs(plan) == {"done": 1}
    assert await book.connection.fetchval("SELECT tries FROM turnout.migration_jobs") == 1


async def test_a_doubled_row_is_not_tried_again(book: Ledger, works: Works) -> None:
    (target,) = of_tenants(1)
    await book.schemas([target], f"{TABLE}; INSERT INTO jobs VALUES (1, 1)")
    plan = await book.planned(catalogue(file("1.0.0", "INSERT INTO jobs VALUES (1, 2)")), [target])
    await works(book.worker(settings()))
    await book.ends(plan, "stopped")
    assert await book.connection.fetchval("SELECT tries FROM turnout.migration_jobs") == 1
    assert (await errors(book, plan))[0]["sqlstate"] == "23505"
