"""What the linter learns from a database."""

import asyncpg
import pytest

from admin.migrations.catalogue.assemble import assemble
from admin.migrations.lint.context import Context, Size
from admin.migrations.lint.database import DatabaseError, look
from admin.migrations.lint.run import NAMELESS, lint, lint_text
from admin.migrations.lint.schema import ForeignKey
from admin.migrations.lint.sqltext import Type, type_of
from tests.support.statement_corpus import BASE, cases

GIVEN = """
CREATE TABLE jobs (
    id int PRIMARY KEY, name varchar(50), code char(3), price numeric(10,2), odd numeric(3,-2), plain numeric,
    at timestamp(3), "when" timestamptz, tags text[], sizes numeric(8,1)[], bits varbit(5), note text, level int DEFAULT 1,
    doubled int GENERATED ALWAYS AS (level * 2) VIRTUAL, kept text,
    CONSTRAINT named CHECK (note IS NOT NULL), CONSTRAINT other CHECK (kept <> '')
);
ALTER TABLE jobs ADD CONSTRAINT late CHECK (kept IS NOT NULL) NOT VALID;
ALTER TABLE jobs ADD CONSTRAINT later NOT NULL code NOT VALID;
CREATE TABLE parts (id int, day date) PARTITION BY RANGE (day);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2026-01-01') TO ('2026-02-01');
CREATE TABLE notes (
    id int, job int CONSTRAINT notes_job REFERENCES jobs ON DELETE CASCADE, half int, part int, lowered text, ranged int,
    late int, CONSTRAINT loose FOREIGN KEY (half) REFERENCES jobs NOT ENFORCED
);
ALTER TABLE notes ADD CONSTRAINT notes_late FOREIGN KEY (late) REFERENCES jobs NOT VALID;
CREATE INDEX ON notes (job, late);
CREATE INDEX ON notes (half) WHERE half IS NOT NULL;
CREATE INDEX ON notes (part) WHERE part > 3;
CREATE INDEX ON notes (lower(lowered), lowered);
CREATE INDEX ON notes USING brin (ranged);
CREATE SCHEMA other;
CREATE TABLE other.elsewhere (id int);
"""


@pytest.fixture
async def reference(database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    connection = await asyncpg.connect(database_url)
    await connection.execute(GIVEN)
    await connection.execute(
        "INSERT INTO parts SELECT n, '2026-01-02' FROM generate_series(1, 5000) n"
    )
    await connection.execute("ANALYZE")
    await connection.close()
    monkeypatch.setenv("LINTED_DB", database_url)
    return "env:LINTED_DB"


async def test_types_are_those_that_the_grammar_reads(reference: str):
    known = await look(reference, "public", 30)
    columns = {name: each.type for name, each in known.schema.tables["jobs"].columns.items()}
    (migration,) = assemble({"V1.0.0__x.sql": GIVEN.split(";", maxsplit=1)[0]}).migrations
    written = {
        each.column_def.colname: type_of(each.column_def.type_name)
        for each in migration.statements[0].node.table_elts
        if each.HasField("column_def")
    }
    # A negative scale is an expression to the grammar.
    assert columns.pop("odd") == Type("numeric", (3, -2))
    written.pop("odd")
    assert columns == written


async def test_what_is_held_not_null_is_known(reference: str):
    schema = (await look(reference, "public", 30)).schema
    assert schema.holds_not_null("jobs", "id")
    assert schema.holds_not_null("jobs", "note")
    assert not schema.holds_not_null("jobs", "kept")
    assert not schema.holds_not_null("jobs", "code")
    assert schema.promises_not_null("jobs", "kept")
    assert schema.promises_not_null("jobs", "code")
    assert schema.is_virtual("jobs", "doubled")
    assert "elsewhere" not in schema.tables


async def test_a_partitioned_table_is_as_large_as_its_partitions(reference: str):
    sizes = (await look(reference, "public", 30)).sizes
    assert sizes["parts"].rows == 5000
    assert sizes["parts"].bytes == sizes["parts_1"].bytes > 0


async def test_verdicts_rest_on_the_database(reference: str):
    known = await look(reference, "public", 30)
    sql = "ALTER TABLE jobs ALTER COLUMN name TYPE varchar(80); CREATE INDEX i ON jobs (name);"
    migrations = assemble({"V1.0.0__x.sql": sql}).migrations
    report = lint(migrations, Context((), known.sizes), known.schema)
    assert [each.compatibility for each in report.statements] == ["safe", "safe"]
    assert report.findings == 0
    assert report.statements[1].size_bytes == known.sizes["jobs"].bytes
    assert lint_text(sql).findings > 0


async def test_indexes_and_foreign_keys_are_known(reference: str):
    schema = (await look(reference, "public", 30)).schema
    jobs, notes = schema.tables["jobs"], schema.tables["notes"]
    assert (jobs.primary, jobs.primary_key, jobs.keys) == ("jobs_pkey", ("id",), {"id"})
    assert notes.foreign_keys == {
        "notes_job": ForeignKey(("job",), "jobs", ("id",), "c", "a"),
        "notes_late": ForeignKey(("late",), "jobs", ("id",), "a", "a", is_valid=False),
    }
    assert notes.finds_by(("job",))
    assert notes.finds_by(("half",))
    for column in ("late", "part", "lowered", "ranged"):
        assert not notes.finds_by((column,)), column


async def test_a_scan_of_a_table_that_refers_is_told_from_a_look_in_an_index(reference: str):
    known = await look(reference, "public", 30)
    sql = "DELETE FROM jobs WHERE id = 7; ALTER TABLE notes DROP CONSTRAINT notes_late; DELETE FROM jobs WHERE id = 8"
    migrations = assemble({"V1.0.0__x.sql": f"-- turnout:transaction off\n{sql}"}).migrations
    large = {"notes": Size(2**30)}
    first, _, last = lint(migrations, Context((), large), known.schema).statements
    (finding,) = [each for each in first.findings if each.rule == "foreign-key-without-index"]
    assert "notes (late) refers to jobs" in finding.message
    assert "for about 5.1 s (1,024 MiB) a row" in finding.message
    assert (first.cost, last.cost) == ("scan", "instant")


async def test_with_a_database_verdicts_are_those_of_the_corpus(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    connection = await asyncpg.connect(database_url)
    await connection.execute(BASE.read_text("utf-8"))
    await connection.close()
    monkeypatch.setenv("LINTED_DB", database_url)
    known = await look("env:LINTED_DB", "public", 30)
    different = set()
    for case in cases():
        if case.setup:
            continue
        migrations = assemble({NAMELESS: case.sql}).migrations
        judged = lint(migrations, Context(), known.schema.copy()).statements[-1]
        found = (str(judged.compatibility), judged.lock, str(judged.cost))
        if found != (case.compatibility, case.lock, case.cost):
            different.add(str(case))
    # The zone of a session, and what is put together when it runs: no database knows that.
    assert different == {
        "types: timestamp to timestamptz",
        "views_and_code: DO, which may do anything: it puts a statement together",
    }


async def test_an_error_names_the_reference_and_no_more(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LINTED_DB", database_url.replace("/test_", "/missing_"))
    with pytest.raises(DatabaseError) as raised:
        await look("env:LINTED_DB", "public", 30)
    assert str(raised.value) == "env:LINTED_DB can't be read: InvalidCatalogNameError"
