"""`turnout migrations drift`: against the catalogue, another schema, and a saved fingerprint."""

import json
from pathlib import Path

import pytest

from admin.migrations.drift.model import drift as compared
from admin.migrations.drift.read import fingerprint
from admin.migrations.proof.limits import Limits
from admin.migrations.proof.servers import Place, connected
from tests.integration.migrations.proof.conftest import SCHEMA, Erp

RICH = """
CREATE TYPE state AS ENUM ('new', 'printed');
CREATE DOMAIN quantity AS integer CHECK (VALUE > 0);
CREATE SEQUENCE numbers INCREMENT 2;
CREATE TABLE presses (
    id serial PRIMARY KEY, name varchar(40) NOT NULL UNIQUE, state state DEFAULT 'new',
    many quantity, twice int GENERATED ALWAYS AS (id * 2) STORED, at timestamptz DEFAULT now(),
    number bigint DEFAULT nextval('numbers'), CHECK (id < 1000)
);
CREATE TABLE runs (id int PRIMARY KEY, press int REFERENCES presses ON DELETE CASCADE) PARTITION BY RANGE (id);
CREATE TABLE runs_1 PARTITION OF runs FOR VALUES FROM (0) TO (10);
CREATE INDEX by_state ON presses (state) WHERE many > 3;
CREATE VIEW busy AS SELECT id, name FROM presses WHERE state = 'printed';
CREATE MATERIALIZED VIEW counts AS SELECT count(*) AS n FROM presses;
CREATE FUNCTION f(a int) RETURNS int LANGUAGE sql AS 'SELECT a + 1';
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER touched BEFORE UPDATE ON presses FOR EACH ROW EXECUTE FUNCTION touch();
ALTER TABLE presses ENABLE ROW LEVEL SECURITY;
CREATE POLICY own ON presses USING (id > 0);
"""
CHANGES = {
    "CREATE TABLE extra (id int)": [("unexpected", "table", "extra")],
    "DROP MATERIALIZED VIEW counts": [("missing", "view", "counts")],
    "ALTER TABLE presses ALTER number TYPE int": [("different", "column", "presses.number")],
    "ALTER TABLE presses ALTER at SET NOT NULL": [("different", "column", "presses.at")],
    "ALTER TABLE presses ALTER at DROP DEFAULT": [("different", "column", "presses.at")],
    "ALTER TABLE presses ADD COLUMN hand text": [("unexpected", "column", "presses.hand")],
    "ALTER TABLE presses DROP CONSTRAINT presses_id_check": [
        ("missing", "constraint", "presses.presses_id_check")
    ],
    "ALTER TABLE presses ADD CONSTRAINT c CHECK (id > 1) NOT VALID": [
        ("unexpected", "constraint", "presses.c")
    ],
    "DROP INDEX by_state": [("missing", "index", "presses.by_state")],
    "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'by_state'::regclass": [
        ("different", "index", "presses.by_state")
    ],
    "ALTER TYPE state ADD VALUE 'lost'": [("different", "type", "state")],
    "ALTER DOMAIN quantity SET NOT NULL": [("different", "type", "quantity")],
    "ALTER SEQUENCE numbers INCREMENT 3": [("different", "sequence", "numbers")],
    "CREATE OR REPLACE VIEW busy AS SELECT id, name FROM presses": [("different", "view", "busy")],
    "CREATE OR REPLACE FUNCTION f(a int) RETURNS int LANGUAGE sql AS 'SELECT a + 2'": [
        ("different", "function", "f(a integer)")
    ],
    "ALTER TABLE presses DISABLE TRIGGER touched": [("different", "trigger", "presses.touched")],
    "DROP POLICY own ON presses": [("missing", "policy", "presses.own")],
    "ALTER TABLE presses DISABLE ROW LEVEL SECURITY": [("different", "table", "presses")],
    "ALTER TABLE runs DETACH PARTITION runs_1": [
        ("different", "table", "runs_1"),
        ("different", "constraint", "runs_1.runs_1_press_fkey"),
    ],
}


async def drift(erp: Erp, *arguments: str | Path):
    return await erp.turnout(*arguments, command="drift")


def told(done) -> list[tuple[str, str, str]]:
    return [(each["what"], each["kind"], each["name"]) for each in done.json["differences"]]


async def test_two_schemas_of_one_kind_have_one_fingerprint(erp: Erp):
    await erp.execute("DROP TABLE jobs, customers", RICH)
    await erp.execute("CREATE SCHEMA tenant", "SET search_path TO tenant;" + RICH)
    done = await drift(
        erp, "--json", "--expected", "env:ERP_DATABASE", "--expected-schema", "tenant", "--grants"
    )
    assert (done.code, told(done)) == (0, []), done.stdout
    assert done.json["digest"] == done.json["expected_digest"]


async def test_each_change_by_hand_is_seen(erp: Erp, tmp_path: Path):
    await erp.execute("DROP TABLE jobs, customers", RICH)
    place = Place("env:ERP_DATABASE", erp.url)
    async with connected(place, Limits(), ("public",)) as connection:
        before = await fingerprint(connection, "public")
        for change, expected in CHANGES.items():
            transaction = connection.transaction()
            await transaction.start()
            await connection.execute(change)
            found = compared(await fingerprint(connection, "public"), before)
            await transaction.rollback()
            seen = [(each.what, each.kind, each.name) for each in found]
            if change.startswith("ALTER TABLE runs DETACH"):
                seen = [each for each in seen if each in expected]
                assert seen[0] == expected[0]
            else:
                assert seen == expected, change
        assert (await fingerprint(connection, "public")).digest == before.digest


async def test_the_catalogue_is_applied_to_an_empty_database(erp: Erp):
    erp.write(
        V1_0_0__base=SCHEMA, V1_3_0__more="ALTER TABLE jobs ADD COLUMN priority int DEFAULT 5"
    )
    given = ("--folder", erp.folder)
    behind = await drift(erp, *given, "--json")
    assert (behind.code, told(behind)) == (1, [("missing", "column", "jobs.priority")])
    assert (await drift(erp, *given, "--at", "1.2.0")).code == 0
    await erp.execute("ALTER TABLE jobs ADD COLUMN priority int DEFAULT 6")
    wrong = await drift(erp, *given)
    assert wrong.code == 1
    assert wrong.stdout.splitlines() == [
        "different: column jobs.priority",
        "  default: 6, expected 5",
        "1 difference",
    ]
    assert await erp.clones() == []


async def test_the_history_says_up_to_where(erp: Erp):
    erp.write(
        V1_0_0__base=SCHEMA, V1_3_0__more="ALTER TABLE jobs ADD COLUMN priority int DEFAULT 5"
    )
    await erp.execute(
        "CREATE TABLE turnout_schema_history (key text, checksum text, state text);"
        "INSERT INTO turnout_schema_history VALUES ('1.0.0', 'x', 'applied')"
    )
    done = await drift(erp, "--folder", erp.folder)
    assert (done.code, done.stdout.startswith("no drift")) == (0, True), done.stdout


async def test_a_catalogue_that_begins_later_needs_its_baseline(erp: Erp, tmp_path: Path):
    erp.write(V1_3_0__more="ALTER TABLE jobs ADD COLUMN priority int DEFAULT 5")
    done = await drift(erp, "--folder", erp.folder)
    assert done.code == 2
    assert "--baseline FILE.sql" in done.stderr
    base = tmp_path / "base.sql"
    base.write_text(SCHEMA)
    done = await drift(erp, "--folder", erp.folder, "--baseline", base, "--json")
    assert told(done) == [("missing", "column", "jobs.priority")]
    assert (
        await drift(*(erp, "--folder", erp.folder, "--baseline", base, "--ignore", "jobs.priority"))
    ).code == 0


async def test_a_saved_fingerprint(erp: Erp, tmp_path: Path):
    file = tmp_path / "erp.json"
    saved = await drift(erp, "--save", file)
    assert (saved.code, saved.stdout.split(",")[0]) == (0, "17 objects"), saved.stderr
    assert (await drift(erp, "--expected-file", file)).code == 0
    await erp.execute("DROP TABLE jobs")
    done = await drift(erp, "--expected-file", file, "--json")
    assert (done.code, told(done)) == (1, [("missing", "table", "jobs")])
    document = json.loads(file.read_text())
    document["objects"].pop()
    file.write_text(json.dumps(document))
    done = await drift(erp, "--expected-file", file)
    assert done.code == 2
    assert "changed by hand, or cut off" in done.stderr


async def test_grants_count_if_asked_for(erp: Erp, tmp_path: Path):
    file = tmp_path / "erp.json"
    await drift(erp, "--save", file, "--grants")
    await erp.execute("GRANT SELECT ON jobs TO PUBLIC")
    assert (await drift(erp, "--expected-file", file)).code == 0
    done = await drift(erp, "--expected-file", file, "--grants", "--json")
    assert told(done) == [("unexpected", "grant", "jobs.PUBLIC")]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--schema", "nowhere"), "has no schema nowhere"),
        (("--expected", "env:NOT_THERE"), "env:NOT_THERE: the variable is not set"),
        (("--expected", "env:X", "--expected-file", "."), "give one of"),
    ],
)
async def test_what_cannot_be_compared_is_told(erp: Erp, arguments: tuple[str, ...], said: str):
    erp.write(V1_0_0__base=SCHEMA)
    folder = () if "--expected" in arguments else ("--folder", erp.folder)
    done = await drift(erp, *folder, *arguments)
    assert done.code == 2
    assert said in done.stderr
