"""A ledger, and a database for targets, both on the session's PostgreSQL."""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from admin.embedded import EmbeddedPostgres
from admin.migrations.worker import Worker
from tests.support.migrations import Ledger, config_file, ledger
from tests.support.processes import Child, Children
from tests.support.servers import empty_database


@pytest.fixture
async def book(admin_database_url: str, postgres_server: EmbeddedPostgres) -> AsyncIterator[Ledger]:
    """The ledger in one database, the targets in another."""
    with empty_database(postgres_server) as there:
        async with ledger(admin_database_url, there) as opened:
            yield opened


@pytest.fixture
async def works() -> AsyncIterator[Callable[[Worker], Awaitable[asyncio.Task[None]]]]:
    """Starts a worker in this process; it is drained after the test."""
    running: list[tuple[Worker, asyncio.Task[None]]] = []

    async def start(worker: Worker) -> asyncio.Task[None]:
        task = asyncio.create_task(worker.run())
        running.append((worker, task))
        return task

    yield start
    for worker, task in running:
        worker.drain()
        await task


@pytest.fixture
def process(book: Ledger, spawn: Children, tmp_path: Path) -> Callable[[str], Child]:
    """Starts a worker process."""
    path = config_file(tmp_path, book.url)

    def start(name: str) -> Child:
        return spawn(
            sys.executable,
            *("-m", "admin.migrations", "--config", path, "--name", name),
            env=dict(book.environ),
            name=name,
        )

    return start
