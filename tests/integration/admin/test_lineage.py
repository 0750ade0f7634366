"""A failover loses commits, and others take their versions: what routes is what PostgreSQL has."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import pytest

from config import Shared
from proxy.routing.change import Change
from proxy.routing.codec import encode_change
from proxy.routing.model import Slot
from tests.integration.admin.conftest import Client, Start, published
from tests.integration.admin.follower import Follower

NEVER_S = 3600.0


@pytest.fixture
async def database(shared: Shared) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(shared.database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def call(start: Start) -> Client:
    """An admin that looks at the stores only when it has to, at version 3."""
    client: Client = await start(reconcile_interval_s=NEVER_S)
    await published(client)
    await client("PUT", "/v1/canary", {"percent": 5})
    assert (await client("PUT", "/v1/canary", {"percent": 6}))[1]["version"] == 3
    return client


@pytest.fixture
async def worker(call: Client, follow: Callable[..., Any]) -> Follower:
    started: Follower = await follow()
    await started.until(3)
    return started


async def moved(call: Client, worker: Follower, version: int) -> None:
    """Acme is moved, and every worker serves that, at this version."""
    status, result, _ = await call("PUT", "/v1/tenants/acme/pin", {"slot": "green"})
    assert (status, result["version"], result["acked"]) == (200, version, ["w1"]), result
    assert worker.table is not None
    assert worker.table.pins["acme"] is Slot.GREEN
    rows = (await call("GET", "/v1/audit?action=republish"))[1]["items"]
    assert rows[0]["version"] == version


async def test_a_version_that_was_lost_and_made_again_is_published_anew(
    call: Client, worker: Follower, database: asyncpg.Connection
) -> None:
    lost = await database.fetchval("SELECT commit_id FROM turnout.changes WHERE version = 2")
    await database.execute(
        "UPDATE turnout.routing_head SET version = 2, canary_basis_points = 500, commit_id = $1",
        lost,
    )
    await database.execute("DELETE FROM turnout.changes WHERE version > 2")
    # This is version 3 once more; Redis and the worker have another one.
    await moved(call, worker, 4)
    assert worker.table is not None
    assert worker.table.canary.basis_points == 500


async def test_nobody_builds_on_a_commit_that_was_lost(
    call: Client, worker: Follower, database: asyncpg.Connection
) -> None:
    async with database.transaction():
        await database.execute("UPDATE turnout.routing_head SET commit_id = 'other'")
        await database.execute("UPDATE turnout.changes SET commit_id = 'other' WHERE version = 3")
        await database.execute("INSERT INTO turnout.pins VALUES ('bravo', 'green')")
    await moved(call, worker, 5)
    assert worker.table is not None
    assert worker.table.pins.keys() == {"acme", "bravo"}


async def test_what_follows_a_commit_that_was_lost_is_not_put_on_top_of_it(
    call: Client, worker: Follower, database: asyncpg.Connection, start: Start
) -> None:
    async with database.transaction():
        await database.execute("UPDATE turnout.changes SET commit_id = 'other' WHERE version = 3")
        await database.execute(
            "UPDATE turnout.routing_head"
            " SET version = 4, canary_basis_points = 700, commit_id = 'next'"
        )
        await database.execute(
            "INSERT INTO turnout.changes (version, body, commit_id) VALUES (4, $1, 'next')",
            encode_change(Change(4, ())),
        )
    await start()  # another admin, which looks
    await worker.until(5)
    assert worker.table is not None
    assert worker.table.canary.basis_points == 700
