"""What the linter learns of indexes and foreign keys, and what it makes of them."""

from typing import Any

import pytest

from admin.migrations.lint.context import Size
from admin.migrations.lint.model import Linted
from admin.migrations.lint.run import lint_text

GIVEN = """
CREATE TABLE clients (id int PRIMARY KEY, code text UNIQUE, name text);
CREATE TABLE jobs (id int PRIMARY KEY, client int CONSTRAINT owner REFERENCES clients, code text, at int);
"""
DELETE = "DELETE FROM clients WHERE id = 7"


def last(sql: str, given: str = "", **more: Any) -> Linted:
    return lint_text(sql, given=GIVEN + given, **more).statements[-1]


def rules(linted: Linted) -> list[str]:
    return [each.rule for each in linted.findings]


def scans(sql: str, given: str = "") -> bool:
    found = last(sql, given)
    assert ("foreign-key-without-index" in rules(found)) == (found.cost == "scan")
    return found.cost == "scan"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", True),
        ("CREATE INDEX ON jobs (client);", False),
        ("CREATE INDEX ON jobs (client, at);", False),
        ("CREATE INDEX ON jobs (at, client);", True),
        ("CREATE INDEX ON jobs USING hash (client);", False),
        ("CREATE INDEX ON jobs USING brin (client);", True),
        ("CREATE INDEX ON jobs ((client + 1));", True),
        ("CREATE INDEX ON jobs (client) WHERE client IS NOT NULL;", False),
        ("CREATE INDEX ON jobs (client) WHERE at > 3;", True),
        ("ALTER TABLE jobs ADD UNIQUE (client, at);", False),
        ("CREATE INDEX i ON jobs (client); DROP INDEX i;", True),
        ("CREATE INDEX i ON jobs (client); ALTER INDEX i RENAME TO j; DROP INDEX j;", True),
        ("CREATE INDEX ON jobs (client); DROP INDEX jobs_client_idx;", True),
        (
            "ALTER TABLE jobs ADD CONSTRAINT u UNIQUE (client); ALTER TABLE jobs DROP CONSTRAINT u;",
            True,
        ),
        ("ALTER TABLE jobs RENAME client TO owner_id; CREATE INDEX ON jobs (owner_id);", False),
        ("ALTER TABLE jobs RENAME client TO owner_id;", True),
        ("ALTER TABLE jobs RENAME TO tasks;", True),
        ("ALTER TABLE jobs DROP CONSTRAINT owner;", False),
        (
            "ALTER TABLE jobs RENAME CONSTRAINT owner TO o; ALTER TABLE jobs DROP CONSTRAINT o;",
            False,
        ),
        ("ALTER TABLE jobs ALTER CONSTRAINT owner NOT ENFORCED;", False),
        ("ALTER TABLE jobs DROP COLUMN client;", False),
        ("DROP TABLE jobs;", False),
        ("ALTER TABLE jobs DROP CONSTRAINT owner, ADD again int REFERENCES clients;", True),
        (
            "ALTER TABLE jobs DROP CONSTRAINT owner, ADD again int REFERENCES clients NOT ENFORCED;",
            False,
        ),
        ("DROP TABLE jobs; CREATE TABLE jobs (c int, FOREIGN KEY (c) REFERENCES clients);", True),
        ("CREATE TABLE IF NOT EXISTS jobs (a int UNIQUE REFERENCES clients);", True),
    ],
)
def test_rows_that_refer_are_found_by_an_index_or_by_a_scan(given: str, expected: bool):
    assert scans(DELETE, given) is expected


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("UPDATE clients SET id = 8 WHERE id = 7", True),
        ("UPDATE clients SET name = 'x' WHERE id = 7", False),
        ("UPDATE clients SET code = 'x' WHERE id = 7", False),
        ("DELETE FROM jobs WHERE id = 7", False),
    ],
)
def test_only_a_key_that_is_referred_to_matters(sql: str, expected: bool):
    assert scans(sql) is expected


def test_a_parent_of_which_nothing_else_is_known_is_referred_to_too():
    given = "ALTER TABLE jobs ADD FOREIGN KEY (at) REFERENCES unknown;"
    assert scans("DELETE FROM unknown WHERE id = 7", given)
    assert "foreign-key-without-index" not in rules(last("UPDATE unknown SET id = 8", given))


def test_another_key_than_the_primary_one_may_be_referred_to():
    given = "ALTER TABLE jobs ADD FOREIGN KEY (code) REFERENCES clients (code);"
    assert scans("UPDATE clients SET code = 'x' WHERE id = 7", given)
    renamed = f"{given} ALTER TABLE clients RENAME code TO label;"
    assert scans("UPDATE clients SET label = 'x' WHERE id = 7", renamed)


def test_a_renamed_parent_is_referred_to_all_the_same():
    assert scans("DELETE FROM people WHERE id = 7", "ALTER TABLE clients RENAME TO people;")


def test_rows_that_go_along_are_followed_and_a_circle_ends():
    given = """
    CREATE TABLE parts (id int PRIMARY KEY, job int REFERENCES jobs ON DELETE CASCADE);
    ALTER TABLE clients ADD favourite int REFERENCES parts ON DELETE CASCADE;
    CREATE INDEX ON clients (favourite); CREATE INDEX ON jobs (client);
    ALTER TABLE jobs DROP CONSTRAINT owner, ADD FOREIGN KEY (client) REFERENCES clients ON DELETE CASCADE;
    """
    (message,) = [
        each.message
        for each in last(DELETE, given).findings
        if each.rule == "foreign-key-without-index"
    ]
    assert message.startswith("parts (job) refers to jobs, and no index there is known")


def test_a_merge_that_deletes_reaches_them_too():
    sql = "MERGE INTO clients USING gone ON gone.id = clients.id WHEN MATCHED THEN DELETE"
    assert "foreign-key-without-index" in rules(last(sql))
    sql = "MERGE INTO clients USING s ON s.id = clients.id WHEN MATCHED THEN UPDATE SET name = ''"
    assert "foreign-key-without-index" not in rules(last(sql))


def test_a_small_table_is_scanned_in_a_moment_and_a_new_one_has_no_rows():
    small = last(DELETE, sizes={"jobs": Size(8192)})
    assert "foreign-key-without-index" not in rules(small)
    new = last(
        "CREATE TABLE fresh (c int REFERENCES clients);" + DELETE, "CREATE INDEX ON jobs (client);"
    )
    assert (rules(new), new.cost) == (["change-rows"], "instant")


def test_the_estimate_is_that_of_the_table_that_is_scanned():
    found = last(DELETE, sizes={"clients": Size(8192), "jobs": Size(2**30)})
    assert (found.table, found.size_bytes, found.estimate_s) == ("clients", 8192, 5.1)


@pytest.mark.parametrize(
    ("given", "sql"),
    [
        ("ALTER TABLE jobs ADD CONSTRAINT c CHECK (at > 0);", "VALIDATE CONSTRAINT c"),
        ("", "VALIDATE CONSTRAINT owner"),
        (
            "ALTER TABLE jobs ADD CONSTRAINT k FOREIGN KEY (at) REFERENCES clients NOT VALID; ALTER TABLE jobs VALIDATE CONSTRAINT k;",
            "VALIDATE CONSTRAINT k",
        ),
        ("ALTER TABLE jobs SET ACCESS METHOD heap2;", "SET ACCESS METHOD heap2"),
        ("ALTER TABLE jobs SET TABLESPACE fast;", "SET TABLESPACE fast"),
    ],
)
def test_what_is_so_already_costs_nothing(given: str, sql: str):
    assert last(f"ALTER TABLE jobs {sql}", given).cost == "instant"
