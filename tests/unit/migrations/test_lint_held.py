"""A lock that is held while something of the same file takes long."""

import pytest

from admin.migrations.lint.context import Size
from admin.migrations.lint.run import lint_text

ADD = "ALTER TABLE jobs ADD COLUMN origin text;"
LONG = "UPDATE jobs SET origin = 'web';"


def found(sql: str, **more):
    """The messages of each statement."""
    return [
        [each.message for each in one.findings if each.rule == "lock-held-long"]
        for one in lint_text(sql, **more).statements
    ]


def test_it_says_what_is_locked_since_which_line_and_for_how_long():
    first, (message,) = found(f"{ADD}\n\n{LONG}", sizes={"jobs": Size(2**30)})
    assert first == []
    assert message == (
        "jobs is scanned while the transaction holds jobs (AccessExclusiveLock, line 1), for about 5.1 s (1,024 MiB): "
        "a lock lasts until the transaction ends, so reads and writes wait so long"
    )


@pytest.mark.parametrize(
    "long",
    [
        "UPDATE jobs SET origin = 'web'",
        "DELETE FROM others WHERE quantity = 0",
        "INSERT INTO others SELECT * FROM more",
        "CREATE INDEX i ON others (a)",
        "CREATE TABLE copies AS SELECT * FROM others",
        "CREATE MATERIALIZED VIEW sums AS SELECT * FROM others",
        "REFRESH MATERIALIZED VIEW sums",
        "ALTER TABLE others ADD CONSTRAINT c CHECK (a > 0)",
        "ALTER TABLE others ADD COLUMN b uuid DEFAULT gen_random_uuid()",
        "ALTER TABLE jobs VALIDATE CONSTRAINT c",
        "DO $$ BEGIN UPDATE others SET a = 1; END $$",
    ],
)
def test_whatever_takes_long_is_found(long: str):
    assert all(found(f"{ADD} {long};")[1:])


@pytest.mark.parametrize(
    "sql",
    [
        f"-- turnout:transaction off\n{ADD} {LONG}",
        f"{LONG} {ADD}",
        f"CREATE TABLE fresh (a int); {LONG}",
        f"{ADD} ALTER TABLE others ADD COLUMN a int;",
        # What takes long locks the table as strongly itself, and another rule says so.
        f"{ADD} ALTER TABLE jobs ALTER COLUMN note SET NOT NULL;",
        f"COMMENT ON TABLE jobs IS 'x'; {LONG}",
        f"{ADD} SELECT 1;",
    ],
)
def test_nothing_is_found_where_nobody_waits_for_long(sql: str):
    assert not any(found(sql))


def test_what_is_small_takes_no_time():
    assert not any(found(f"{ADD} {LONG}", sizes={"jobs": Size(8192)}))


def test_several_tables_are_one_finding():
    (message,) = found(f"{ADD}\nLOCK TABLE others IN SHARE MODE;\n{LONG}")[-1]
    assert "jobs (AccessExclusiveLock, line 1), others (ShareLock, line 2)" in message


def test_the_strongest_lock_counts_with_the_line_that_took_it():
    (message,) = found(f"LOCK TABLE jobs IN SHARE MODE;\n{ADD}\nCREATE INDEX i ON jobs (note);\n")[
        -1
    ]
    assert "holds jobs (AccessExclusiveLock, line 2)" in message


def test_it_can_be_allowed():
    allowed = f"{ADD}\n-- turnout:allow lock-held-long because jobs has ten rows\n{LONG}"
    assert not any(found(allowed))


def test_the_remedy_is_the_statement_in_a_file_of_its_own():
    last = lint_text(f"{ADD}\n{LONG}").statements[-1]
    (finding,) = [each for each in last.findings if each.rule == "lock-held-long"]
    assert finding.remedy.endswith("\nUPDATE jobs SET origin = 'web';")
