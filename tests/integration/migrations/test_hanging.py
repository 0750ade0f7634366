"""A server that hangs, rather than refuses: neither a job nor a worker waits for it for ever."""

import contextlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from admin.embedded import EmbeddedPostgres
from admin.migrations.faults import Again
from admin.migrations.target.session import Limits, Sessions
from tests.support.migrations import Ledger, catalogue, file, ledger, of_tenant, settings, until

Works = Callable[..., Awaitable[Any]]
SLEEP = file("1.0.0", "SELECT pg_sleep(0.5)", "CREATE TABLE jobs ()")
ASLEEP = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'"
TARGET = of_tenant("acme")


@pytest.fixture
async def apart(admin_database_url: str, fresh_postgres: EmbeddedPostgres) -> AsyncIterator[Ledger]:
    """The ledger on the session's server, the targets on one that may be stopped."""
    async with ledger(admin_database_url, fresh_postgres.url) as opened:
        await opened.schemas([TARGET])
        yield opened


@contextlib.contextmanager
def hanging(server: EmbeddedPostgres) -> Iterator[None]:
    """All of the server's processes stand still, and its sockets stay open."""
    os.kill(server.pid, signal.SIGSTOP)  # first, so that it makes no more of them
    children = _children(server.pid)
    for pid in children:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in (*children, server.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_a_job_on_a_server_that_hangs_is_tried_again(
    apart: Ledger, fresh_postgres: EmbeddedPostgres, works: Works
) -> None:
    plan = await apart.planned(catalogue(SLEEP), [TARGET])
    await works(apart.worker(settings(statement_timeout_s=0.7, connect_timeout_s=0.5, tries=1000)))
    await until(lambda: apart.there.fetchval(ASLEEP))
    with hanging(fresh_postgres):
        await until(
            lambda: apart.connection.fetchval(
                "SELECT tries > 0 FROM turnout.migration_jobs WHERE plan = $1", plan
            )
        )
    await apart.ends(plan)
    assert await apart.there.fetchval("SELECT to_regclass('t_acme.jobs')") is not None


@pytest.mark.parametrize("transactional", [True, False])
async def test_a_worker_ends_though_its_server_hangs(
    apart: Ledger, fresh_postgres: EmbeddedPostgres, works: Works, *, transactional: bool
) -> None:
    files = catalogue(
        file("1.0.0", *[one.sql for one in SLEEP.statements], transactional=transactional)
    )
    plan = await apart.planned(files, [TARGET])
    worker = apart.worker(settings(drain_s=0.1))
    task = await works(worker)
    await until(lambda: apart.there.fetchval(ASLEEP))
    with hanging(fresh_postgres):
        worker.drain()
        await task
        assert await apart.jobs(plan) == {"queued": 1}, "it was not given back"


async def test_an_idle_connection_to_a_server_that_hangs_is_not_waited_for(
    apart: Ledger, fresh_postgres: EmbeddedPostgres
) -> None:
    own = settings(connect_timeout_s=0.3)
    sessions = Sessions(own, apart.environ)
    limits = Limits(0.2, 5.0)
    async with sessions.open(TARGET, 1, limits):
        pass
    with hanging(fresh_postgres), pytest.raises(Again):
        async with sessions.open(TARGET, 2, limits):
            pass
    await sessions.close()


async def test_a_worker_ends_though_its_ledger_is_away(
    book: Ledger, postgres_server: EmbeddedPostgres, works: Works
) -> None:
    await book.schemas([TARGET])
    plan = await book.planned(catalogue(SLEEP), [TARGET])
    worker = book.worker(settings(drain_s=0.1))
    task = await works(worker)
    await until(lambda: book.there.fetchval(ASLEEP))
    name = await book.connection.fetchval("SELECT current_database()")
    away = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        f" WHERE datname = '{name}' AND pid <> {book.connection.get_server_pid()}"
    )
    await book.there.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    try:
        await book.there.execute(away)
        worker.drain()
        await task
    finally:
        await book.there.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    assert await book.state(plan) == "running"
