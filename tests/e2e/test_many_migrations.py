"""A thousand schemas and some databases, four workers, two of them killed, the server restarted.

The seed says who is killed and when. What is asserted is what the targets themselves say: each has
the migration once, none has half of it, and the ledger agrees. The rates are printed.
"""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from admin.embedded import EmbeddedPostgres
from admin.embedded.binaries import postgres_tree
from admin.migrations.files import File
from admin.migrations.targets import Target
from tests.support.migrations import (
    Ledger,
    catalogue,
    config_file,
    file,
    ledger,
    of_tenant,
    of_tenants,
    until,
)
from tests.support.processes import Child, Children

SCHEMAS = 1000
DATABASES = 8
BY_PSQL = 40
"""Schemas that psql migrates one by one, for the comparison."""
WORKERS = 4
_MAKE = """
DO $$ BEGIN
    FOR n IN {first}..{last} LOOP
        EXECUTE format('CREATE SCHEMA %I', 't_c' || n);
        EXECUTE format('CREATE TABLE %I.jobs (id bigint PRIMARY KEY)', 't_c' || n);
        EXECUTE format('CREATE TABLE %I.times (n integer)', 't_c' || n);
    END LOOP;
END $$
"""
_WHOLE = """
SELECT '{schema}', (SELECT count(*) FROM "{schema}".times),
       to_regclass('"{schema}".jobs_priority') IS NOT NULL,
       EXISTS (SELECT FROM pg_attribute WHERE attname = 'priority'
                  AND attrelid = '"{schema}".jobs'::regclass)
"""


@pytest.fixture
async def book(fresh_postgres: EmbeddedPostgres) -> AsyncIterator[Ledger]:
    url = fresh_postgres.create_database("ledger")
    async with ledger(url, fresh_postgres.create_database("targets")) as opened:
        yield opened


def migration() -> tuple[File, ...]:
    """It can't be applied twice unseen: `times` counts."""
    return catalogue(
        file(
            "1.3.0",
            "ALTER TABLE jobs ADD COLUMN priority integer DEFAULT 5",
            "CREATE INDEX jobs_priority ON jobs (priority)",
            "INSERT INTO times VALUES (1)",
        )
    )


async def many(book: Ledger, server: EmbeddedPostgres) -> list[Target]:
    """The targets, made: schemas of one database, and databases of their own."""
    for first in range(0, SCHEMAS + BY_PSQL, 100):
        last = min(first + 99, SCHEMAS + BY_PSQL - 1)
        await book.there.execute(_MAKE.format(first=first, last=last))
    own = []
    for number in range(DATABASES):
        url = await asyncio.to_thread(server.create_database, f"own_{number}")
        connection = await asyncpg.connect(url)
        await connection.execute(_MAKE.format(first=SCHEMAS + number, last=SCHEMAS + number))
        await connection.close()
        own.append(of_tenant(f"c{SCHEMAS + number}", f"own_{number}"))
    return [*of_tenants(SCHEMAS), *own]


async def ended(server: EmbeddedPostgres) -> int:
    """How many jobs have ended; -1: the server doesn't answer."""
    try:
        connection = await asyncpg.connect(server.url_for("ledger"), timeout=2)
    except (OSError, TimeoutError, asyncpg.PostgresError):
        return -1
    try:
        return int(
            await connection.fetchval(
                "SELECT count(*) FROM turnout.migration_jobs WHERE state IN ('done', 'skipped')"
            )
        )
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return -1
    finally:
        connection.terminate()


async def past(server: EmbeddedPostgres, count: int) -> None:
    """Until so many jobs have ended."""

    async def is_past() -> bool:
        # Each look is a new connection, whose making costs the server as much as a migration.
        await asyncio.sleep(0.2)
        return await ended(server) >= count

    await until(is_past)


@pytest.mark.timeout(400)
async def test_each_of_a_thousand_is_migrated_once_whoever_dies(
    book: Ledger,
    fresh_postgres: EmbeddedPostgres,
    spawn: Children,
    tmp_path: Path,
    seeded_random: random.Random,
    run_seed: int,
) -> None:
    targets = await many(book, fresh_postgres)
    plan = await book.planned(
        migration(), targets, pilots=frozenset({"c1", "c2", "c3"}), failure_budget=0
    )
    path = config_file(tmp_path, book.url, look_s=0.25)

    def worker(number: int) -> Child:
        command = (sys.executable, "-m", "admin.migrations", "--config", path)
        name = f"w{number}"
        return spawn(*command, "--name", name, env=dict(book.environ), name=name)

    began = time.monotonic()
    workers = [worker(number) for number in range(WORKERS)]
    kills = sorted(seeded_random.sample(range(50, SCHEMAS - 50), 2))
    restart = seeded_random.randrange(50, SCHEMAS - 50)
    victims = seeded_random.sample(workers, 2)
    events = sorted([(kills[0], "kill"), (kills[1], "kill"), (restart, "restart")])
    print(f"seed {run_seed}: {events}")
    for count, what in events:
        await past(fresh_postgres, count)
        if what == "kill":
            victim = victims.pop()
            victim.send(signal.SIGKILL)
            assert await victim.ended() == -signal.SIGKILL
        else:
            fresh_postgres.stop()
            fresh_postgres.start()
    await past(fresh_postgres, len(targets))
    took_s = time.monotonic() - began

    async with ledger(book.url, fresh_postgres.url_for("targets")) as after:
        await after.ends(plan)
        await check(after, fresh_postgres, plan, targets)
        rate = len(targets) / took_s
        plain = await asyncio.to_thread(by_psql, fresh_postgres, tmp_path)
        print(
            f"{len(targets)} targets in {took_s:.1f} s: {rate:.0f} a second, with two workers"
            f" killed and a restart; psql one by one: {plain:.0f} a second"
        )
    left = [each for each in workers if each.exit_code is None]
    assert len(left) == WORKERS - 2
    for each in left:
        each.send(signal.SIGTERM)
    assert [await each.ended() for each in left] == [0, 0]


async def check(book: Ledger, server: EmbeddedPostgres, plan: str, targets: list[Target]) -> None:
    """The targets' own word, and that the ledger's is the same."""
    found = await stand(book.there, targets[:SCHEMAS])
    for target in targets[SCHEMAS:]:
        connection = await asyncpg.connect(server.url_for(target.database))
        found |= await stand(connection, [target])
        await connection.close()
    wrong = {t.name: found[t.schema] for t in targets if found[t.schema] != (1, True, True)}
    assert wrong == {}, "half applied, twice, or not at all"
    counts = await book.jobs(plan)
    assert counts == {"done": len(targets)}
    rows = await book.connection.fetch(
        "SELECT target, key, checksum FROM turnout.migration_applied"
    )
    checksum = migration()[0].checksum
    assert {tuple(row) for row in rows} == {(t.name, "1.3.0", checksum) for t in targets}
    told = await book.connection.fetch(
        "SELECT target FROM turnout.migration_history WHERE event IN ('applied', 'found')"
    )
    assert sorted(row["target"] for row in told) == sorted(t.name for t in targets)
    lost = await book.connection.fetchval(
        "SELECT count(*) FROM turnout.migration_history WHERE event = 'lapsed'"
    )
    print(f"{lost} jobs were taken back from workers that fell silent")


async def stand(
    connection: asyncpg.Connection, targets: list[Target]
) -> dict[str, tuple[int, bool, bool]]:
    """Of each schema: how often it was migrated, and whether it has the index and the column."""
    found = {}
    for first in range(0, len(targets), 100):
        parts = [_WHOLE.format(schema=each.schema) for each in targets[first : first + 100]]
        for name, *facts in await connection.fetch(" UNION ALL ".join(parts)):
            found[name] = tuple(facts)
    return found


def by_psql(server: EmbeddedPostgres, folder: Path) -> float:
    """The same migration by a loop of psql, as one would write it; targets a second."""
    script = folder / "V1.3.0__what.sql"
    script.write_text(migration()[0].text)
    url = server.url_for("targets")
    began = time.monotonic()
    for number in range(SCHEMAS, SCHEMAS + BY_PSQL):
        subprocess.run(
            [
                *(postgres_tree() / "bin" / "psql", "--no-psqlrc", "--quiet", "-1"),
                *("--set=ON_ERROR_STOP=1", "--file", script, url),
            ],
            check=True,
            env={**os.environ, "PGOPTIONS": f"-c search_path=t_c{number}"},
        )
    return BY_PSQL / (time.monotonic() - began)
