"""`turnout migrations drift` over the targets of the settings: real schemas, some changed by hand, some out of reach."""

import asyncio
import os
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration.migrations.proof.conftest import Done
from tests.support.migrations import (
    REFERENCE,
    Ledger,
    catalogue,
    config_file,
    file,
    of_tenants,
    settings,
)

SECRET = "canary-pa55word"
TABLE = file("1.0.0", "CREATE TABLE jobs (id bigint PRIMARY KEY, status text)")
MORE = file(
    "1.1.0",
    "ALTER TABLE jobs ADD COLUMN priority integer DEFAULT 5",
    "CREATE INDEX by_status ON jobs (status)",
)
TENANTS = of_tenants(5)
NAMES = [each.name for each in TENANTS]
_EXPLICIT = """
targets = [{targets}]
[migrations.servers.far]
url = 'env:FAR'
at_once = 1
"""


@dataclass
class Site:
    """A ledger, its targets, and the command line."""

    book: Ledger
    config: Path
    folder: Path
    far: str

    async def drift(self, *arguments: str) -> Done:
        folder = () if "--expected" in arguments else ("--folder", str(self.folder))
        environment = {**os.environ, **self.book.environ, "FAR": self.far}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "admin.cli", "migrations", "drift"),
            *("--config", str(self.config), *folder, *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
        )
        async with asyncio.timeout(60):
            out, err = await process.communicate()
        assert process.returncode is not None
        assert SECRET not in out.decode() + err.decode()
        return Done(process.returncode, out.decode(), err.decode())

    def far_targets(self, *names: str) -> None:
        """Let these lie on the server that nobody reaches."""
        each = ", ".join(
            f"{{name = '{name}', server = 'far', schema = '{name}'}}" for name in names
        )
        self.config = config_file(self.config.parent, self.book.url, _EXPLICIT.format(targets=each))

    async def by_hand(self, tenant: str, sql: str) -> None:
        await self.book.there.execute(f'SET search_path TO "t_{tenant}"; {sql}')

    async def clones(self) -> list[str]:
        rows = await self.book.there.fetch(
            "SELECT datname FROM pg_database WHERE starts_with(datname, 'turnout_scratch_')"
        )
        return [row["datname"] for row in rows]


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port at which nobody listens, and nobody else can."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield held.getsockname()[1]


@pytest.fixture
async def site(
    book: Ledger,
    works: Callable[..., Awaitable[Any]],
    tmp_path: Path,
    closed_port: int,
) -> Site:
    """Five tenants, the last of them a version behind."""
    folder = tmp_path / "migrations"
    folder.mkdir()
    for each in (TABLE, MORE):
        (folder / each.path).write_text(each.text)
    await book.schemas(TENANTS)
    await book.connection.execute(
        "INSERT INTO turnout.tenants (tenant) SELECT unnest($1::text[])", NAMES
    )
    await works(book.worker(settings()))
    await book.ends(await book.planned(catalogue(TABLE, MORE), TENANTS[:4]))
    await book.ends(await book.planned(catalogue(TABLE), TENANTS[4:]))
    far = f"postgresql://turnout:{SECRET}@127.0.0.1:{closed_port}/erp"
    return Site(book, config_file(tmp_path, book.url), folder, far)


async def test_each_that_drifted_has_a_line_and_who_is_not_reached_stops_nobody(
    site: Site,
) -> None:
    clean = await site.drift()
    assert (clean.code, clean.stdout) == (0, "5 targets: 5 as expected\n"), clean.stderr
    assert clean.stderr.splitlines()[-1].endswith("5 of 5")

    await site.by_hand("c1", "DROP INDEX by_status; ALTER TABLE jobs ALTER priority SET DEFAULT 6")
    await site.by_hand("c3", "CREATE TABLE extra (id int)")
    site.far_targets("far")
    done = await site.drift()
    assert done.code == 2, done.stderr
    assert done.stdout == (
        "c1 (1.1.0): different column jobs.priority (default 6, expected 5);"
        " missing index jobs.by_status\n"
        "c3 (1.1.0): unexpected table extra\n"
        "far: could not be looked at: far: the server can't be reached (ConnectionRefusedError):"
        " does it run, and is the URL's host right?\n"
        "6 targets: 3 as expected, 2 drifted, 1 could not be looked at\n"
    )
    assert "6 of 6, 2 drifted, 1 could not be looked at" in done.stderr
    assert await site.clones() == []


async def test_a_selection_and_its_exit_code(site: Site) -> None:
    site.far_targets("far")
    await site.by_hand("c1", "DROP INDEX by_status")
    whole = await site.drift("--tenants", "c0,c4")
    assert (whole.code, whole.stdout) == (0, "2 targets: 2 as expected\n")
    here = await site.drift("--server", "main", "--at-once", "2", "--json")
    assert (here.code, here.stderr) == (1, "")
    assert {name: here.json[name] for name in ("drift", "targets", "as_expected")} == {
        "drift": True,
        "targets": 5,
        "as_expected": 4,
    }
    assert here.json["drifted"][0]["target"] == "c1"
    assert here.json["drifted"][0]["version"] == "1.1.0"
    found = here.json["drifted"][0]["differences"]
    assert [(each["what"], each["name"]) for each in found] == [("missing", "jobs.by_status")]
    # All of them at one version: who is behind it differs.
    behind = await site.drift("--tenants", "c0,c4", "--at", "1.1.0")
    assert behind.code == 1
    assert behind.stdout.startswith("c4 (1.1.0): missing column jobs.priority; missing index")
    # Or as another is.
    like = ("--expected", REFERENCE, "--expected-schema", "t_c4", "--tenants", "c0,c4")
    done = await site.drift(*like)
    assert (done.code, done.stdout.splitlines()[-1]) == (1, "2 targets: 1 as expected, 1 drifted")
    for wrong in (("--tenants", "nobody"), ("--server", "nowhere")):
        done = await site.drift(*wrong)
        assert (done.code, f"is called {wrong[1]}" in done.stderr) == (2, True)


async def test_a_schema_that_is_gone_or_half_migrated_is_told(site: Site) -> None:
    await site.book.there.execute('DROP SCHEMA "t_c0" CASCADE')
    await site.by_hand(
        "c1", "UPDATE turnout_schema_history SET state = 'applying' WHERE key = '1.1.0'"
    )
    await site.by_hand("c2", "DROP TABLE jobs")
    # It is registered, and nothing was ever migrated there: it lacks all of the catalogue.
    await site.book.connection.execute("INSERT INTO turnout.tenants (tenant) VALUES ('c9')")
    await site.book.there.execute('CREATE SCHEMA "t_c9"')
    done = await site.drift("--json")
    assert done.code == 2
    unseen = {each["target"]: each["why"] for each in done.json["not_looked_at"]}
    assert unseen["c0"] == "there is no schema t_c0"
    assert "1.1.0 is applied in part" in unseen["c1"]
    drifted = {each["target"]: each for each in done.json["drifted"]}
    assert drifted.keys() == {"c2", "c9"}
    assert drifted["c9"]["version"] == "1.1.0"
    assert [(each["what"], each["name"]) for each in drifted["c9"]["differences"]] == [
        ("missing", "jobs")
    ]
    assert done.json["as_expected"] == 2


async def test_a_server_that_is_not_reached_again_and_again_is_left_alone(site: Site) -> None:
    site.far_targets(*(f"far{number}" for number in range(5)))
    done = await site.drift("--server", "far", "--json")
    assert done.code == 2
    whys = [each["why"] for each in done.json["not_looked_at"]]
    assert ["can't be reached" in why for why in whys] == [True, True, True, False, False]
    assert whys[4] == "far was not reached 3 times one after the other"


async def test_what_the_settings_do_not_tell_is_told(site: Site) -> None:
    (site.config.parent / "empty.toml").write_text(f"database_url = '{site.book.url}'\n")
    site.config = site.config.parent / "empty.toml"
    done = await site.drift()
    assert done.code == 2
    assert "[migrations.servers]" in done.stderr
    ledger = site.book.url
    site.config.write_text(
        f"database_url = '{site.far}'\n[migrations.servers.main]\nurl = '{REFERENCE}'\n"
    )
    done = await site.drift()
    assert done.code == 2
    assert "Turnout's own database (database_url): the server can't be reached" in done.stderr
    assert ledger not in done.stderr
    one = await site.drift("--database", REFERENCE, "--tenants", "c0")
    assert (one.code, "no --database" in one.stderr) == (2, True)
    one = await site.drift("--schema", "public")
    assert (one.code, "--schema is of one database" in one.stderr) == (2, True)
