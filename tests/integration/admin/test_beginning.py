"""An intent whose database goes away while it is written down: nobody may say that it was not."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg
import pytest

from admin.config import Settings
from admin.intents import beginning
from admin.routing.database import Database, DatabaseUnavailableError, open_pool
from admin.routing.store import OutcomeUnknownError
from tests.history.links import DOWN, Link
from tests.history.system import through

COUNT = "SELECT count(*) FROM intents"


@pytest.fixture
async def link(database_url: str) -> AsyncIterator[Link]:
    """To PostgreSQL."""
    link = Link(urlsplit(database_url).port or 0)
    await link.open()
    yield link
    await link.close()


@pytest.fixture
async def database(link: Link, database_url: str) -> AsyncIterator[Database]:
    """Through the link."""
    pool = await open_pool(through(database_url, link.port), Settings(database_pool_min=1))
    yield Database(pool, 1.0)
    pool.terminate()


async def test_what_was_written_before_the_answer_was_lost_is_not_called_unwritten(
    link: Link, database: Database, database_url: str
) -> None:
    direct = await asyncpg.connect(database_url)
    await direct.execute("CREATE TABLE intents (name text)")

    async def begin() -> None:
        async with beginning(database) as connection:
            link.hold(DOWN)
            await connection.execute("INSERT INTO intents VALUES ('s-1')")

    going = asyncio.get_running_loop().create_task(begin())
    while not await direct.fetchval(COUNT):
        await asyncio.sleep(0.01)
    link.cut()
    with pytest.raises(OutcomeUnknownError):
        await going
    await direct.close()


async def test_who_was_not_connected_has_written_nothing(link: Link, database: Database) -> None:
    link.cut()
    assert not await database.reachable(), "the pool knows that its connection is gone"
    with pytest.raises(DatabaseUnavailableError):
        async with beginning(database) as connection:
            await connection.execute("SELECT 1")
