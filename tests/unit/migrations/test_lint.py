"""What the linter makes of a text: with which versions, sizes and allowances."""

from pathlib import Path

import pytest

from admin.migrations.catalogue.assemble import assemble
from admin.migrations.catalogue.model import CatalogueError
from admin.migrations.lint.context import Context, ContextError, Size, read_context
from admin.migrations.lint.run import lint, lint_text, schema_of
from admin.migrations.version import Version

V = Version.parse
DROP = "-- turnout:requires app >= 1.3.0\nALTER TABLE jobs DROP COLUMN legacy_field;"
JOBS = "CREATE TABLE jobs (id int PRIMARY KEY, quantity int, name varchar(50), note text);"


def one(sql, **more):
    (found,) = lint_text(sql, **more).statements
    return found


def rules(linted):
    return [each.rule for each in linted.findings]


# ── The versions that run, or may come back ───────────────────────────────────────────────────


def test_a_drop_breaks_while_a_version_below_can_come_back():
    found = one(DROP, old=(V("1.2.0"), V("1.3.0")))
    assert (found.compatibility, rules(found)) == ("breaking", ["drop-column"])
    assert "1.2.0" in found.findings[0].message
    assert "1.3.0" not in found.findings[0].message


def test_a_drop_is_safe_once_no_version_below_can_come_back():
    found = one(DROP, old=(V("1.3.0"), V("1.4.0")))
    assert (found.compatibility, rules(found)) == ("safe", [])
    assert found.lock == "AccessExclusiveLock"


def test_a_candidate_of_the_version_is_below_it():
    assert one(DROP, old=(V("1.3.0-rc.1"),)).compatibility == "breaking"


def test_without_a_context_some_older_version_may_come_back():
    assert one(DROP).compatibility == "breaking"


def test_a_contract_requires_its_own_version_unless_it_says_another():
    (migration,) = assemble({"V1.4.0__x.sql": "ALTER TABLE jobs DROP COLUMN a;"}).migrations
    before, after = (
        lint([migration], Context((V(each),))).statements[0] for each in ("1.3.0", "1.4.0")
    )
    assert (before.compatibility, after.compatibility) == ("breaking", "safe")


@pytest.mark.parametrize("header", ["", "-- turnout:phase expand\n"])
def test_versions_as_new_as_a_migration_were_written_for_it(header: str):
    """What it breaks can only break those before, though no header says so."""
    texts = {"V1.4.0__x.sql": f"{header}ALTER TABLE jobs ADD COLUMN a int NOT NULL;"}
    (migration,) = assemble(texts).migrations
    verdicts = [
        str(lint([migration], Context(tuple(map(V, old)))).statements[0].compatibility)
        for old in (["1.4.0", "2.0.0"], ["1.4.0-rc.1"], ["1.3.0", "1.5.0"], [])
    ]
    assert verdicts == ["safe", "breaking", "breaking", "breaking"]


def test_what_is_repeatable_is_of_no_version_so_all_count():
    (migration,) = assemble({"R__x.sql": "DROP VIEW v;"}).migrations
    (found,) = lint([migration], Context((V("9.0.0"),))).statements
    assert (found.compatibility, "9.0.0" in found.findings[0].message) == ("breaking", True)


def test_what_locks_locks_whatever_versions_run():
    sql = f"-- turnout:requires app >= 1.3.0\n{'ALTER TABLE jobs ALTER note SET NOT NULL;'}"
    found = one(sql, old=(V("2.0.0"),))
    assert (found.compatibility, found.cost, rules(found)) == ("safe", "scan", ["blocking-scan"])


def test_an_unknown_statement_stays_unknown_whatever_versions_run():
    sql = (
        "-- turnout:requires app >= 1.3.0\nCREATE EVENT TRIGGER e ON sql_drop EXECUTE FUNCTION f();"
    )
    found = one(sql, old=(V("2.0.0"),))
    assert (found.compatibility, rules(found)) == ("conditional", ["unknown-statement"])


def test_a_context_names_slots_tenants_and_what_may_be_rolled_back_to():
    text = '{"slots": {"blue": "1.2.0"}, "tenants": {"acme": ["1.1.0", "1.2.0"]}, "rollback": ["1.0.0"]}'
    assert read_context(text) == (V("1.0.0"), V("1.1.0"), V("1.2.0"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("[]", "one JSON object"),
        ('{"slot": {}}', "'slot' is not known"),
        ('{"slots": ["1.2.0"]}', "slots is an object"),
        ('{"slots": {"blue": 1}}', "versions are texts"),
        ('{"rollback": ["newest"]}', "write MAJOR.MINOR.PATCH"),
        ("{}", "names no version"),
    ],
)
def test_a_context_that_cannot_be_used_is_refused(text: str, said: str):
    with pytest.raises(ContextError, match=said):
        read_context(text)


# ── What the file, and the files before, have made ────────────────────────────────────────────


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE fresh DROP COLUMN a",
        "ALTER TABLE fresh ADD COLUMN b int NOT NULL",
        "CREATE INDEX i ON fresh (a)",
        "ALTER TABLE fresh ALTER COLUMN a TYPE text",
        "UPDATE fresh SET a = 1",
        "DROP TABLE fresh",
    ],
)
def test_what_is_done_to_a_table_of_the_same_file_meets_nobody(statement: str):
    found = lint_text(f"CREATE TABLE fresh (a int); {statement}").statements[1]
    assert (found.compatibility, found.lock, found.cost) == ("safe", "", "instant")
    assert found.findings == ()


def test_a_table_of_an_earlier_file_is_known_and_not_new():
    files = {
        "V1.0.0__a.sql": JOBS,
        "V1.1.0__b.sql": "ALTER TABLE jobs ALTER COLUMN name TYPE varchar(80);",
        "V1.2.0__c.sql": "ALTER TABLE jobs ALTER COLUMN name TYPE varchar(60);",
    }
    catalogue = assemble(files)
    _, wider, narrower = lint(catalogue.versioned, Context()).statements
    assert (wider.compatibility, wider.cost, wider.lock) == (
        "safe",
        "instant",
        "AccessExclusiveLock",
    )
    assert (narrower.compatibility, narrower.cost) == ("conditional", "rewrite")
    (alone,) = lint(catalogue.versioned[2:], Context(), schema_of(catalogue, V("1.1.0"))).statements
    assert alone == narrower


def test_if_not_exists_makes_nothing_new_that_was_there():
    sql = "CREATE TABLE IF NOT EXISTS jobs (id int); ALTER TABLE jobs DROP COLUMN note;"
    assert lint_text(sql, given=JOBS).statements[1].compatibility == "breaking"


def test_a_table_that_is_dropped_and_made_anew_is_dropped():
    first, second = lint_text("DROP TABLE jobs; CREATE TABLE jobs (id int);", given=JOBS).statements
    assert (first.compatibility, second.compatibility) == ("breaking", "safe")


def test_the_way_by_a_check_needs_no_scan():
    sql = (
        "ALTER TABLE jobs ADD CONSTRAINT c CHECK (note IS NOT NULL) NOT VALID;"
        "ALTER TABLE jobs VALIDATE CONSTRAINT c;"
        "ALTER TABLE jobs ALTER COLUMN note SET NOT NULL;"
        "ALTER TABLE jobs DROP CONSTRAINT c;"
    )
    found = lint_text(sql, given=JOBS).statements
    assert [each.cost for each in found] == ["instant", "scan", "instant", "instant"]
    assert [each.compatibility for each in found] == ["conditional", "safe", "safe", "safe"]


def test_a_check_that_is_not_valid_yet_spares_no_scan():
    sql = (
        "ALTER TABLE jobs ADD CONSTRAINT c CHECK (note IS NOT NULL) NOT VALID;"
        "ALTER TABLE jobs ALTER COLUMN note SET NOT NULL;"
    )
    assert lint_text(sql, given=JOBS).statements[1].cost == "scan"


def test_all_parts_of_a_statement_count():
    found = one(
        "ALTER TABLE jobs ADD COLUMN a int, ADD COLUMN b uuid DEFAULT gen_random_uuid(), DROP COLUMN note"
    )
    assert (found.compatibility, found.cost) == ("breaking", "rewrite")
    assert set(rules(found)) == {"drop-column", "blocking-rewrite"}


def test_a_type_that_was_not_known_is_not_safe():
    found = one("ALTER TABLE jobs ALTER COLUMN name TYPE text")
    assert (found.compatibility, found.cost) == ("conditional", "rewrite")
    assert "isn't known" in found.findings[-1].message


def test_what_is_no_sql_is_a_fault():
    with pytest.raises(CatalogueError, match="syntax error"):
        lint_text("ALTER TABEL jobs")


# ── The size of the table ─────────────────────────────────────────────────────────────────────


def test_a_small_table_is_scanned_in_a_moment():
    sql = "CREATE INDEX i ON app.jobs (note)"
    small = one(sql, sizes={"jobs": Size(8192)})
    assert (small.cost, rules(small)) == ("scan", [])
    large = one(sql, sizes={"jobs": Size(10 * 2**30)})
    assert rules(large) == ["index-without-concurrently"]
    assert (large.size_bytes, large.estimate_s) == (10 * 2**30, 51.2)


def test_a_finding_says_for_how_long():
    found = one("VACUUM FULL jobs", sizes={"jobs": Size(5 * 2**30)})
    assert "about 204.8 s (5,120 MiB)" in found.findings[0].message


# ── Allowances ────────────────────────────────────────────────────────────────────────────────


def test_an_allowed_finding_is_counted_and_kept_with_its_reason():
    report = lint_text(
        "-- turnout:allow drop-column because nobody reads it\nALTER TABLE jobs DROP COLUMN a;"
    )
    (found,) = report.statements
    assert (report.findings, report.suppressed) == (0, 1)
    assert found.compatibility == "breaking"
    assert found.suppressed[0].finding.rule == "drop-column"
    assert found.suppressed[0].allowance.reason == "nobody reads it"


def test_an_allowance_of_one_rule_lets_no_other_pass():
    found = one(
        "-- turnout:allow drop-column because of x\nALTER TABLE jobs DROP COLUMN a, ADD b uuid DEFAULT gen_random_uuid();"
    )
    assert rules(found) == ["blocking-rewrite"]


@pytest.mark.parametrize(
    ("rule", "said"), [("drop-table", "unused-allowance"), ("drop-colum", "unknown-allowance")]
)
def test_an_allowance_in_vain_is_a_finding(rule: str, said: str):
    found = one(f"-- turnout:allow {rule} because of x\nSELECT 1;")
    assert rules(found) == [said]
    assert found.compatibility == "safe"


def test_an_allowance_that_the_versions_have_settled_is_not_in_vain():
    sql = DROP.replace("\nALTER", "\n-- turnout:allow drop-column because nobody reads it\nALTER")
    assert one(sql, old=(V("1.4.0"),)).findings == ()


def test_an_allowance_for_squawk_counts_when_it_was_asked():
    (migration,) = assemble(
        {"V1.0.0__x.sql": "-- turnout:allow squawk-ban-x because of x\nSELECT 1;"}
    ).migrations
    assert lint([migration], Context()).findings == 0
    assert rules(lint([migration], Context(), beside={}).statements[0]) == ["unused-allowance"]


# ── Every kind of statement ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("statement", "verdict", "rule"),
    [
        (
            "WITH d AS (DELETE FROM jobs RETURNING *) SELECT * FROM d",
            "breaking",
            "whole-table-write",
        ),
        ("SELECT something()", "conditional", "opaque-statement"),
        ("SELECT max(id), count(*) FROM jobs", "safe", ""),
        ("UPDATE jobs SET (quantity, note) = (1, 'x')", "conditional", "whole-table-write"),
        ("EXPLAIN ANALYZE DELETE FROM jobs", "conditional", "unknown-statement"),
        ("DROP INDEX CONCURRENTLY a, b", "conditional", "drop-index"),
        ("CREATE UNIQUE INDEX ON jobs (lower(name))", "conditional", "add-unique"),
        ("CREATE TABLE child (id int REFERENCES jobs ON DELETE CASCADE)", "safe", ""),
        ("CREATE TABLE child (id int REFERENCES jobs)", "safe", "add-foreign-key"),
        ('ALTER TABLE "We""ird"."Ta ble" RENAME "O\'ld" TO "N;ew"', "breaking", "rename-column"),
    ],
)
def test_statements_out_of_the_ordinary(statement: str, verdict: str, rule: str):
    found = one(statement, given=JOBS)
    assert found.compatibility == verdict
    assert [rule] == rules(found)[:1] if rule else rules(found) == []


def test_no_kind_of_statement_makes_it_fail():
    text = (Path(__file__).parent / "statements.sql").read_text("utf-8")
    report = lint_text(text)
    unknown = [each for each in report.statements if "unknown-statement" in rules(each)]
    assert len(report.statements) > 90
    assert len(unknown) > 20
    assert {each.compatibility for each in unknown} == {"conditional"}
