"""A view that is dropped and made anew in one file is replaced."""

import pytest

from admin.migrations.lint.model import Linted
from admin.migrations.lint.run import lint_text

GIVEN = """
CREATE TABLE jobs (id int PRIMARY KEY, name varchar(50), note text);
CREATE VIEW v AS SELECT id, name, upper(note) FROM jobs;
CREATE MATERIALIZED VIEW m AS SELECT id, name FROM jobs;
"""


def both(sql: str, given: str = GIVEN) -> tuple[Linted, ...]:
    return lint_text(sql, given=given).statements


def verdicts(sql: str, given: str = GIVEN) -> list[str]:
    return [str(each.compatibility) for each in both(sql, given)]


@pytest.mark.parametrize(
    ("query", "verdict"),
    [
        ("SELECT id, name, upper(note) FROM jobs", "conditional"),
        ("SELECT upper(note), name, id, note FROM jobs", "conditional"),
        ("SELECT id, name, lower(note) AS upper FROM jobs", "conditional"),
        ("SELECT j.id, j.name::text, upper(j.note) FROM jobs j WHERE id > 3", "conditional"),
        ("SELECT id, name, upper(note) FROM jobs UNION SELECT 1, 'a', 'b'", "conditional"),
        ("SELECT * FROM jobs", "conditional"),
        ("SELECT id, name FROM jobs", "breaking"),
        ("SELECT id, name AS title, upper(note) FROM jobs", "breaking"),
        ("SELECT id, name::int, upper(note) FROM jobs", "breaking"),
        ("SELECT id::bigint AS id, name, upper(note) FROM jobs", "breaking"),
    ],
)
def test_it_breaks_if_columns_went_or_changed(query: str, verdict: str):
    assert verdicts(f"DROP VIEW v; CREATE VIEW v AS {query}") == ["safe", verdict]


def test_the_columns_are_named_and_those_of_a_list_of_names_count():
    dropped, made = both(
        "DROP VIEW v; CREATE VIEW v (id, title, upper) AS SELECT id, name, note FROM jobs"
    )
    assert dropped.findings == ()
    assert dropped.lock == "AccessExclusiveLock"
    assert "without name as it was" in made.findings[0].message


def test_a_view_that_is_not_known_is_judged_so():
    sql = "DROP VIEW IF EXISTS v; CREATE VIEW v AS SELECT 1 AS one"
    assert verdicts(sql, "") == ["safe", "conditional"]
    assert "it has all columns that it had" in both(sql, "")[1].findings[0].message


def test_rights_are_to_be_granted_again():
    sql = "DROP VIEW v; CREATE VIEW v AS SELECT id, name, upper(note) FROM jobs;"
    assert "the rights on it went" in both(sql)[1].findings[0].message
    assert "rights" not in both(f"{sql} GRANT SELECT ON v TO app;")[1].findings[0].message
    assert "rights" in both(f"{sql} REVOKE INSERT ON v FROM app;")[1].findings[0].message


def test_a_materialized_view_is_replaced_too():
    made = "CREATE MATERIALIZED VIEW m AS SELECT"
    assert verdicts(f"DROP MATERIALIZED VIEW m; {made} id, name, note FROM jobs") == [
        "safe",
        "conditional",
    ]
    assert verdicts(f"DROP MATERIALIZED VIEW m; {made} id FROM jobs") == ["safe", "breaking"]
    assert verdicts("DROP MATERIALIZED VIEW m; CREATE VIEW m AS SELECT 1 AS id")[0] == "breaking"


@pytest.mark.parametrize(
    "sql",
    [
        "-- turnout:transaction off\nDROP VIEW v; CREATE VIEW v AS SELECT id, name, upper(note) FROM jobs",
        "DROP VIEW v CASCADE; CREATE VIEW v AS SELECT id, name, upper(note) FROM jobs",
        "CREATE VIEW w AS SELECT 1; DROP VIEW v",
        "DROP VIEW v; CREATE VIEW w AS SELECT id, name, upper(note) FROM jobs",
    ],
)
def test_elsewhere_it_is_dropped(sql: str):
    assert "breaking" in verdicts(sql)


def test_the_next_file_creates_a_view():
    given = f"{GIVEN} DROP VIEW v;"
    assert verdicts("CREATE VIEW v AS SELECT id FROM jobs", given) == ["safe"]


def test_a_renamed_view_is_not_known_any_more():
    given = f"{GIVEN} ALTER VIEW v RENAME COLUMN name TO title;"
    assert verdicts("DROP VIEW v; CREATE VIEW v AS SELECT id FROM jobs", given)[1] == "conditional"
