"""A small ERP of the document's, its old version's queries, and the command line as a process."""

import asyncio
import itertools
import json
import os
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from admin.embedded import EmbeddedPostgres
from tests.support.contrib import contrib

SCHEMA = """
CREATE TABLE customers (
    id integer PRIMARY KEY, name text NOT NULL, email varchar(255)
);
CREATE TABLE jobs (
    id integer PRIMARY KEY, customer_id integer REFERENCES customers, customer_name text,
    quantity integer, legacy_field text, status text NOT NULL DEFAULT 'new', created_at timestamptz
);
"""
OLD = (
    "SELECT id, name, email FROM customers WHERE id = $1",
    "INSERT INTO customers (id, name, email) VALUES ($1, $2, $3)",
    "SELECT id, quantity, legacy_field FROM jobs WHERE status = $1 ORDER BY id",
    "INSERT INTO jobs (id, customer_id, customer_name, quantity) VALUES ($1, $2, $3, $4)",
    "UPDATE jobs SET customer_name = $1, quantity = $2 WHERE id = $3",
)
_numbers = itertools.count()


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> Any:
        assert self.stdout, self.stderr
        return json.loads(self.stdout)

    @property
    def found(self) -> set[tuple[str, str]]:
        """Kind and severity of each finding."""
        return {(each["kind"], each["severity"]) for each in self.json["findings"]}


@dataclass
class Erp:
    """A database with the ERP in it, and a folder of migrations."""

    url: str
    folder: Path
    server: EmbeddedPostgres

    def write(self, **files: str) -> None:
        """Write migrations; `V1_3_0__x` is V1.3.0__x.sql."""
        for name, text in files.items():
            head, _, tail = name.partition("__")
            (self.folder / f"{head.replace('_', '.')}__{tail}.sql").write_text(text)

    def queries(self, *texts: str, name: str = "queries.sql") -> Path:
        file = self.folder.parent / name
        file.write_text(";\n".join(texts or OLD) + ";\n")
        return file

    async def execute(self, *texts: str) -> None:
        connection = await asyncpg.connect(self.url)
        try:
            for text in texts:
                await connection.execute(text)
        finally:
            await connection.close()

    async def fetch(self, text: str) -> list[Any]:
        connection = await asyncpg.connect(self.url)
        try:
            return list(await connection.fetch(text))
        finally:
            await connection.close()

    async def clones(self) -> list[str]:
        rows = await self.fetch(
            "SELECT datname FROM pg_database WHERE starts_with(datname, 'turnout_scratch_')"
        )
        return [row["datname"] for row in rows]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "ERP_DATABASE": self.url}

    def command(self, *arguments: str | Path, command: str = "verify") -> list[str]:
        given = [str(each) for each in arguments]
        if command == "verify":
            given += ["--folder", str(self.folder)]
            if "--from" not in given:
                given += ["--from", "1.2.0"]
        database = [] if "--snapshot" in given else ["--database", "env:ERP_DATABASE"]
        return [sys.executable, "-m", "admin.cli", "migrations", command, *database, *given]

    async def turnout(self, *arguments: str | Path, command: str = "verify") -> Done:
        return await self.run(self.command(*arguments, command=command))

    async def run(self, command: list[str]) -> Done:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=self.environment,
        )
        async with asyncio.timeout(60):
            out, err = await process.communicate()
        assert process.returncode is not None
        return Done(process.returncode, out.decode(), err.decode())


@pytest.fixture
async def erp(postgres_server: EmbeddedPostgres, tmp_path: Path) -> AsyncIterator[Erp]:
    """The ERP at version 1.2.0."""
    name = f"proof_{next(_numbers)}"
    made = Erp(postgres_server.create_database(name), tmp_path / "migrations", postgres_server)
    made.folder.mkdir()
    await made.execute(SCHEMA)
    yield made
    postgres_server.drop_database(name)


@pytest.fixture(scope="session")
def watching_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A PostgreSQL that counts its statements."""
    with (
        contrib("pg_stat_statements") as settings,
        EmbeddedPostgres(tmp_path_factory.mktemp("watching"), settings=settings) as server,
    ):
        yield server


@pytest.fixture
async def watched_erp(watching_server: EmbeddedPostgres, tmp_path: Path) -> AsyncIterator[Erp]:
    """The same, with pg_stat_statements, which the old version's queries have gone through."""
    name = f"watched_{next(_numbers)}"
    made = Erp(watching_server.create_database(name), tmp_path / "migrations", watching_server)
    made.folder.mkdir()
    await made.execute(SCHEMA, "CREATE EXTENSION pg_stat_statements")
    connection = await asyncpg.connect(made.url)
    await connection.execute("SELECT pg_stat_statements_reset()")
    await connection.fetch(OLD[0], 1)
    await connection.execute(OLD[1], 1, "Ada", "ada@example.org")
    await connection.fetch(OLD[2], "new")
    await connection.execute(OLD[3], 1, 1, "Ada", 5)
    await connection.execute(OLD[4], "Ada", 6, 1)
    await connection.close()
    yield made
    watching_server.drop_database(name)
