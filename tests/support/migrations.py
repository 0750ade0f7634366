"""A ledger and targets on real PostgreSQL for tests of migrations: made, planned, worked on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from admin.config import Settings as AdminSettings
from admin.migrations.backfill import header
from admin.migrations.config import Server, Settings
from admin.migrations.executor import Job
from admin.migrations.files import File, Statement
from admin.migrations.ledger.plans import command, create, know
from admin.migrations.plan import Had, Wish, draft
from admin.migrations.states import PlanEvent
from admin.migrations.steps import needs_no_transaction
from admin.migrations.target.session import Sessions
from admin.migrations.targets import Target, quoted
from admin.migrations.worker import Worker
from admin.routing.audit import Author
from admin.routing.database import Database, open_pool
from admin.schema import migrate, migrations

AUTHOR = Author("tester", "operator", "r-1")
REFERENCE = "env:TURNOUT_TEST_TARGETS"
LOOK_S = 0.02


async def until(condition: Callable[[], Awaitable[Any]]) -> Any:
    """Ask again and again until the answer is true; the answer."""
    while True:
        found = await condition()
        if found:
            return found
        await asyncio.sleep(LOOK_S)


def settings(**changed: Any) -> Settings:
    """One server, a schema for each tenant, and little patience."""
    given: dict[str, Any] = {
        "layout": "schema",
        "schema": "t_{tenant}",
        "servers": {"main": Server(REFERENCE, at_once=8)},
        "lock_timeout_s": 0.2,
        "concurrent_lock_timeout_s": 2.0,
        "backoff_s": 0.05,
        "backoff_max_s": 0.4,
        "look_s": 0.05,
        "lease_s": 3.0,
    }
    return Settings(**{**given, **changed})


def file(version: str, *statements: str, **more: Any) -> File:
    """A migration of these statements; position is set by `catalogue`."""
    head = more.pop("head", "")
    text = head + "".join(f"{sql};\n" for sql in statements)
    line = head.count("\n") + 1
    placed = []
    for sql in statements:
        placed.append(Statement(sql, line))
        line += sql.count("\n") + 1
    given: dict[str, Any] = {
        "position": 0,
        "key": version,
        "version": version,
        "name": "what",
        "kind": "versioned",
        "phase": "expand",
        "requires": None,
        "path": f"V{version}__what.sql",
        "text": text,
        "checksum": sha256(text.encode()).hexdigest(),
        "transactional": not needs_no_transaction(statements),
        "runs": True,
        "statements": tuple(placed),
        "batch": header(text),
    }
    return File(**{**given, **more})


def catalogue(*files: File) -> tuple[File, ...]:
    """The files in this order."""
    return tuple(replace(each, position=number) for number, each in enumerate(files))


def of_tenants(count: int) -> tuple[Target, ...]:
    """So many tenants with a schema each."""
    return tuple(of_tenant(f"c{number}") for number in range(count))


def of_tenant(name: str, database: str = "") -> Target:
    """A tenant with a schema of its own."""
    return Target(name, name, "main", database, f"t_{name}")


@dataclass
class Ledger:
    """Turnout's own database, migrated, and one in which the targets lie."""

    url: str
    database: Database
    connection: asyncpg.Connection
    """On the ledger."""
    there: asyncpg.Connection
    """On the targets' database."""
    environ: Mapping[str, str]

    async def planned(
        self,
        files: Sequence[File],
        targets: Iterable[Target],
        *,
        run: bool = True,
        applied: Mapping[str, Had] | None = None,
        **wish: Any,
    ) -> str:
        """A plan, begun; its name."""
        targets = tuple(targets)
        made = draft(Wish(**wish), files, targets, applied or {})
        async with self.database.connection() as connection:
            await know(connection, targets)
            name = await create(connection, made, AUTHOR)
            if run:
                assert await command(connection, name, PlanEvent.RUN, AUTHOR)
        return name

    async def word(self, plan: str, event: PlanEvent) -> None:
        async with self.database.connection() as connection:
            assert await command(connection, plan, event, AUTHOR)

    async def schemas(self, targets: Iterable[Target], more: str = "") -> None:
        """Make the targets' schemas. more: statements in each, by its search path."""
        for target in targets:
            await self.there.execute(
                f"CREATE SCHEMA {quoted(target.schema)};"
                f"SET search_path TO {quoted(target.schema)}; {more}"
            )
        await self.there.execute("RESET search_path")

    def worker(self, own: Settings, name: str = "w1") -> Worker:
        return Worker(name, self.database, Sessions(own, self.environ), own, Random(name))

    async def state(self, plan: str) -> str:
        return str(
            await self.connection.fetchval(
                "SELECT state FROM turnout.migration_plans WHERE name = $1", plan
            )
        )

    async def ends(self, plan: str, *states: str) -> str:
        """Until the plan is in one of these states; `done` if none is named."""
        wanted = states or ("done",)

        async def stands() -> str:
            state = await self.state(plan)
            return state if state in wanted else ""

        return str(await until(stands))

    async def comes_to_rest(self, plan: str) -> dict[str, int]:
        """Until none of its jobs runs; how many are in each state then."""

        async def at_rest() -> dict[str, int]:
            counts = await self.jobs(plan)
            return {} if "running" in counts else counts

        found: dict[str, int] = await until(at_rest)
        return found

    async def jobs(self, plan: str) -> dict[str, int]:
        rows = await self.connection.fetch(
            "SELECT state, count(*) FROM turnout.migration_jobs WHERE plan = $1 GROUP BY 1", plan
        )
        return {row[0]: row[1] for row in rows}


@asynccontextmanager
async def ledger(url: str, targets_url: str) -> AsyncIterator[Ledger]:
    """The ledger, for as long as the block runs."""
    pool = await open_pool(url, AdminSettings())
    database = Database(pool, 3.0)
    connection = await asyncpg.connect(url)
    there = await asyncpg.connect(targets_url)
    try:
        await migrate(connection, migrations(), 5.0)
        environ = {REFERENCE.removeprefix("env:"): targets_url}
        yield Ledger(url, database, connection, there, environ)
    finally:
        await there.close()
        await connection.close()
        await database.close()


def job(file: File, target: Target, fence: int, files: Sequence[File] = ()) -> Job:
    """A job for the executor alone."""
    return Job("m-test", target, fence, file, tuple(files) or (file,))


def at_database(url: str, name: str) -> str:
    """The URL of another database on the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def config_file(folder: Path, ledger_url: str, more: str = "") -> Path:
    """Settings for worker processes, as `settings` has them; a lease of two seconds."""
    path = folder / "turnout.toml"
    path.write_text(
        f"database_url = '{ledger_url}'\n"
        "[migrations]\nlayout = 'schema'\nschema = 't_{tenant}'\n"
        "lock_timeout_s = 0.5\nconcurrent_lock_timeout_s = 5.0\nbackoff_s = 0.05\n"
        "backoff_max_s = 0.4\nlook_s = 0.05\nlease_s = 2.0\n"
        f"{more}\n"
        f"[migrations.servers.main]\nurl = '{REFERENCE}'\nat_once = 16\n"
    )
    return path
