"""`turnout worker --check`: its words and exit codes, against real servers; no value of a secret."""

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from admin.embedded import EmbeddedPostgres
from admin.migrations.__main__ import main
from admin.schema import migrations
from tests.integration.migrations.test_hanging import hanging
from tests.support.migrations import Ledger
from tests.support.servers import empty_database

CANARY = "k4naryk4nary"
PLACE = "turnout.toml:5: [migrations.servers] main: "


class Result(NamedTuple):
    exit_code: int
    stdout: str
    stderr: str


Check = Callable[..., Result]


@pytest.fixture
def there(postgres_server: EmbeddedPostgres) -> Iterator[str]:
    with empty_database(postgres_server) as url:
        yield url


@pytest.fixture
def check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Check:
    """Runs the command; ledger, server: their URLs; more: settings."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("TURNOUT_")]:
        monkeypatch.delenv(name)
    (tmp_path / "migrations").mkdir()

    def run(ledger: str, server: str, *arguments: str, more: str = "") -> Result:
        monkeypatch.setenv("TURNOUT_DATABASE_URL", ledger)
        monkeypatch.setenv("ERP", server)
        path = Path("turnout.toml")
        path.write_text(
            f"[migrations]\nconnect_timeout_s = 0.5\n{more}\n"
            "[migrations.servers]\nmain = {url = 'env:ERP'}\n"
        )
        code = main(["--check", "--config", str(path), *arguments])
        result = Result(code, *capsys.readouterr())
        assert CANARY not in result.stdout + result.stderr
        return result

    return run


def refused(url: str) -> str:
    """The same with a wrong password."""
    head, _, host = url.partition("@")
    return f"{head.rpartition(':')[0]}:{CANARY}@{host}"


def test_a_good_one_changes_nothing(check: Check, database_url: str, there: str) -> None:
    result = check(database_url, there)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "its schema lacks" in result.stdout
    assert f"from {migrations()[0].name} on" in result.stdout
    assert result.stdout.endswith("the settings are good\n")
    # Only looked at: the next one finds the schema lacking still.
    assert check(database_url, there).stdout == result.stdout


async def test_a_schema_that_is_current(check: Check, book: Ledger) -> None:
    result = await in_thread(check, book.url, next(iter(book.environ.values())))
    # What comes before is said by the fixture that made the schema.
    assert (result.exit_code, result.stderr) == (0, "")
    assert "its schema lacks" not in result.stdout
    assert result.stdout.endswith("the settings are good\n")


async def test_a_schema_of_a_newer_program(check: Check, book: Ledger) -> None:
    await book.connection.execute(
        "INSERT INTO turnout.schema_ledger (number, name, checksum) VALUES (9999, 'x', 'x')"
    )
    result = await in_thread(check, book.url, next(iter(book.environ.values())))
    assert result.exit_code == 1
    assert "run a newer Turnout" in result.stderr


def test_settings_are_looked_at_first(check: Check, database_url: str, there: str) -> None:
    result = check(database_url, there, more="layout = 'tenant'\nserver = 'other'")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "turnout.toml:3: [migrations] layout: " in result.stderr
    nothing = check(database_url, there, more="[migrations.server]")
    assert nothing.exit_code == 2


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ("", "env:ERP: the variable is not set in this process"),
        (CANARY, "env:ERP: what stands there is no postgresql:// URL"),
        (
            f"postgresql://erp:{CANARY}/x@h/erp",
            "env:ERP: what stands there is no URL that can be used",
        ),
        (
            f"postgresql://erp:{CANARY}@127.0.0.1:1/erp",
            "main can't be reached (ConnectionRefusedError)",
        ),
    ],
)
def test_a_server_that_can_t_be_used(
    check: Check, database_url: str, server: str, said: str
) -> None:
    result = check(database_url, server)
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"{PLACE}{said}" in result.stderr


def test_credentials_that_are_refused(check: Check, database_url: str, there: str) -> None:
    result = check(database_url, refused(there))
    assert result.exit_code == 1
    assert f"{PLACE}main refuses the worker (InvalidPasswordError)" in result.stderr
    of_ledger = check(refused(database_url), there)
    assert of_ledger.exit_code == 1
    assert "TURNOUT_DATABASE_URL: Turnout's database can't be reached" in of_ledger.stderr
    assert "InvalidPasswordError" in of_ledger.stderr


def test_a_ledger_s_url_that_is_none(check: Check, there: str) -> None:
    result = check(f"postgresql://erp:{CANARY}/x@h/erp", there)
    assert result.exit_code == 1
    assert "TURNOUT_DATABASE_URL: is not a PostgreSQL URL" in result.stderr


def test_a_server_that_hangs(
    check: Check, database_url: str, fresh_postgres: EmbeddedPostgres
) -> None:
    with hanging(fresh_postgres):
        result = check(database_url, fresh_postgres.url)
    assert result.exit_code == 1
    assert f"{PLACE}main can't be reached (TimeoutError)" in result.stderr


def test_the_folder_s_files_are_read(check: Check, database_url: str, there: str) -> None:
    Path("migrations/V1.0.0__what.sql").write_text("CREATE TABLE t ();\nCREATE TABEL u ();\n")
    result = check(database_url, there)
    assert result.exit_code == 1
    assert "[migrations] folder: V1.0.0__what.sql:2:" in result.stderr
    nowhere = check(database_url, there, more="folder = 'elsewhere'")
    assert nowhere.exit_code == 0
    assert "warning: [migrations] folder: is no folder here" in nowhere.stdout


def test_for_programs(check: Check, database_url: str) -> None:
    result = check(database_url, "", "--json")
    found: dict[str, Any] = json.loads(result.stdout)
    assert (result.exit_code, result.stderr, found["ok"]) == (1, "", False)
    (error,) = [each for each in found["findings"] if each["level"] == "error"]
    assert (error["setting"], error["line"]) == ("migrations.servers.main", 5)


async def in_thread(check: Check, *arguments: str) -> Result:
    """The command has a loop of its own."""
    return await asyncio.to_thread(check, *arguments)
