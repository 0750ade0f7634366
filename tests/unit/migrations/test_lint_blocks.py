"""A DO block is read as far as it stands there."""

import pytest

from admin.migrations.lint.run import lint_text


def one(body: str, before: str = ""):
    (found,) = lint_text(f"DO {before}$$ {body} $$").statements
    return found


@pytest.mark.parametrize(
    ("body", "verdict", "lock", "cost"),
    [
        ("BEGIN NULL; END", "safe", "", "instant"),
        ("BEGIN ALTER TABLE jobs ADD a int; END", "safe", "AccessExclusiveLock", "instant"),
        (
            "BEGIN IF true THEN DROP TABLE jobs; END IF; END",
            "breaking",
            "AccessExclusiveLock",
            "instant",
        ),
        ("BEGIN CREATE INDEX i ON jobs (a); END", "safe", "ShareLock", "scan"),
        (
            "DECLARE r record; BEGIN FOR r IN SELECT * FROM jobs LOOP DELETE FROM spare WHERE a = r.a; END LOOP; END",
            *("conditional", "RowExclusiveLock", "scan"),
        ),
        (
            "BEGIN LOCK TABLE jobs; EXCEPTION WHEN others THEN NULL; END",
            "safe",
            "AccessExclusiveLock",
            "instant",
        ),
        (
            "DECLARE n int; BEGIN n := (SELECT max(a) FROM jobs); END",
            "safe",
            "AccessShareLock",
            "scan",
        ),
        ("BEGIN PERFORM set_config('a.b', 'c', true); END", "safe", "", "instant"),
    ],
)
def test_what_stands_in_it_is_judged(body: str, verdict: str, lock: str, cost: str):
    found = one(body)
    assert (str(found.compatibility), found.lock, str(found.cost)) == (verdict, lock, cost)
    assert "opaque-statement" not in [each.rule for each in found.findings]


@pytest.mark.parametrize(
    "body",
    [
        "BEGIN EXECUTE 'DROP TABLE jobs'; END",
        "DECLARE r record; BEGIN FOR r IN EXECUTE 'x' LOOP NULL; END LOOP; END",
        "DECLARE c refcursor; BEGIN OPEN c FOR EXECUTE 'x'; END",
        "BEGIN PERFORM something(); END",
        "DECLARE n int := something(); BEGIN NULL; END",
        "DECLARE n int; BEGIN n := something(); END",
        "BEGIN IF something() THEN NULL; END IF; END",
        "BEGIN CALL something(); END",
        "DECLARE a other.kind; BEGIN NULL; END",
        "this is no PL/pgSQL",
        "BEGIN NULL; /* $block$ */ END",
    ],
)
def test_what_is_not_known_before_it_runs_is_conditional(body: str):
    found = one(body)
    assert found.compatibility == "conditional"
    assert "opaque-statement" in [each.rule for each in found.findings]


def test_another_language_is_not_read():
    assert one("print('x')", "LANGUAGE plpython3u ").compatibility == "conditional"


def test_the_remedy_for_an_index_is_the_index_within():
    (finding,) = one("BEGIN CREATE INDEX i ON jobs (a); END").findings
    assert "CREATE INDEX CONCURRENTLY i ON jobs" in finding.remedy
