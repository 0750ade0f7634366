"""Backfills: by batches, interrupted between two, gone on with, and verified."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

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

Works = Callable[..., Awaitable[Any]]
HEAD = "-- turnout:batch table=jobs key=id size=100\n-- turnout:verify SELECT count(*) FROM jobs WHERE copy IS NULL must be 0\n"
COPY = "UPDATE jobs SET copy = quantity, times = times + 1\n WHERE id BETWEEN $1 AND $2 AND copy IS NULL"
ROWS = """
CREATE TABLE jobs (id {type} PRIMARY KEY, quantity integer, copy integer, times integer DEFAULT 0);
INSERT INTO jobs SELECT {value}, n, NULL FROM generate_series(1, 950) n
"""


def backfill(*statements: str, head: str = HEAD) -> Any:
    return catalogue(file("1.3.0", *(statements or (COPY,)), head=head, phase="backfill"))


async def has_begun(book: Ledger) -> None:
    """Until the target has a version table."""
    there = "SELECT to_regclass('t_acme.turnout_schema_history') IS NOT NULL"
    await until(lambda: book.there.fetchval(there))


async def test_every_row_is_changed_once_whatever_the_key_s_type(
    book: Ledger, works: Works
) -> None:
    kinds = {
        "a": ("bigint", "n * 7"),
        "b": ("text", "'k' || n"),
        "c": ("uuid", "gen_random_uuid()"),
    }
    targets = [of_tenant(name) for name in kinds]
    for target in targets:
        of_type, value = kinds[target.name]
        await book.schemas([target], ROWS.format(type=of_type, value=value))
    plan = await book.planned(backfill(), targets, phases=("backfill",))
    await works(book.worker(settings(backfill_rows_per_s=1e6)))
    await book.ends(plan)
    for target in targets:
        found = await book.there.fetch(
            f"SELECT times, count(*) FROM {target.schema}.jobs GROUP BY 1"
        )
        assert [tuple(row) for row in found] == [(1, 950)], target.name
        rows = await book.there.fetchval(
            f"SELECT rows FROM {target.schema}.turnout_schema_history WHERE key = '1.3.0'"
        )
        assert rows == 950


async def test_a_paused_one_goes_on_after_its_last_batch(book: Ledger, works: Works) -> None:
    target = of_tenant("acme")
    await book.schemas([target], ROWS.format(type="bigint", value="n"))
    # Nothing but its place keeps this one from a second time.
    blind = COPY.removesuffix(" AND copy IS NULL")
    plan = await book.planned(backfill(blind), [target], phases=("backfill",))
    await works(book.worker(settings(backfill_rows_per_s=500.0, lease_s=0.5)))
    position = "SELECT position FROM t_acme.turnout_schema_history WHERE key = '1.3.0'"
    await has_begun(book)
    await until(lambda: book.there.fetchval(position))
    await book.word(plan, PlanEvent.PAUSE)
    await book.comes_to_rest(plan)
    reached = int(await book.there.fetchval(position))
    assert 0 < reached < 950
    done = await book.there.fetchval("SELECT count(copy) FROM t_acme.jobs")
    assert done == reached, "position and rows are one transaction"
    await book.word(plan, PlanEvent.RESUME)
    await book.ends(plan)
    assert await book.there.fetchval("SELECT count(*) FROM t_acme.jobs WHERE times = 1") == 950


async def test_what_its_own_query_says_is_left_fails_it(book: Ledger, works: Works) -> None:
    target = of_tenant("acme")
    await book.schemas([target], ROWS.format(type="bigint", value="n"))
    careless = f"{COPY} AND quantity <> 400"
    plan = await book.planned(backfill(careless), [target], phases=("backfill",))
    await works(book.worker(settings(backfill_rows_per_s=1e6)))
    await book.ends(plan, "stopped")
    error = json.loads(await book.connection.fetchval("SELECT error FROM turnout.migration_jobs"))
    assert (error["code"], "gives 1" in error["message"]) == ("not-verified", True)
    # Mended by hand: the retry goes through the table again, and finds nothing to do.
    await book.there.execute("UPDATE t_acme.jobs SET copy = quantity WHERE copy IS NULL")
    await book.word(plan, PlanEvent.RETRY)
    await book.ends(plan)


async def test_it_waits_while_the_server_is_busy(book: Ledger, works: Works) -> None:
    target = of_tenant("acme")
    await book.schemas([target], ROWS.format(type="bigint", value="n"))
    plan = await book.planned(backfill(), [target], phases=("backfill",))
    url = book.environ[REFERENCE.removeprefix("env:")]
    busy = [await asyncpg.connect(url) for _ in range(2)]
    sleeps = [asyncio.create_task(each.execute("SELECT pg_sleep(60)")) for each in busy]
    # Three are at work: these two, and whoever asks.
    asleep = "SELECT count(*) = 2 FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'"
    await until(lambda: book.there.fetchval(asleep))
    own = settings(backfill_rows_per_s=1e6, backfill_active=1, backfill_pause_s=0.05)
    await works(book.worker(own))
    await has_begun(book)
    # It has looked by now.
    looks = (
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%max(extract(epoch FROM replay%'"
    )
    await until(lambda: book.connection.fetchval(looks))
    assert await book.there.fetchval("SELECT count(copy) FROM t_acme.jobs") == 0
    await book.there.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(60)'"
    )
    await asyncio.gather(*sleeps, return_exceptions=True)
    for each in busy:
        each.terminate()
    await book.ends(plan)


async def test_a_key_that_may_be_null_is_refused(book: Ledger, works: Works) -> None:
    """Its rows without a key lie in no batch, and would be left out without a word."""
    target = of_tenant("acme")
    await book.schemas([target], ROWS.format(type="bigint", value="n"))
    await book.there.execute(
        "ALTER TABLE t_acme.jobs DROP CONSTRAINT jobs_pkey, ALTER COLUMN id DROP NOT NULL,"
        " ADD UNIQUE (id); INSERT INTO t_acme.jobs (id, quantity) VALUES (NULL, 5)"
    )
    head = HEAD.splitlines(keepends=True)[0]
    plan = await book.planned(backfill(head=head), [target], phases=("backfill",))
    await works(book.worker(settings(backfill_rows_per_s=1e6)))
    await book.ends(plan, "done", "stopped")
    left = await book.there.fetchval("SELECT count(*) FROM t_acme.jobs WHERE copy IS NULL")
    assert (await book.state(plan), left) == ("stopped", 951)
    error = json.loads(await book.connection.fetchval("SELECT error FROM turnout.migration_jobs"))
    assert (error["code"], "NOT NULL" in error["message"]) == ("batch", True)


async def test_a_pause_is_heard_while_the_pace_is_kept(book: Ledger, works: Works) -> None:
    target = of_tenant("acme")
    await book.schemas([target], ROWS.format(type="bigint", value="n"))
    plan = await book.planned(backfill(), [target], phases=("backfill",))
    # A batch in twenty minutes.
    own = settings(backfill_rows_per_s=100 / 1200, lease_s=0.5, backfill_pause_s=0.05)
    await works(book.worker(own))
    await has_begun(book)
    position = "SELECT position FROM t_acme.turnout_schema_history WHERE key = '1.3.0'"
    await until(lambda: book.there.fetchval(position))
    await book.word(plan, PlanEvent.PAUSE)
    assert await book.comes_to_rest(plan) == {"queued": 1}


async def test_the_pace_is_of_all_backfills_of_a_server(book: Ledger, works: Works) -> None:
    targets = [of_tenant(name) for name in ("a", "b", "c")]
    await book.schemas(targets, ROWS.format(type="bigint", value="n"))
    plan = await book.planned(backfill(), targets, phases=("backfill",), shares=())
    rate = 1000
    for name in ("w1", "w2"):
        await works(book.worker(settings(backfill_rows_per_s=rate, jobs_at_once=2), name))
    await book.ends(plan)
    union = " UNION ALL ".join(
        f"SELECT begun_at, applied_at FROM {each.schema}.turnout_schema_history WHERE key <> ''"
        for each in targets
    )
    took_s = await book.there.fetchval(
        f"SELECT extract(epoch FROM max(applied_at) - min(begun_at))::float8 FROM ({union}) x"
    )
    # No sooner; the first two batches of each may come before the others are seen.
    assert took_s >= (3 * 950 - 6 * 100) / rate
