"""What sessions on targets leave behind: in logs and errors no secrets, on servers few connections."""

import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from admin.embedded import EmbeddedPostgres
from tests.support.migrations import (
    REFERENCE,
    Ledger,
    at_database,
    catalogue,
    config_file,
    file,
    of_tenant,
    of_tenants,
    settings,
    until,
)
from tests.support.processes import Children

Works = Callable[..., Awaitable[Any]]
VARIABLE = REFERENCE.removeprefix("env:")
CANARY = "k4naryk4nary"
TABLE = "CREATE TABLE jobs (id bigint PRIMARY KEY)"


async def error(book: Ledger, plan: str) -> Any:
    """What the ledger says of the plan's job, once it says something."""
    found = await until(
        lambda: book.connection.fetchval(
            "SELECT error FROM turnout.migration_jobs WHERE plan = $1 AND error IS NOT NULL", plan
        )
    )
    return json.loads(found)


@pytest.mark.parametrize(
    "url",
    [
        # Not percent-encoded: what comes after the slash is no port, nor the other.
        f"postgresql://erp:{CANARY}/x@db.example/erp",
        f"postgresql://erp:p@db.example:{CANARY}/erp",
        f"postgresql://erp:{CANARY}@db.example/erp?sslmode={CANARY}",
        f"postgresql://erp:{CANARY}@[db.example/erp",
    ],
)
async def test_a_url_that_can_t_be_used_is_in_no_log_and_no_error(
    book: Ledger, spawn: Children, tmp_path: Path, url: str
) -> None:
    (target,) = of_tenants(1)
    plan = await book.planned(catalogue(file("1.0.0", TABLE)), [target])
    path = config_file(tmp_path, book.url)
    worker = spawn(
        sys.executable, "-m", "admin.migrations", "--config", path, env={VARIABLE: url}, name="w1"
    )
    failure = await error(book, plan)
    assert failure["code"] == "no-server"
    assert REFERENCE in failure["message"]
    assert CANARY not in str(failure)
    assert CANARY not in worker.output()
    assert "Traceback" not in worker.output()


async def test_what_a_row_holds_is_in_no_error(book: Ledger, works: Works) -> None:
    (target,) = of_tenants(1)
    await book.schemas(
        [target], f"CREATE TABLE jobs (note text); INSERT INTO jobs VALUES ('{CANARY}')"
    )
    sql = "ALTER TABLE jobs ALTER COLUMN note TYPE integer USING note::integer"
    plan = await book.planned(catalogue(file("1.0.0", sql)), [target])
    await works(book.worker(settings()))
    failure = await error(book, plan)
    assert failure["sqlstate"] == "22P02"
    assert failure["message"] == 'invalid input syntax for type integer: "…"'


async def test_an_error_has_a_bound(book: Ledger, works: Works) -> None:
    (target,) = of_tenants(1)
    await book.schemas([target])
    sql = "DO $$ BEGIN RAISE '%', repeat('x', 1000000) USING HINT = repeat('y', 1000000); END $$"
    plan = await book.planned(catalogue(file("1.0.0", sql)), [target])
    await works(book.worker(settings()))
    failure = await error(book, plan)
    assert len(failure["message"]) == len(failure["hint"]) == 2000


async def test_idle_connections_are_bounded_for_a_server_not_for_each_of_its_databases(
    book: Ledger, postgres_server: EmbeddedPostgres, works: Works
) -> None:
    names = [f"idle_{number}" for number in range(6)]
    url = book.environ[VARIABLE]
    targets = []
    for name in names:
        postgres_server.create_database(name)
        targets.append(replace(of_tenant(name.replace("_", "-"), name), schema="public"))
    try:
        plan = await book.planned(catalogue(file("1.0.0", TABLE)), targets)
        worker = book.worker(settings(idle_connections=2, jobs_at_once=3))
        await works(worker)
        await book.ends(plan)
        count = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name LIKE 'turnout-worker%' AND datname LIKE 'idle_%'"
        )
        await until(lambda: book.connection.fetchval(f"SELECT ({count}) <= 2"))
        assert at_database(url, names[0]) != url
    finally:
        for name in names:
            postgres_server.drop_database(name)
