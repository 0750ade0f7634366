"""A backfill beside a streaming replica: it waits while that lies behind, and goes on afterwards."""

import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from admin.embedded import EmbeddedPostgres
from admin.migrations.batches import HAS_HIDDEN_REPLICAS
from tests.integration.migrations.test_backfill import ROWS, backfill
from tests.integration.migrations.test_hanging import hanging
from tests.support.migrations import Ledger, config_file, ledger, of_tenant, settings, until
from tests.support.processes import Child, Children
from tests.support.standby import standby_of

Works = Callable[..., Awaitable[Any]]
TARGET = of_tenant("acme")
POSITION = "SELECT position FROM t_acme.turnout_schema_history WHERE key = '1.3.0'"
STREAMS = "SELECT count(*) = 1 FROM pg_stat_replication WHERE state = 'streaming'"
LOOKED = """
SELECT query_start FROM pg_stat_activity
 WHERE application_name LIKE 'turnout-worker%' AND query LIKE '%replay_lag%'
"""


@pytest.fixture
def standby(fresh_postgres: EmbeddedPostgres, tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    with standby_of(fresh_postgres, tmp_path / "standby") as server:
        yield server


@pytest.fixture
async def replica(standby: EmbeddedPostgres) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(standby.url)
    yield connection
    await connection.close()


@pytest.fixture
async def apart(
    admin_database_url: str, fresh_postgres: EmbeddedPostgres, replica: asyncpg.Connection
) -> AsyncIterator[Ledger]:
    """The ledger on the session's server, the targets on one with a replica."""
    async with ledger(admin_database_url, fresh_postgres.url) as opened:
        await opened.schemas([TARGET], ROWS.format(type="bigint", value="n"))
        await until(lambda: opened.there.fetchval(STREAMS))
        yield opened


async def begun(apart: Ledger, spawn: Children, folder: Path) -> tuple[str, Child]:
    """A backfill that is under way, in five batches or more to come."""
    more = "backfill_rows_per_s = 200.0\nbackfill_lag_s = 0.4\nbackfill_pause_s = 0.05"
    worker = spawn(
        *(sys.executable, "-m", "admin.migrations"),
        *("--config", config_file(folder, apart.url, more)),
        env=dict(apart.environ),
        name="w1",
    )
    plan = await apart.planned(backfill(), [TARGET], phases=("backfill",))
    there = "SELECT to_regclass('t_acme.turnout_schema_history') IS NOT NULL"
    await until(lambda: apart.there.fetchval(there))
    await until(lambda: apart.there.fetchval(POSITION))
    return plan, worker


async def stands_still(apart: Ledger, worker: Child) -> None:
    """Until it says that it waits; then it does, however often it looks."""
    await worker.line("a backfill waits.*a replica lies|a replica lies.*a backfill waits")
    reached = await apart.there.fetchval(POSITION)
    assert int(reached) < 950
    looks = set()

    async def looked_often() -> bool:
        looks.add(await apart.there.fetchval(LOOKED))
        return len(looks) > 5

    await until(looked_often)
    assert await apart.there.fetchval(POSITION) == reached, "it went on"


async def test_it_waits_for_a_replica_that_lies_behind_and_goes_on(
    apart: Ledger, replica: asyncpg.Connection, spawn: Children, tmp_path: Path
) -> None:
    plan, worker = await begun(apart, spawn, tmp_path)
    await replica.execute("SELECT pg_wal_replay_pause()")
    await stands_still(apart, worker)
    await replica.execute("SELECT pg_wal_replay_resume()")
    await apart.ends(plan)
    assert await apart.there.fetchval("SELECT count(*) FROM t_acme.jobs WHERE times = 1") == 950


async def test_it_waits_for_a_replica_that_has_fallen_silent(
    apart: Ledger, standby: EmbeddedPostgres, spawn: Children, tmp_path: Path
) -> None:
    """Its lag, as PostgreSQL tells it, stays what it was when it last answered."""
    plan, worker = await begun(apart, spawn, tmp_path)
    with hanging(standby):
        await stands_still(apart, worker)
    await apart.ends(plan)


async def test_a_role_that_can_t_see_replicas_is_not_taken_for_up_to_date(
    apart: Ledger, works: Works
) -> None:
    await apart.there.execute(
        "CREATE ROLE lesser LOGIN PASSWORD 'lesser'; GRANT ALL ON SCHEMA t_acme TO lesser;"
        " ALTER TABLE t_acme.jobs OWNER TO lesser"
    )
    (name, url), *_ = apart.environ.items()
    own = {name: url.replace(url.partition("://")[2].partition("@")[0], "lesser:lesser")}
    lesser = Ledger(apart.url, apart.database, apart.connection, apart.there, own)
    plan = await apart.planned(backfill(), [TARGET], phases=("backfill",))
    await works(lesser.worker(settings(backfill_rows_per_s=1e6)))
    await apart.ends(plan, "stopped", "done")
    error = json.loads(
        await apart.connection.fetchval("SELECT error FROM turnout.migration_jobs") or "{}"
    )
    assert error.get("code") == "replicas-unseen"
    assert "pg_read_all_stats" in error["remedy"]
    assert await apart.there.fetchval("SELECT count(copy) FROM t_acme.jobs") == 0
    # `turnout worker --check` says so before.
    eyes = await asyncpg.connect(own[name])
    assert await eyes.fetchval(HAS_HIDDEN_REPLICAS)
    await eyes.close()
    assert not await apart.there.fetchval(HAS_HIDDEN_REPLICAS)
