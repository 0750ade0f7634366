"""What the linter learns from a database."""

import asyncpg
import pytest

from admin.migrations.catalogue.assemble import assemble
from admin.migrations.lint.context import Context
from admin.migrations.lint.database import DatabaseError, look
from admin.migrations.lint.run import lint, lint_text
from admin.migrations.lint.sqltext import Type, type_of

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


async def test_an_error_names_the_reference_and_no_more(
    database_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LINTED_DB", database_url.replace("/test_", "/missing_"))
    with pytest.raises(DatabaseError) as raised:
        await look("env:LINTED_DB", "public", 30)
    assert str(raised.value) == "env:LINTED_DB can't be read: InvalidCatalogNameError"
