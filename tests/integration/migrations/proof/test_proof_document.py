"""Each example of the strategy document, proven by the old version's queries alone: no linter takes part.

The queries come from pg_stat_statements, so there are no values in them.
"""

import pytest

from tests.integration.migrations.proof.conftest import Erp

UNSAFE = {
    "rename a column": (
        "ALTER TABLE customers RENAME COLUMN email TO email_address",
        {("query-fails", "error")},
        ["INSERT INTO customers", "SELECT id, name, email FROM customers"],
    ),
    "drop a column": (
        "ALTER TABLE jobs DROP COLUMN legacy_field",
        {("query-fails", "error")},
        ["SELECT id, quantity, legacy_field"],
    ),
    "change a type": (
        "ALTER TABLE jobs ALTER COLUMN quantity TYPE VARCHAR(50)",
        {("result-type-changed", "error"), ("parameter-type-changed", "error")},
        ["INSERT INTO jobs", "SELECT id, quantity, legacy_field", "UPDATE jobs SET"],
    ),
    "not null on an existing column": (
        "ALTER TABLE jobs ALTER COLUMN customer_name SET NOT NULL",
        {("run-fails", "error")},
        ["INSERT INTO jobs", "UPDATE jobs SET"],
    ),
}
SAFE = {
    "add a column": "ALTER TABLE jobs ADD COLUMN priority INT DEFAULT 5",
    "add a column with an index": (
        "ALTER TABLE customers ADD COLUMN preferences JSONB DEFAULT '{}';"
        "CREATE INDEX idx_customers_preferences ON customers USING gin(preferences)"
    ),
    "add a table": (
        "CREATE TABLE job_templates (id UUID PRIMARY KEY, tenant_id UUID NOT NULL,"
        " template_name VARCHAR(255), created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP)"
    ),
    "add an index": "CREATE INDEX idx_jobs_status_created ON jobs(status, created_at)",
    "add an index beside traffic": "CREATE INDEX CONCURRENTLY idx_jobs ON jobs(status, created_at)",
    "rename in two steps, the first": (
        "ALTER TABLE customers ADD COLUMN email_address VARCHAR(255);"
        "UPDATE customers SET email_address = email WHERE email_address IS NULL"
    ),
    "change a type in two steps, the first": (
        "ALTER TABLE jobs ADD COLUMN quantity_decimal DECIMAL(10,2);"
        "UPDATE jobs SET quantity_decimal = quantity WHERE quantity_decimal IS NULL"
    ),
}


@pytest.mark.parametrize("name", UNSAFE)
async def test_what_is_unsafe_is_caught_by_the_old_versions_queries(watched_erp: Erp, name: str):
    sql, kinds, queries = UNSAFE[name]
    watched_erp.write(V1_3_0__x=f"CREATE TABLE first (id int);\n{sql};\n")
    done = await watched_erp.turnout("--json")
    assert (done.code, done.found) == (1, kinds), done.stderr
    broken = {each["query"] for each in done.json["findings"]}
    assert len(broken) == len(queries)
    assert all(any(query.startswith(text) for query in broken) for text in queries)
    by = {(each["broken_by"]["path"], each["broken_by"]["line"]) for each in done.json["findings"]}
    assert by == {("V1.3.0__x.sql", 2)}, "the statement that broke them is named"
    assert {each["source"] for each in done.json["findings"]} == {"pg_stat_statements"}
    assert await watched_erp.clones() == []


@pytest.mark.parametrize("name", SAFE)
async def test_what_is_safe_passes(watched_erp: Erp, name: str):
    watched_erp.write(V1_3_0__x=SAFE[name])
    done = await watched_erp.turnout("--json", "--strict")
    assert (done.code, done.json["findings"]) == (0, []), done.stderr
    assert done.json["queries"]["planned"] == 5
    assert done.json["queries"]["trials"] > 10


async def test_a_check_that_the_old_version_may_meet_is_a_warning(watched_erp: Erp):
    watched_erp.write(
        V1_3_0__x="ALTER TABLE jobs ADD CONSTRAINT chk_quantity_positive CHECK (quantity > 0)"
    )
    done = await watched_erp.turnout("--json")
    assert (done.code, done.found) == (0, {("run-fails", "warning")}), done.stderr
    assert (await watched_erp.turnout("--json", "--strict")).code == 1


async def test_with_rows_a_null_that_is_there_is_met_by_the_migration_itself(watched_erp: Erp):
    await watched_erp.execute("UPDATE jobs SET customer_name = NULL")
    watched_erp.write(V1_3_0__x="ALTER TABLE jobs ALTER COLUMN customer_name SET NOT NULL")
    done = await watched_erp.turnout("--json", "--data")
    assert done.code == 1
    (found,) = done.json["findings"]
    assert (found["kind"], found["error"]["sqlstate"]) == ("migration-fails", "23502")
    assert "ada@example.org" not in done.stdout


@pytest.mark.parametrize(
    ("first", "contract"),
    [
        (
            "ALTER TABLE customers ADD COLUMN email_address VARCHAR(255);",
            "ALTER TABLE customers DROP COLUMN email;",
        ),
        (
            "ALTER TABLE jobs ADD COLUMN quantity_decimal DECIMAL(10,2);",
            (
                "ALTER TABLE jobs DROP COLUMN quantity;"
                "ALTER TABLE jobs RENAME COLUMN quantity_decimal TO quantity;"
            ),
        ),
    ],
)
async def test_the_second_step_is_held_back_and_tried_both_ways(
    watched_erp: Erp, first: str, contract: str
):
    new = "SELECT id, name, email_address FROM customers"
    if "quantity" in first:
        new = "SELECT id, quantity_decimal FROM jobs"
    watched_erp.write(V1_3_0__x=first, V1_4_0__y=f"-- turnout:phase contract\n{contract}")
    done = await watched_erp.turnout(
        "--json", "--new-queries", watched_erp.queries(new, name="new.sql")
    )
    (run,) = done.json["contracts"]
    assert run["breaks_old"] > 0, "it breaks the old version, as it says"
    # The rename in its last step breaks the version that writes both: it takes a third release.
    renames = "RENAME" in contract
    assert (done.code, run["breaks_new"]) == ((1, 1) if renames else (0, 0)), done.stderr
