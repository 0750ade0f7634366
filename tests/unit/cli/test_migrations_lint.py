"""`turnout migrations lint`: what it reads, what it prints, how it ends."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from admin.cli.main import main
from admin.migrations.lint import squawk

DROP = "-- turnout:requires app >= 1.3.0\nALTER TABLE jobs DROP COLUMN a;\n"


def run(folder, *more, env=None):
    return CliRunner(env=env).invoke(
        main, ["migrations", "lint", str(folder), "--no-squawk", *more]
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "V1.0.0__first.sql").write_text("CREATE TABLE jobs (id int, a int);")
    (tmp_path / "V1.3.0__drop.sql").write_text(DROP)
    (tmp_path / "U1.3.0__drop.sql").write_text("ALTER TABLE jobs ADD COLUMN a int;")
    return tmp_path


def test_findings_end_it_with_1(folder: Path):
    result = run(folder, "--old", "1.2.0")
    assert result.exit_code == 1
    assert "V1.3.0__drop.sql:2:1: breaking" in result.output
    assert "drop-column" in result.output


def test_no_findings_end_it_with_0(folder: Path):
    result = run(folder, "--old", "1.3.0")
    assert result.exit_code == 0
    assert "0 findings" in result.output


def test_the_context_is_read_from_a_file(folder: Path, tmp_path: Path):
    context = tmp_path / "context.json"
    context.write_text('{"slots": {"blue": "1.3.0"}, "tenants": {"acme": "1.2.0"}}')
    assert run(folder, "--context", str(context)).exit_code == 1
    context.write_text('{"slots": {"blue": "1.3.0"}}')
    assert run(folder, "--context", str(context)).exit_code == 0


def test_what_is_older_is_only_learned(folder: Path):
    found = json.loads(run(folder, "--after", "1.0.0", "--json").stdout)
    files = [each["file"] for each in found["statements"]]
    assert files == [str(folder / "V1.3.0__drop.sql"), str(folder / "U1.3.0__drop.sql")]


def test_an_undo_is_judged_for_the_versions_that_stay(folder: Path):
    (folder / "U1.3.0__drop.sql").write_text("ALTER TABLE jobs DROP COLUMN id;")
    result = run(folder, "--old", "1.2.0", "--old", "1.3.0", "--after", "1.0.0")
    assert result.exit_code == 1
    assert "U1.3.0__drop.sql:1:1: breaking" in result.output
    assert "(1.2.0 stays)" in result.output


@pytest.mark.parametrize("form", ["json", "sarif"])
def test_programs_get_one_document(folder: Path, form: str):
    result = run(folder, "--format", form)
    assert result.exit_code == 1
    assert json.loads(result.stdout)


def test_github_gets_its_lines(folder: Path):
    assert run(folder, "--format", "github").stdout.startswith("::error file=")


def test_what_cannot_be_read_ends_it_with_2(folder: Path, tmp_path: Path):
    (folder / "V1.4.0__bad.sql").write_text("ALTER TABEL jobs;")
    result = run(folder)
    assert result.exit_code == 2
    assert "V1.4.0__bad.sql:1:7: syntax error" in result.output
    assert run(tmp_path / "nowhere").exit_code == 2


def test_a_context_that_cannot_be_used_ends_it_with_2(folder: Path, tmp_path: Path):
    context = tmp_path / "context.json"
    context.write_text("{}")
    result = run(folder, "--context", str(context))
    assert (result.exit_code, "names no version" in result.output) == (2, True)


def test_a_url_in_place_of_a_reference_is_not_repeated(folder: Path):
    result = run(folder, "--database", "postgresql://u:hunter2@h/d")
    assert result.exit_code == 2
    assert "env:NAME" in result.output
    assert "hunter2" not in result.output


def test_a_database_that_is_not_there_ends_it_with_2(folder: Path):
    env = {"SOME_DB": "postgresql://u:hunter2@127.0.0.1:1/d"}
    result = run(folder, "--database", "env:SOME_DB", env=env)
    assert result.exit_code == 2
    assert "env:SOME_DB can't be read" in result.output
    assert "hunter2" not in result.output
    assert run(folder, "--database", "env:NOT_SET_ANYWHERE").exit_code == 2


def test_squawk_s_findings_stand_beside_ours_and_can_be_allowed(tmp_path: Path):
    assert squawk.program()
    (tmp_path / "V1.0.0__x.sql").write_text(
        "SELECT 1;\n\n-- turnout:allow squawk-ban-drop-column because nobody reads it\n"
        "ALTER TABLE jobs DROP COLUMN a;\nCREATE INDEX i ON others (b);"
    )
    result = CliRunner().invoke(main, ["migrations", "lint", str(tmp_path), "--json"])
    found = [
        [each["rule"] for each in one["findings"]]
        for one in json.loads(result.stdout)["statements"]
    ]
    assert found == [
        [],
        ["drop-column"],
        [
            "index-without-concurrently",
            "lock-held-long",
            "squawk/require-concurrent-index-creation",
        ],
    ]


def test_squawk_that_fails_ends_it_with_2_and_says_how_to_go_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    broken = tmp_path / "bin" / "squawk"
    broken.parent.mkdir()
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(broken.parent), prepend=":")
    result = CliRunner().invoke(main, ["migrations", "lint", str(folder)])
    assert (result.exit_code, "--no-squawk" in result.output) == (2, True)
