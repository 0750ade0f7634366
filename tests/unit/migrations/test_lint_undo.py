"""An undo is judged for the versions that stay once it has run."""

import pytest

from admin.migrations.catalogue.assemble import assemble
from admin.migrations.lint.context import Context
from admin.migrations.lint.model import Linted
from admin.migrations.lint.run import lint
from admin.migrations.version import Version

V = Version.parse
BASE = """
CREATE TABLE jobs (id int PRIMARY KEY, name varchar(50), note text, level int NOT NULL DEFAULT 1);
CREATE TABLE spare (id int);
CREATE VIEW names AS SELECT id, name FROM jobs;
"""


def back(forth: str, undo: str, *old: str) -> Linted:
    """What is said of the last statement of an undo of 1.1.0."""
    texts = {"V1.0.0__a.sql": BASE, "V1.1.0__b.sql": forth, "U1.1.0__b.sql": undo}
    return lint(assemble(texts).migrations, Context(tuple(map(V, old)))).statements[-1]


def rules(linted: Linted) -> list[str]:
    return [each.rule for each in linted.findings]


@pytest.mark.parametrize(
    ("forth", "undo"),
    [
        ("ALTER TABLE jobs ADD COLUMN origin text", "ALTER TABLE jobs DROP COLUMN origin"),
        ("ALTER TABLE jobs ADD origin text", "ALTER TABLE jobs RENAME COLUMN origin TO o"),
        ("ALTER TABLE jobs RENAME COLUMN note TO n", "ALTER TABLE jobs RENAME COLUMN n TO note"),
        ("ALTER TABLE jobs RENAME TO tasks", "ALTER TABLE tasks RENAME TO jobs"),
        ("CREATE TABLE fresh (id int)", "DROP TABLE fresh"),
        ("CREATE TABLE IF NOT EXISTS fresh (id int)", "DROP TABLE IF EXISTS fresh"),
        ("CREATE TABLE fresh (id int)", "TRUNCATE fresh"),
        ("CREATE VIEW ones AS SELECT 1 AS one", "DROP VIEW ones"),
        ("CREATE SEQUENCE numbers", "DROP SEQUENCE numbers"),
        ("CREATE INDEX i ON jobs (name)", "DROP INDEX i"),
        ("CREATE TYPE t AS ENUM ('a')", "DROP TYPE t"),
        ("CREATE DOMAIN d AS int", "DROP DOMAIN d"),
        ("ALTER TYPE t RENAME TO u", "ALTER TYPE u RENAME TO t"),
        ("CREATE FUNCTION f() RETURNS int LANGUAGE sql RETURN 1", "DROP FUNCTION f()"),
        ("CREATE SCHEMA s", "DROP SCHEMA s"),
        ("CREATE TRIGGER t BEFORE INSERT ON jobs EXECUTE FUNCTION f()", "DROP TRIGGER t ON jobs"),
        ("CREATE POLICY p ON jobs USING (true)", "DROP POLICY p ON jobs"),
        ("ALTER TABLE jobs ADD CONSTRAINT c CHECK (id > 0)", "ALTER TABLE jobs DROP CONSTRAINT c"),
        ("ALTER TABLE jobs ALTER note SET NOT NULL", "ALTER TABLE jobs ALTER note DROP NOT NULL"),
        ("ALTER TABLE jobs ADD origin text", "UPDATE jobs SET origin = NULL WHERE id > 3"),
    ],
)
def test_what_the_migration_brought_may_go(forth: str, undo: str):
    found = back(forth, undo)
    assert found.file == "U1.1.0__b.sql"
    assert found.compatibility == "safe", found.findings


@pytest.mark.parametrize(
    ("forth", "undo", "verdict", "rule"),
    [
        ("SELECT 1", "ALTER TABLE jobs DROP COLUMN note", "breaking", "drop-column"),
        ("SELECT 1", "DROP TABLE spare", "breaking", "drop-table"),
        ("CREATE TABLE IF NOT EXISTS spare (id int)", "DROP TABLE spare", "breaking", "drop-table"),
        (
            "ALTER TABLE jobs ADD COLUMN IF NOT EXISTS note text",
            "ALTER TABLE jobs DROP COLUMN note",
            *("breaking", "drop-column"),
        ),
        (
            "CREATE OR REPLACE VIEW names AS SELECT id, name, note FROM jobs",
            "DROP VIEW names",
            *("breaking", "drop-view"),
        ),
        (
            "ALTER TABLE jobs ALTER name TYPE varchar(80)",
            "ALTER TABLE jobs ALTER name TYPE varchar(50)",
            *("conditional", "change-column-type"),
        ),
        (
            "ALTER TABLE jobs DROP COLUMN note",
            "ALTER TABLE jobs ADD COLUMN note text NOT NULL",
            *("breaking", "add-required-column"),
        ),
        ("ALTER TABLE jobs ADD a int", "UPDATE jobs SET a = 1, note = ''", "conditional", ""),
    ],
)
def test_what_was_there_before_is_judged_as_elsewhere(
    forth: str, undo: str, verdict: str, rule: str
):
    found = back(forth, undo)
    assert found.compatibility == verdict
    assert rule in [*rules(found), ""]


def test_it_locks_as_all_do():
    found = back("CREATE TABLE fresh (id int)", "ALTER TABLE fresh ALTER id TYPE bigint")
    assert (found.lock, found.cost) == ("AccessExclusiveLock", "rewrite")
    assert rules(found) == ["blocking-rewrite"]
    found = back("CREATE INDEX i ON jobs (name)", "DROP INDEX i; UPDATE jobs SET level = 2")
    assert "lock-held-long" in rules(found)


def test_the_versions_that_stay_are_those_before_it():
    found = back("SELECT 1", "ALTER TABLE jobs DROP COLUMN note", "1.0.0", "1.1.0", "1.2.0")
    (finding,) = found.findings
    assert finding.message.endswith("(1.0.0 stays)")
    found = back("SELECT 1", "ALTER TABLE jobs DROP COLUMN note", "1.1.0", "1.2.0")
    assert found.compatibility == "breaking"


def test_undos_come_last_and_the_newest_first_each_with_the_schema_that_it_finds():
    texts = {
        "V1.0.0__a.sql": BASE,
        "V1.1.0__b.sql": "ALTER TABLE jobs ALTER COLUMN name TYPE varchar(80);",
        "U1.1.0__b.sql": "ALTER TABLE jobs ALTER COLUMN name TYPE varchar(50);",
        "V1.2.0__c.sql": "ALTER TABLE jobs ALTER COLUMN name TYPE text;",
        "U1.2.0__c.sql": "ALTER TABLE jobs ALTER COLUMN name TYPE varchar(80);",
        "R__d.sql": "CREATE OR REPLACE VIEW names AS SELECT id, name FROM jobs;",
        "U1.3.0__e.sql": "ALTER TABLE jobs ALTER COLUMN name TYPE text;",
    }
    found = lint(assemble(texts).migrations, Context()).statements
    assert [each.file[:2] for each in found] == ["V1"] * 5 + ["R_"] + ["U1"] * 3
    undos = {each.file: str(each.cost) for each in found[-3:]}
    assert undos == {
        "U1.3.0__e.sql": "instant",
        "U1.2.0__c.sql": "rewrite",
        "U1.1.0__b.sql": "rewrite",
    }
    assert [*undos][1:] == ["U1.2.0__c.sql", "U1.1.0__b.sql"]
