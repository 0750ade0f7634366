"""Queries from logs and files, and what a write's parameters are for."""

import json

import pytest

from admin.migrations.catalogue.grammar import GrammarError
from admin.migrations.proof.queries import files, logs
from admin.migrations.proof.queries.model import Query, Untried, merged, query
from admin.migrations.proof.queries.placeholders import numbered, with_casts
from admin.migrations.proof.queries.shape import shape

STDERR = """\
2026-11-28 05:48:26.123 UTC [1234] app@erp LOG:  execute <unnamed>: INSERT INTO jobs (id,
\tname) VALUES ($1, $2)
2026-11-28 05:48:26.123 UTC [1234] app@erp DETAIL:  Parameters: $1 = '1', $2 = 'it''s
\tnew, $3 = x'
2026-11-28 05:48:26.124 UTC [1234] app@erp LOG:  duration: 0.12 ms  statement: SELECT 'LOG:  x' FROM jobs
2026-11-28 05:48:26.125 UTC [1234] app@erp ERROR:  relation "x" does not exist
2026-11-28 05:48:26.125 UTC [1234] app@erp STATEMENT:  SELECT * FROM x
2026-11-28 05:48:26.126 UTC [1234] app@erp LOG:  duration: 0.1 ms  bind s1: SELECT 1
2026-11-28 05:48:26.127 UTC [1234] app@erp LOG:  execute s1: UPDATE jobs SET name = $1
2026-11-28 05:48:26.127 UTC [1234] app@erp DETAIL:  parameters: $1 = NULL
2026-11-28 05:48:26.128 UTC [1234] app@erp LOG:  execute fetch from s1/c: SELECT 2
2026-11-28 05:48:26.129 UTC [1234] app@erp LOG:  statement: BEGIN
2026-11-28 05:48:26.129 UTC [1234] app@erp LOG:  checkpoint starting: time
"""


def test_the_lines_of_stderr():
    insert, select, update, begin = logs.queries_of(STDERR.splitlines(keepends=True), "a.log")
    assert isinstance(insert, Query)
    assert insert.samples == (("1", "it's\nnew, $3 = x"),)
    assert insert.shown == "INSERT INTO jobs (id, name) VALUES ($1, $2)"
    assert (insert.source, insert.writes) == ("a.log:1", True)
    assert isinstance(select, Query)
    assert select.text == "SELECT 'LOG:  x' FROM jobs"
    assert select.shown == "SELECT $1 FROM jobs", "no value is shown"
    assert isinstance(update, Query)
    assert update.samples == ((None,),)
    assert begin == Untried("BEGIN", "a.log:12", "not a query (Transaction)")


def test_csv_and_json_name_the_database():
    row = [""] * 26
    row[2], row[13], row[14] = "erp", 'execute s: SELECT $1\n, "x"', "Parameters: $1 = '7'"
    quoted = ",".join('"' + each.replace('"', '""') + '"' for each in row) + "\n"
    line = json.dumps(
        {
            "dbname": "erp",
            "message": 'execute s: SELECT $1\n, "x"',
            "detail": "Parameters: $1 = '7'",
        }
    )
    for text in (quoted, line + "\n" + '{"cut": \n'):
        lines = text.splitlines(keepends=True)
        (found,) = logs.queries_of(lines, "x", "erp")
        assert isinstance(found, Query)
        assert (found.text, found.samples) == ('SELECT $1\n, "x"', (("7",),))
        assert list(logs.queries_of(lines, "x", "other")) == []
    assert list(logs.queries_of([], "x")) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "SELECT a::text FROM t WHERE b = :id AND c = :id",
            "SELECT a::text FROM t WHERE b = $1 AND c = $1",
        ),
        ("SELECT ':a', \":b\", '%s' /* ? */ -- :c\n FROM t", None),
        ("SELECT 1 WHERE a = ? AND b = ?", "SELECT 1 WHERE a = $1 AND b = $2"),
        ("SELECT 1 WHERE a = %s AND b LIKE 'x%%'", "SELECT 1 WHERE a = $1 AND b LIKE 'x%%'"),
        ("SELECT 1 WHERE a = %(x)s AND b % 3 = 1", "SELECT 1 WHERE a = $1 AND b % 3 = 1"),
        (
            "SELECT a FROM t WHERE b = @name AND c <@ d AND e @> f",
            "SELECT a FROM t WHERE b = $1 AND c <@ d AND e @> f",
        ),
        ("SELECT $$ :a ? $$, a ?| b, a ?& b", None),
    ],
)
def test_placeholders_of_drivers(text: str, expected: str | None):
    assert numbered(text) == (expected or text)


def test_statistics_lose_a_types_own_way_of_writing():
    assert with_casts("SELECT now() - INTERVAL $1, date $2") == (
        "SELECT now() - CAST($1 AS INTERVAL), CAST($2 AS date)"
    )


def test_a_file_has_several():
    found = files.queries_of(
        "-- first\nSELECT a FROM t WHERE b = :x AND c = :y;\nINSERT INTO t (b) VALUES (:y);\n",
        "f.sql",
    )
    assert [(each.text, each.source) for each in found] == [
        ("SELECT a FROM t WHERE b = $1 AND c = $2", "f.sql:2"),
        ("INSERT INTO t (b) VALUES ($1)", "f.sql:3"),
    ]
    with pytest.raises(GrammarError) as raised:
        files.queries_of("SELECT 1;\nSELEC :x;", "f.sql")
    assert raised.value.line == 2


def test_one_of_each_shape_the_most_called_first():
    seen = [
        query("SELECT a FROM t WHERE b = 1", "x"),
        query("INSERT INTO t VALUES ($1)", "x", 1, ("1",)),
        query("INSERT INTO t  VALUES ($1)", "y", 5, ("2",)),
        query("INSERT INTO t VALUES ($1)", "z", 1, ("2",)),
        query("SELECT a FROM t WHERE b = 2", "y"),
    ]
    insert, select = merged([each for each in seen if isinstance(each, Query)], samples=2)
    assert (insert.calls, insert.samples, insert.written) == (7, (("1",), ("2",)), ())
    assert (select.calls, select.written) == (2, ("SELECT a FROM t WHERE b = 2",))


def test_what_cannot_be_read_says_no_values():
    found = query("INSERT INTO t VALUES ('Ada',", "x")
    assert isinstance(found, Untried)
    assert found.text == "INSERT"
    assert "Ada" not in found.reason


def test_what_the_parameters_of_a_write_are_for():
    insert = shape(
        "INSERT INTO s.t (a, b) VALUES ($1, $2::int), (lower($3), $4)"
        " ON CONFLICT (a) DO UPDATE SET c = $5"
    )
    assert (insert.schema, insert.table) == ("s", "t")
    assert insert.writes == {1: "a", 2: "b", 4: "b", 5: "c"}
    assert shape("INSERT INTO t SELECT $1, $2").positions == {1: 0, 2: 1}
    update = shape(
        "UPDATE t SET a = $1, b = b + $2 WHERE id = $3 AND $4 = t.d AND lower(e) = $5 AND f > $6"
    )
    assert update.writes == {1: "a"}
    assert {3: "id", 4: "d"}.items() <= update.compares.items()
    assert 5 not in update.compares


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("COPY jobs (id, name) FROM STDIN", 'INSERT INTO "jobs" ("id", "name") VALUES ($1, $2)'),
        ("COPY s.jobs TO STDOUT", 'SELECT * FROM "s"."jobs"'),
        ("COPY jobs (id) TO STDOUT", 'SELECT "id" FROM "jobs"'),
        ("COPY (SELECT id FROM jobs) TO STDOUT", "SELECT id FROM jobs"),
        ("DECLARE c CURSOR FOR SELECT id FROM jobs", "SELECT id FROM jobs"),
        ("TRUNCATE jobs, s.x", 'SELECT FROM "jobs", "s"."x"'),
        ("LOCK TABLE a IN SHARE MODE", 'SELECT FROM "a"'),
        ("COPY public.jobs (id, name) TO stdout;", None),
        ("LOCK TABLE public.jobs IN ACCESS SHARE MODE", None),
        ("BEGIN", None),
    ],
)
def test_what_cannot_be_planned_is_a_query_of_the_same_needs(text: str, expected: str | None):
    found = query(text, "x")
    assert (found.text if isinstance(found, Query) else None) == expected
