"""`python -m bench.migrations`: Turnout's workers beside a plain loop of psql, on one real PostgreSQL.

A schema for each tenant, and one migration: a column, an index, a row. The same is applied by psql one
schema after the other, by several psql side by side, and by worker processes with everything that they
do besides: claims, leases, fences, version tables, history. Nobody is killed here; for that see
tests/e2e/test_many_migrations.py.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import asyncpg

from admin.embedded import EmbeddedPostgres
from admin.embedded.binaries import postgres_tree
from tests.support.migrations import Ledger, catalogue, config_file, file, ledger, of_tenants

_MAKE = """
DO $$ BEGIN
    FOR n IN {first}..{last} LOOP
        EXECUTE format('CREATE SCHEMA %I', 't_c' || n);
        EXECUTE format('CREATE TABLE %I.jobs (id bigint PRIMARY KEY)', 't_c' || n);
    END LOOP;
END $$
"""
_FIRST = file(
    "1.3.0",
    "ALTER TABLE jobs ADD COLUMN priority integer DEFAULT 5",
    "CREATE INDEX jobs_priority ON jobs (priority)",
    "INSERT INTO jobs VALUES (1)",
)
_SECOND = file("1.4.0", "ALTER TABLE jobs ADD COLUMN note text")
FILES = catalogue(_FIRST, _SECOND)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.migrations", description=__doc__)
    parser.add_argument("--schemas", type=int, default=1000, help="how many tenants there are")
    parser.add_argument("--workers", type=int, default=4, help="worker processes")
    parser.add_argument("--beside", type=int, default=4, help="of psql, in the second run of it")
    asked = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder, EmbeddedPostgres(Path(folder, "pg")) as server:
        for label, rate in asyncio.run(_measure(server, Path(folder), asked)):
            print(f"{label:<48} {rate:7.1f} targets a second")
    return 0


async def _measure(
    server: EmbeddedPostgres, folder: Path, asked: argparse.Namespace
) -> list[tuple[str, float]]:
    rows = []
    for label, beside in (("psql, one after the other", 1), ("psql, side by side", asked.beside)):
        url = server.create_database(f"by_psql_{beside}")
        await _make(url, asked.schemas)
        rate = await asyncio.to_thread(_by_psql, url, folder, asked.schemas, beside)
        rows.append((f"{label}: {beside}", rate))
    url = server.create_database("by_workers")
    await _make(url, asked.schemas)
    async with ledger(server.create_database("ledger"), url) as book:
        rows += await _by_workers(book, folder, asked.schemas, asked.workers)
    return rows


async def _make(url: str, schemas: int) -> None:
    connection = await asyncpg.connect(url)
    for first in range(0, schemas, 100):
        await connection.execute(_MAKE.format(first=first, last=min(first + 99, schemas - 1)))
    await connection.close()


def _by_psql(url: str, folder: Path, schemas: int, beside: int) -> float:
    script = folder / "V1.3.0__what.sql"
    script.write_text(_FIRST.text)
    command: list[str | Path] = [
        *(postgres_tree() / "bin" / "psql", "--no-psqlrc", "--quiet", "-1"),
        *("--set=ON_ERROR_STOP=1", "--file", script, url),
    ]

    def one(number: int) -> None:
        environ = {**os.environ, "PGOPTIONS": f"-c search_path=t_c{number}"}
        subprocess.run(command, check=True, env=environ)

    began = time.monotonic()
    with ThreadPoolExecutor(beside) as pool:
        list(pool.map(one, range(schemas)))
    return schemas / (time.monotonic() - began)


def _started(command: list[str | Path], book: Ledger) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, env={**os.environ, **book.environ})


async def _by_workers(
    book: Ledger, folder: Path, schemas: int, workers: int
) -> list[tuple[str, float]]:
    path = config_file(folder, book.url, "log_level = 'warning'", look_s=0.25)
    command: list[str | Path] = [sys.executable, "-m", "admin.migrations", "--config", path]
    processes = [_started(command, book) for _ in range(workers)]
    try:
        targets, rows = of_tenants(schemas), []
        warm = await book.planned(FILES[:1], targets[:workers], shares=())
        await book.ends(warm)
        had = {each.name: {"1.3.0": _FIRST.checksum} for each in targets}
        rest = targets[workers:]
        for label, files, whom, applied in (
            ("the first, which makes their version tables", FILES[:1], rest, None),
            ("the next", FILES, targets, had),
        ):
            plan = await book.planned(files, whom, shares=(), applied=applied)
            began = time.monotonic()
            await book.ends(plan)
            rows.append((f"{workers} workers: {label}", len(whom) / (time.monotonic() - began)))
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait()
    return rows


if __name__ == "__main__":
    sys.exit(main())
