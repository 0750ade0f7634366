"""Real servers for tests: what the fixtures of tests/conftest.py do.

Rules: a session has one Valkey and one PostgreSQL, made when first asked for. A test gets an
emptied Valkey database of its own number and a PostgreSQL database of its own. A test that
stops, kills or breaks a server takes a fresh one.
"""

import asyncio
import contextlib
import itertools
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import redis

from admin.embedded import EmbeddedPostgres, EmbeddedRedis
from admin.schema import migrate, migrations

REDIS_DATABASES = 16
RELAXED = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
"""The session's PostgreSQL is never crashed on purpose, so it need not wait for the disk."""
SCHEMA = "turnout_schema"
"""The database with Turnout's own schema that others are copies of."""
STATEMENT_S = 60.0

_numbers = itertools.count()


class SessionPostgres(EmbeddedPostgres):
    """The server that the tests of a session share.

    Hundreds of databases are made and dropped, so one session stays for that: a psql each time
    costs four times as much.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, settings=RELAXED)
        self._clerk: _Clerk | None = None
        self._has_schema = False

    def start(self) -> None:
        """As of EmbeddedServer; and connect."""
        super().start()
        self._clerk = _Clerk(self.url)

    def stop(self) -> None:
        """As of EmbeddedServer."""
        if self._clerk is not None:
            self._clerk.close()
            self._clerk = None
        super().stop()

    def create_database(self, name: str) -> str:
        """An empty one, which may not be there yet; its URL."""
        return self._copy("template0", name)

    def create_with_schema(self, name: str) -> str:
        """One in which Turnout's own schema is up to date, as after the first start of an admin."""
        if not self._has_schema:
            self._at_work.wait(_with_schema(self.create_database(SCHEMA)))
            self._has_schema = True
        return self._copy(SCHEMA, name)

    def drop_database(self, name: str) -> None:
        """Drop a database if it is there, and end its sessions."""
        self._run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def _copy(self, template: str, name: str) -> str:
        url = self.url_for(name)  # looks at the name
        self._run(f'CREATE DATABASE "{name}" TEMPLATE {template}')
        return url

    def _run(self, statement: str) -> None:
        self._at_work.execute(statement)

    @property
    def _at_work(self) -> "_Clerk":
        assert self._clerk is not None, "the server has not been started"
        return self._clerk


class _Clerk:
    """A session in a thread of its own: fixtures with and without a running loop ask for it."""

    def __init__(self, url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._session: asyncpg.Connection = self.wait(asyncpg.connect(url, timeout=STATEMENT_S))

    def execute(self, statement: str) -> None:
        self.wait(self._session.execute(statement))

    def wait(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What it gives, made in the thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(STATEMENT_S)

    def close(self) -> None:
        self.wait(self._session.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _with_schema(url: str) -> None:
    connection = await asyncpg.connect(url)
    await migrate(connection, migrations(), STATEMENT_S)
    await connection.close()


def emptied_redis(server: EmbeddedRedis) -> str:
    """The URL of a logical database on an emptied server, another one each time.

    Another number, so that a client which outlives its test does not write into the next.
    """
    with contextlib.closing(redis.Redis.from_url(server.url)) as client:
        client.flushall()
        client.function_flush()
        client.script_flush()
    return server.url_for(next(_numbers) % REDIS_DATABASES)


def empty_database(server: EmbeddedPostgres) -> contextlib.AbstractContextManager[str]:
    """The URL of a new database, dropped at the end with the sessions still on it."""
    return _dropped(server, server.create_database)


def database_with_schema(server: SessionPostgres) -> contextlib.AbstractContextManager[str]:
    """As `empty_database`, with Turnout's own schema: an admin need not apply each file first."""
    return _dropped(server, server.create_with_schema)


@contextlib.contextmanager
def _dropped(server: EmbeddedPostgres, create: Callable[[str], str]) -> Iterator[str]:
    name = f"test_{next(_numbers)}"
    url = create(name)
    try:
        yield url
    finally:
        server.drop_database(name)
