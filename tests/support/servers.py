"""Real servers for tests: what the fixtures of tests/conftest.py do.

Rules: a session has one Valkey and one PostgreSQL, made when first asked for. A test gets an
emptied Valkey database of its own number and a PostgreSQL database of its own. A test that
stops, kills or breaks a server takes a fresh one.
"""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

import redis

from admin.embedded import EmbeddedPostgres, EmbeddedRedis

REDIS_DATABASES = 16
RELAXED = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
"""The session's PostgreSQL is never crashed on purpose, so it need not wait for the disk."""

_numbers = itertools.count()


def session_postgres(folder: Path) -> EmbeddedPostgres:
    """The server that the tests of a session share; not started."""
    return EmbeddedPostgres(folder, settings=RELAXED)


def emptied_redis(server: EmbeddedRedis) -> str:
    """The URL of a logical database on an emptied server, another one each time.

    Another number, so that a client which outlives its test does not write into the next.
    """
    with contextlib.closing(redis.Redis.from_url(server.url)) as client:
        client.flushall()
        client.function_flush()
        client.script_flush()
    return server.url_for(next(_numbers) % REDIS_DATABASES)


@contextlib.contextmanager
def empty_database(server: EmbeddedPostgres) -> Iterator[str]:
    """The URL of a new database, dropped at the end with the sessions still on it."""
    name = f"test_{next(_numbers)}"
    url = server.create_database(name)
    try:
        yield url
    finally:
        server.drop_database(name)
