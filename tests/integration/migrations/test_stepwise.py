"""What can't run in a transaction: killed midway by kill -9 and by the server, and mended."""

import signal
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from admin.migrations.states import PlanEvent
from tests.support.migrations import (
    REFERENCE,
    Ledger,
    catalogue,
    file,
    of_tenant,
    settings,
    until,
)
from tests.support.processes import Child

INDEX = "CREATE UNIQUE INDEX CONCURRENTLY jobs_number ON jobs (number)"
FILLED = "CREATE TABLE jobs (id bigint, number bigint); INSERT INTO jobs SELECT n, n FROM generate_series(1, 1000) n"
VALID = """
SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('t_acme.jobs_number')
"""


async def building(book: Ledger) -> int | None:
    """The backend that builds the index, once the index is there and not valid."""
    pid: int | None = await book.connection.fetchval(
        "SELECT pid FROM pg_stat_activity WHERE query LIKE 'CREATE UNIQUE INDEX CONCURRENTLY%'"
        " AND state = 'active'"
    )
    return pid if await book.there.fetchval(VALID) is False else None


@pytest.mark.parametrize("end", ["kill -9 of the worker", "pg_terminate_backend"])
async def test_an_index_that_was_broken_off_is_found_and_built_anew(
    book: Ledger, process: Callable[[str], Child], end: str
) -> None:
    target = of_tenant("acme")
    await book.schemas([target], FILLED)
    files = catalogue(file("1.0.0", INDEX, "CREATE TABLE after_it ()"))
    assert not files[0].transactional
    # It waits for this transaction before it can be valid.
    reader = await asyncpg.connect(book.environ[REFERENCE.removeprefix("env:")])
    reading = reader.transaction(isolation="repeatable_read")
    await reading.start()
    await reader.fetchval("SELECT count(*) FROM t_acme.jobs")
    plan = await book.planned(files, [target])
    first = process("first")
    pid = await until(lambda: building(book))
    if end == "pg_terminate_backend":
        await book.connection.execute("SELECT pg_terminate_backend($1)", pid)
    else:
        first.send(signal.SIGKILL)
        await first.ended()
        process("second")
    await until(
        lambda: book.there.fetchval("SELECT bool_or(step_begun) FROM t_acme.turnout_schema_history")
    )
    await reading.rollback()
    await reader.close()
    await book.ends(plan)
    assert await book.there.fetchval(VALID) is True
    assert await book.there.fetchval("SELECT to_regclass('t_acme.after_it')") is not None
    row = await book.there.fetchrow(
        "SELECT state, steps, fence FROM t_acme.turnout_schema_history WHERE key <> ''"
    )
    assert row is not None
    assert (row["state"], row["steps"]) == ("applied", 2)
    assert row["fence"] > 1, "it was never claimed again"


async def test_an_index_that_others_left_broken_is_not_passed_over(
    book: Ledger, works: Callable[..., Any]
) -> None:
    target = of_tenant("acme")
    await book.schemas([target], f"{FILLED}; INSERT INTO jobs VALUES (0, 1)")
    await book.there.execute("SET search_path TO t_acme")
    with pytest.raises(asyncpg.UniqueViolationError):
        await book.there.execute(INDEX)
    assert await book.there.fetchval(VALID) is False
    careless = INDEX.replace("CONCURRENTLY", "CONCURRENTLY IF NOT EXISTS")
    plan = await book.planned(catalogue(file("1.0.0", careless)), [target])
    await works(book.worker(settings()))
    await book.ends(plan, "stopped")
    error = await book.connection.fetchval("SELECT error ->> 'code' FROM turnout.migration_jobs")
    assert error == "invalid-index"


async def test_a_unique_index_that_fails_by_its_data_is_retried_once_they_are_mended(
    book: Ledger, works: Callable[..., Any]
) -> None:
    target = of_tenant("acme")
    await book.schemas([target], f"{FILLED}; INSERT INTO jobs VALUES (0, 1)")
    plan = await book.planned(catalogue(file("1.0.0", INDEX)), [target])
    await works(book.worker(settings()))
    await book.ends(plan, "stopped")
    assert await book.there.fetchval(VALID) is False
    await book.there.execute("DELETE FROM t_acme.jobs WHERE id = 0")
    await book.word(plan, PlanEvent.RETRY)
    await book.ends(plan)
    assert await book.there.fetchval(VALID) is True


async def test_a_partition_whose_detaching_was_broken_off_is_detached(
    book: Ledger, works: Callable[..., Any]
) -> None:
    target = of_tenant("acme")
    parted = (
        "CREATE TABLE jobs (id bigint) PARTITION BY RANGE (id);"
        "CREATE TABLE old PARTITION OF jobs FOR VALUES FROM (0) TO (10)"
    )
    await book.schemas([target], parted)
    reader = await asyncpg.connect(book.environ[REFERENCE.removeprefix("env:")])
    reading = reader.transaction(isolation="repeatable_read")
    await reading.start()
    await reader.fetchval("SELECT count(*) FROM t_acme.jobs")
    detach = "ALTER TABLE jobs DETACH PARTITION old CONCURRENTLY"
    plan = await book.planned(catalogue(file("1.0.0", detach)), [target])
    await works(book.worker(settings(tries=100)))
    pending = "SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = 't_acme.old'::regclass"
    await until(lambda: book.there.fetchval(pending))
    await until(
        lambda: book.connection.fetchval(
            "SELECT count(*) > 0 FROM turnout.migration_history WHERE event = 'given-back'"
        )
    )
    await reading.rollback()
    await reader.close()
    await book.ends(plan)
    assert await book.there.fetchval(pending) is None


async def test_vacuum_and_reindex_run_alone(book: Ledger, works: Callable[..., Any]) -> None:
    target = of_tenant("acme")
    await book.schemas([target], f"{FILLED}; CREATE INDEX jobs_id ON jobs (id)")
    files = catalogue(
        file(
            "1.0.0",
            "VACUUM jobs",
            "REINDEX INDEX CONCURRENTLY jobs_id",
            "DROP INDEX CONCURRENTLY jobs_id",
            "ANALYZE jobs",
        )
    )
    plan = await book.planned(files, [target])
    await works(book.worker(settings()))
    await book.ends(plan)
    assert await book.there.fetchval("SELECT to_regclass('t_acme.jobs_id')") is None
