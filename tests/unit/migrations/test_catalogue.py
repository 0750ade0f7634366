"""What a folder of migrations says, and what is wrong with one."""

import pytest

from admin.migrations.catalogue.assemble import assemble
from admin.migrations.catalogue.model import Allowance, CatalogueError, Kind, Phase
from admin.migrations.catalogue.read import MAX_FILE_BYTES, read
from admin.migrations.version import Version

V = Version.parse
ADD = "ALTER TABLE jobs ADD COLUMN priority int;\n"


def one(text, name="V1.3.0__x.sql"):
    (migration,) = assemble({name: text}).migrations
    return migration


def faults(texts):
    with pytest.raises(CatalogueError) as raised:
        assemble(texts if isinstance(texts, dict) else {"V1.3.0__x.sql": texts})
    return [str(fault) for fault in raised.value.faults]


def test_versions_are_in_their_own_order():
    names = ("V1.10.0__c.sql", "V1.9.0__b.sql", "V1.9.0-rc.1__a.sql", "R__v.sql", "U1.9.0__b.sql")
    catalogue = assemble(dict.fromkeys(names, ADD))
    assert [str(each.version) for each in catalogue.versioned] == ["1.9.0-rc.1", "1.9.0", "1.10.0"]
    assert [each.key for each in catalogue.repeatable] == ["R__v"]
    assert catalogue.last == V("1.10.0")
    undo = catalogue.undo_of(V("1.9.0"))
    assert undo is not None
    assert (undo.kind, undo.path) == (Kind.UNDO, "U1.9.0__b.sql")
    assert catalogue.undo_of(V("1.10.0")) is None
    between = catalogue.between(V("1.9.0-rc.1"), V("1.9.0"))
    assert [each.path for each in between] == ["V1.9.0__b.sql"]
    assert len(catalogue.between(None, V("2.0.0"))) == 3


def test_statements_stand_where_they_stand():
    text = (
        "-- Ümläute\n\n"
        "ALTER TABLE a ADD COLUMN b text DEFAULT 'ä;ö'; CREATE INDEX i ON a (b);\n"
        "CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN; RETURN 1; END $$;\n"
        "/* ; */ SELECT 1"
    )
    found = [(each.line, each.column, each.sql[:14]) for each in one(text).statements]
    assert found == [
        (3, 1, "ALTER TABLE a "),
        (3, 48, "CREATE INDEX i"),
        (4, 1, "CREATE FUNCTIO"),
        (5, 9, "SELECT 1"),
    ]


def test_the_header_says_what_it_is():
    migration = one(
        "-- turnout:phase contract\n-- Why.\n--turnout:requires app >= v1.2.9\n"
        "-- turnout:transaction off\n-- turnout:batch table=jobs key=id size=100\n" + ADD
    )
    assert (migration.phase, migration.requires) == (Phase.CONTRACT, V("1.2.9"))
    assert not migration.transactional
    assert migration.directives["batch"] == "table=jobs key=id size=100"


@pytest.mark.parametrize(
    ("sql", "phase"),
    [
        (ADD, Phase.EXPAND),
        ("CREATE TABLE t (); UPDATE t SET x = 1", Phase.EXPAND),
        ("UPDATE jobs SET priority = 5; DELETE FROM t", Phase.BACKFILL),
        ("ALTER TABLE jobs ADD a int, DROP COLUMN b", Phase.CONTRACT),
        ("ALTER TABLE jobs RENAME COLUMN a TO b", Phase.CONTRACT),
        ("ALTER TABLE jobs ALTER a TYPE text", Phase.CONTRACT),
        ("ALTER TABLE jobs ALTER a SET NOT NULL", Phase.CONTRACT),
        ("UPDATE t SET x = 1; DROP TABLE jobs", Phase.CONTRACT),
        ("TRUNCATE jobs", Phase.CONTRACT),
        ("DROP INDEX i", Phase.EXPAND),
    ],
)
def test_a_phase_that_is_not_said_is_derived(sql, phase):
    assert one(sql).phase is phase


def test_a_contract_that_says_nothing_requires_its_own_version():
    assert one("DROP TABLE jobs").requires == V("1.3.0")
    assert one(ADD).requires is None


@pytest.mark.parametrize(
    ("sql", "transactional"),
    [
        (ADD, True),
        ("CREATE INDEX i ON a (b)", True),
        ("CREATE INDEX CONCURRENTLY i ON a (b)", False),
        ("SELECT 1; DROP INDEX CONCURRENTLY i", False),
        ("REINDEX TABLE CONCURRENTLY a", False),
        ("REINDEX (VERBOSE) TABLE a", True),
        ("REINDEX SCHEMA a", False),
        ("VACUUM a", False),
        ("ANALYZE a", True),
        ("CLUSTER", False),
        ("CLUSTER a", True),
        ("ALTER TABLE a DETACH PARTITION b CONCURRENTLY", False),
        ("ALTER TABLE a DETACH PARTITION b", True),
        ("ALTER SYSTEM SET work_mem = '4MB'", False),
        ("CREATE DATABASE a", False),
        ("-- turnout:transaction off\nSELECT 1", False),
    ],
)
def test_whether_it_can_be_one_transaction(sql, transactional):
    assert one(sql).transactional is transactional


def test_what_a_rule_is_told_to_let_pass():
    migration = one(
        "-- turnout:allow drop-column because nobody reads it since 1.2.0\n"
        "-- More words.\n"
        "-- turnout:allow lock because it is empty\n"
        "ALTER TABLE a DROP COLUMN b;\n"
        "-- turnout:allow lock because it is small\n"
        "ALTER TABLE a DROP COLUMN c;\n"
    )
    first, second = migration.statements
    assert first.allowances == (
        Allowance("drop-column", "nobody reads it since 1.2.0", 1),
        Allowance("lock", "it is empty", 3),
    )
    assert second.allowances == (Allowance("lock", "it is small", 5),)


def test_what_stands_in_a_text_says_nothing():
    text = ADD + "INSERT INTO t VALUES ('\n-- turnout:phase nonsense\n');\n"
    assert one(text).phase is Phase.EXPAND


def test_the_checksum_is_the_same_however_lines_end():
    assert one(ADD + ADD).checksum == one("\ufeff" + (ADD + ADD).replace("\n", "\r\n")).checksum
    assert one(ADD).checksum != one(ADD + " ").checksum


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("SELECT 'é';\n  SELEC 1", '2:3: syntax error at or near "SELEC"'),
        (
            "SELECT 1;\n\\i other.sql",
            '2:1: syntax error at or near "\\": commands of psql are not SQL',
        ),
        ("SELECT 'x", '1:8: unterminated quoted string at or near "\'x"'),
        ("SELECT 1;\n \0", "2:2: a NUL byte"),
        ("-- only words\n", "1:1: there is no statement in it"),
        ("SELECT 1;\n BEGIN", "2:2: Turnout begins and ends the transaction itself"),
        (
            "-- turnout:phase later\n" + ADD,
            "1:1: turnout:phase is one of expand, backfill, contract",
        ),
        ("-- turnout:phse expand\n" + ADD, "1:1: turnout:phse is not known; there are phase, "),
        ("-- turnout:requires 1.3\n" + ADD, "1:1: write it as: turnout:requires app >= 1.3.0"),
        ("-- turnout:requires app >= 1.3\n" + ADD, "1:1: '1.3' is no version"),
        ("-- turnout:transaction maybe\n" + ADD, "1:1: turnout:transaction is on or off"),
        (
            "-- turnout:transaction on\nVACUUM a",
            "2:1: PostgreSQL refuses this within a transaction",
        ),
        (
            "-- turnout:phase expand\n-- turnout:phase expand\n" + ADD,
            "2:1: turnout:phase is said twice",
        ),
        (ADD + "-- turnout:phase expand\n" + ADD, "2:1: turnout:phase stands before the first"),
        (
            "-- turnout:allow drop-column\n" + ADD,
            "1:1: write it as: turnout:allow RULE because REASON",
        ),
        (
            "-- turnout:allow lock because so\n\n" + ADD,
            "1:1: turnout:allow stands directly above the statement",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text, expected):
    (fault,) = faults(text)
    assert fault.startswith(f"V1.3.0__x.sql:{expected}")


def test_all_that_is_wrong_is_said_at_once():
    assert faults(
        {
            "a/V1.3.0__x.sql": ADD,
            "b/V1.3.0__y.sql": ADD,
            "U1.3.0__x.sql": ADD,
            "R__v.sql": ADD,
            "more/R__v.sql": ADD,
            "V1.3__z.sql": ADD,
            "R2.0.0__w.sql": "SELEC",
            "003_old.sql": ADD,
        }
    ) == [
        "003_old.sql:1:1: a file is named V1.3.0__what.sql, R__what.sql or U1.3.0__what.sql",
        "R2.0.0__w.sql:1:1: a repeatable migration has no version: R__what.sql",
        'R2.0.0__w.sql:1:1: syntax error at or near "SELEC"',
        "V1.3__z.sql:1:1: '1.3' is no version: write MAJOR.MINOR.PATCH, as in 1.3.0 or 1.3.0-rc.1",
        "b/V1.3.0__y.sql:1:1: version 1.3.0 is that of a/V1.3.0__x.sql too: give it another",
        "more/R__v.sql:1:1: the name is that of R__v.sql too: give it another",
    ]


def test_a_folder_is_read(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "V1.3.0__x.sql").write_text(ADD)
    (tmp_path / "README.md").write_text("no migration")
    assert [each.path for each in read(tmp_path).migrations] == ["sub/V1.3.0__x.sql"]


def test_files_that_can_not_be_read(tmp_path):
    (tmp_path / "V1.0.0__a.sql").write_bytes(b"SELECT '\xff'")
    (tmp_path / "V1.1.0__b.sql").write_bytes(b"-" * (MAX_FILE_BYTES + 1))
    (tmp_path / "V1.2.0__c.sql").write_text("SELEC")
    with pytest.raises(CatalogueError) as raised:
        read(tmp_path)
    assert [str(fault) for fault in raised.value.faults] == [
        "V1.0.0__a.sql:1:1: byte 8 is not UTF-8",
        f"V1.1.0__b.sql:1:1: it is larger than {MAX_FILE_BYTES} bytes",
        'V1.2.0__c.sql:1:1: syntax error at or near "SELEC"',
    ]
    with pytest.raises(CatalogueError, match="there is no such folder"):
        read(tmp_path / "nowhere")
