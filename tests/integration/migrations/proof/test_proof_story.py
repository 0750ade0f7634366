"""What is applied, which statement is to blame, undo, contracts, locks, and where queries come from."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.integration.migrations.proof.conftest import OLD, Erp

HISTORY = """
CREATE TABLE turnout_schema_history (key text PRIMARY KEY, checksum text, state text);
"""


async def test_the_history_says_what_is_pending(erp: Erp):
    erp.write(
        V1_2_0__first="SELECT 1",
        V1_3_0__second="ALTER TABLE jobs ADD COLUMN priority int",
        R__view="CREATE VIEW open_jobs AS SELECT id FROM jobs",
    )
    without = await erp.turnout("--queries", erp.queries(), "--from", "none", "--to", "1.2.0")
    assert without.code == 0, without.stderr
    checksums = {
        each["path"]: each["checksum"]
        for each in (
            await erp.turnout("--queries", erp.queries(), "--from", "none", "--json")
        ).json["migrations"]
    }
    assert list(checksums) == ["V1.2.0__first.sql", "V1.3.0__second.sql", "R__view.sql"]
    given = erp.command("--queries", erp.queries(), "--json")
    given = given[: given.index("--from")]
    missing = await erp.run(given)
    assert missing.code == 2
    assert "--from VERSION" in missing.stderr
    # The worker's fence is a row too, and no migration.
    await erp.execute(HISTORY, "INSERT INTO turnout_schema_history VALUES ('', '', 'fence')")
    assert len((await erp.run(given)).json["migrations"]) == 3
    first = checksums["V1.2.0__first.sql"]
    await erp.execute(f"INSERT INTO turnout_schema_history VALUES ('1.2.0', '{first}', 'applied')")
    done = await erp.run(given)
    assert [each["path"] for each in done.json["migrations"]] == [
        "V1.3.0__second.sql",
        "R__view.sql",
    ]
    erp.write(V1_2_0__first="SELECT 2")
    changed = await erp.run(given)
    assert changed.code == 2
    assert "V1.2.0__first.sql was changed after it was applied" in changed.stderr


async def test_the_statement_that_broke_it_is_named_and_the_migration_that_mended_it(erp: Erp):
    erp.write(
        V1_3_0__a="CREATE TABLE x (id int);\nALTER TABLE jobs RENAME status TO state;\n",
        V1_4_0__b="ALTER TABLE jobs RENAME state TO status",
        # Within one transaction nobody sees it, so it is no finding.
        V1_5_0__c=(
            "ALTER TABLE customers RENAME TO people;CREATE VIEW customers AS SELECT * FROM people"
        ),
    )
    done = await erp.turnout("--json", "--queries", erp.queries())
    assert done.code == 1
    (found,) = done.json["findings"]
    assert found["query"] == OLD[2]
    assert (found["broken_by"]["path"], found["broken_by"]["line"]) == ("V1.3.0__a.sql", 2)
    assert found["mended_by"] == "1.4.0"
    assert found["error"]["sqlstate"] == "42703"


async def test_without_a_transaction_each_statement_is_seen(erp: Erp):
    erp.write(
        V1_3_0__a=(
            "CREATE INDEX CONCURRENTLY i ON jobs (status);"
            "ALTER TABLE customers RENAME TO people;"
            "CREATE VIEW customers AS SELECT * FROM people"
        )
    )
    done = await erp.turnout("--json", "--queries", erp.queries())
    assert done.code == 1
    assert {each["mended_by"] for each in done.json["findings"]} == {"1.3.0"}
    assert len(done.json["findings"]) == 2


async def test_locks_rewrites_and_rows_are_told(erp: Erp):
    await erp.execute("INSERT INTO customers VALUES (1, 'Ada', 'ada@example.org')")
    erp.write(
        V1_3_0__a=(
            "CREATE INDEX i ON customers (name);"
            "ALTER TABLE customers ALTER COLUMN id TYPE bigint;"
            "UPDATE customers SET name = 'Grace'"
        ),
        V1_4_0__b="CREATE INDEX CONCURRENTLY j ON jobs (status)",
    )
    done = await erp.turnout(
        "--json", "--data", "--queries", erp.queries("SELECT name FROM customers")
    )
    assert done.code == 0, done.stderr
    index, change, update, beside = done.json["statements"]
    assert index["lock"] == "ShareLock"
    assert change["lock"] == "AccessExclusiveLock"
    assert change["rewritten"] == ["customers"]
    assert update["rows"] == 1
    # It runs in no transaction: a second session looks every few milliseconds, and may miss it.
    seen = {"relation": "jobs", "mode": "ShareUpdateExclusiveLock"}
    assert seen in beside["locks"] or not beside["locks"]
    assert all(each["ms"] > 0 for each in done.json["statements"])


async def test_what_did_not_plan_before_is_apart(erp: Erp):
    erp.write(V1_3_0__a="ALTER TABLE jobs ADD COLUMN priority int")
    file = erp.queries(*OLD, "SELECT nothing FROM jobs", "SET search_path TO x")
    done = await erp.turnout("--json", "--queries", file)
    assert (done.code, done.json["queries"]["planned"]) == (0, 5)
    reasons = {each["query"]: each["reason"] for each in done.json["queries"]["apart"]}
    assert "did not plan before" in reasons["SELECT nothing FROM jobs"]
    assert "not a query" in reasons["SET search_path TO $1"]
    hollow = await erp.turnout("--queries", erp.queries("SELECT nothing FROM jobs"))
    assert hollow.code == 2
    assert "none of the 1 queries plans before" in hollow.stderr
    assert (await erp.turnout("--no-statistics")).code == 2


async def test_an_undo_is_tried_and_compared(erp: Erp):
    erp.write(
        V1_3_0__a="ALTER TABLE jobs ADD COLUMN priority int; CREATE INDEX i ON jobs (priority)",
        U1_3_0__a="ALTER TABLE jobs DROP COLUMN priority",
        V1_4_0__b="CREATE TABLE x (id int)",
        U1_4_0__b="DROP TABLE x",
        R__view="CREATE VIEW open_jobs AS SELECT id FROM jobs",
    )
    done = await erp.turnout("--json", "--queries", erp.queries())
    assert done.code == 0, done.stdout
    assert [(each["path"], each["equal"]) for each in done.json["undo"]] == [
        ("U1.4.0__b.sql", True),
        ("U1.3.0__a.sql", True),
    ]
    erp.write(U1_3_0__a="DROP INDEX i")
    done = await erp.turnout("--json", "--queries", erp.queries())
    assert (done.code, done.found) == (1, {("undo-differs", "error")})
    assert "unexpected column jobs.priority" in done.json["findings"][0]["message"]
    erp.write(U1_4_0__b="DROP TABLE y")
    done = await erp.turnout("--json", "--queries", erp.queries())
    assert (done.code, done.found) == (1, {("undo-fails", "error")})
    assert (await erp.turnout("--no-undo", "--queries", erp.queries())).code == 0


async def test_a_contract_is_tried_with_both_versions(erp: Erp):
    new = erp.queries("SELECT id, name FROM customers", name="new.sql")
    drop = "ALTER TABLE customers DROP COLUMN email"
    given = ("--json", "--queries", erp.queries(), "--new-queries", new)
    erp.write(
        V1_3_0__a="ALTER TABLE customers ADD COLUMN mail text",
        V1_4_0__b=f"-- turnout:requires app >= 1.3.0\n{drop}",
    )
    held = await erp.turnout(*given)
    assert held.code == 0, held.stdout
    (run,) = held.json["contracts"]
    assert (run["requires"], run["breaks_old"], run["breaks_new"]) == ("1.3.0", 2, 0)
    # What the old version may come back to is proven, not held back.
    erp.write(V1_4_0__b=f"-- turnout:requires app >= 1.2.0\n{drop}")
    assert (await erp.turnout(*given)).found == {("query-fails", "error")}
    erp.write(V1_4_0__b=f"-- turnout:phase contract\n{drop}")
    new.write_text("SELECT id, email FROM customers")
    broken = await erp.turnout(*given)
    assert (broken.code, broken.found) == (1, {("contract-breaks-new", "error")})
    new.write_text("SELECT id, telephone FROM customers")
    early = await erp.turnout(*given)
    assert (early.code, early.found) == (1, {("new-query-fails", "error")})


LOGGED = "INSERT INTO jobs (id, quantity) VALUES ($1, $2)"


@pytest.mark.parametrize(
    ("values", "severity"), [("$1 = '1', $2 = '0'", "error"), ("$1 = '1', $2 = '7'", "warning")]
)
async def test_values_of_a_log_make_sure_of_it(
    erp: Erp, tmp_path: Path, values: str, severity: str
):
    log = tmp_path / "postgresql.log"
    log.write_text(
        f"2026-11-28 05:48:26 UTC [1] LOG:  execute <unnamed>: {LOGGED}\n"
        f"2026-11-28 05:48:26 UTC [1] DETAIL:  Parameters: {values}\n"
    )
    erp.write(V1_3_0__a="ALTER TABLE jobs ADD CHECK (quantity > 0)")
    done = await erp.turnout("--json", "--query-log", log)
    assert done.found == {("run-fails", severity)}, done.stderr
    assert done.json["findings"][0]["source"] == "postgresql.log:1"


async def test_a_unique_constraint_meets_what_was_written_twice(erp: Erp, tmp_path: Path):
    log = tmp_path / "postgresql.log"
    log.write_text(
        "".join(
            f"UTC [1] LOG:  statement: INSERT INTO customers (id, name) VALUES ({n}, 'Ada Lovelace')\n"
            for n in (1, 2)
        )
    )
    erp.write(V1_3_0__a="CREATE UNIQUE INDEX u ON customers (name)")
    done = await erp.turnout("--json", "--query-log", log)
    assert done.found == {("run-fails", "error")}, done.stderr
    assert "Lovelace" not in done.stdout, "values of a log are not told"


async def test_a_function_that_a_write_goes_through_is_tried(erp: Erp):
    await erp.execute(
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN NEW.legacy_field := 'x'; RETURN NEW; END $$;"
        "CREATE TRIGGER t BEFORE INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION f()"
    )
    erp.write(V1_3_0__a="ALTER TABLE jobs DROP COLUMN legacy_field")
    done = await erp.turnout(
        "--json", "--queries", erp.queries("INSERT INTO jobs (id) VALUES ($1)")
    )
    assert done.found == {("run-fails", "error")}, done.stderr


async def test_faults_of_the_catalogue_and_of_references_are_told(erp: Erp):
    erp.write(V1_3_0__a="ALTER TABLE")
    done = await erp.turnout("--queries", erp.queries())
    assert done.code == 2
    assert "V1.3.0__a.sql:1:" in done.stderr
    wrong = await erp.turnout("--database", "postgresql://a:secret@b/c")
    assert wrong.code == 2
    assert "secret" not in wrong.stderr
    assert "env:NAME" in wrong.stderr


async def test_a_function_that_a_query_calls_is_run(erp: Erp):
    await erp.execute(
        "CREATE FUNCTION f(a int) RETURNS int LANGUAGE plpgsql AS"
        " $$ BEGIN RETURN (SELECT count(legacy_field) FROM jobs WHERE id = a); END $$;"
        "CREATE PROCEDURE p(a int) LANGUAGE plpgsql AS"
        " $$ BEGIN DELETE FROM jobs WHERE legacy_field = 'x'; END $$"
    )
    erp.write(V1_3_0__a="ALTER TABLE jobs DROP COLUMN legacy_field")
    file = erp.queries("SELECT f($1)", "CALL p($1)", "COPY jobs (id, legacy_field) FROM STDIN")
    done = await erp.turnout("--json", "--queries", file)
    kinds = {each["query"].split()[0]: each["kind"] for each in done.json["findings"]}
    assert kinds == {"SELECT": "run-fails", "CALL": "run-fails", "INSERT": "query-fails"}


async def test_a_role_that_is_no_superuser_will_do(erp: Erp):
    database = erp.url.rpartition("/")[2]
    await erp.execute(
        "CREATE ROLE plain LOGIN CREATEDB PASSWORD 'plain'",
        f"ALTER DATABASE {database} OWNER TO plain",
        "ALTER TABLE customers OWNER TO plain",
        "ALTER TABLE jobs OWNER TO plain",
        "ALTER TABLE jobs ALTER customer_id SET NOT NULL",
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE EXCEPTION 'not now'; END $$;"
        "CREATE TRIGGER t BEFORE INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION f()",
    )
    as_plain = replace(erp, url=f"postgresql://plain:plain@{erp.url.partition('@')[2]}")
    as_plain.write(V1_3_0__a="ALTER TABLE jobs ALTER customer_name SET NOT NULL")
    try:
        done = await as_plain.turnout("--json", "--queries", as_plain.queries(*OLD[-2:]))
        assert done.found == {("run-fails", "error")}, done.stderr
        assert len({each["query"] for each in done.json["findings"]}) == 2
    finally:
        await erp.execute(
            f"ALTER DATABASE {database} OWNER TO CURRENT_USER",
            "REASSIGN OWNED BY plain TO CURRENT_USER",
            "DROP ROLE plain",
        )


async def test_of_many_schemas_only_those_that_matter_are_cloned(erp: Erp):
    await erp.execute(
        "CREATE SCHEMA acme; CREATE TABLE acme.orders (id int, note text)",
        "CREATE SCHEMA other; CREATE TABLE other.orders (id int)",
        "CREATE VIEW acme.jobs_too AS SELECT id FROM public.jobs",
    )
    erp.write(V1_3_0__a="ALTER TABLE orders DROP COLUMN note")
    file = erp.queries(
        "SELECT note FROM orders", "SELECT id FROM jobs", "SELECT id FROM other.orders"
    )
    given = ("--json", "--schema", "acme", "--queries", file)
    done = await erp.turnout(*given, "--only-schema", "acme", "--only-schema", "public")
    assert done.code == 1, done.stdout + done.stderr
    (found,) = done.json["findings"]
    assert found["query"] == "SELECT note FROM orders"
    (apart,) = done.json["queries"]["apart"]
    assert apart["query"] == "SELECT id FROM other.orders"
    assert (await erp.turnout(*given)).json["queries"]["planned"] == 3


async def test_what_a_migration_sets_lasts_for_its_statement(erp: Erp):
    await erp.execute("CREATE SCHEMA elsewhere")
    erp.write(
        V1_3_0__a="SET search_path TO elsewhere; SET ROLE NONE; CREATE TABLE here (id int)",
        V1_4_0__b="-- turnout:transaction off\nSET search_path TO elsewhere; ALTER TABLE public.here ADD x int",
    )
    done = await erp.turnout("--json", "--queries", erp.queries())
    assert (done.code, done.json["findings"]) == (0, []), done.stdout


async def test_a_statement_that_takes_too_long_fails_its_migration(erp: Erp):
    erp.write(V1_3_0__a="SELECT pg_sleep(60)")
    done = await erp.turnout("--json", "--queries", erp.queries(), "--statement-timeout-s", "0.2")
    assert done.found == {("migration-fails", "error")}
    assert done.json["findings"][0]["error"]["sqlstate"] == "57014"


async def test_a_query_that_takes_too_long_tells_nothing(erp: Erp):
    await erp.execute("CREATE TABLE pace (s float)", "INSERT INTO pace VALUES (0)")
    slow = "INSERT INTO jobs (id) SELECT $1 FROM (SELECT pg_sleep(s) FROM pace) AS waited"
    erp.write(V1_3_0__a="UPDATE pace SET s = 60; ALTER TABLE jobs ADD COLUMN priority int")
    done = await erp.turnout("--json", "--data", "--queries", erp.queries(slow), "--try-s", "0.2")
    assert (done.code, done.json["findings"]) == (0, []), done.stdout
    assert done.json["queries"]["trials"] > 0
