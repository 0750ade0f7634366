"""Names of clones, what is pending, differences, and the story of a query."""

from datetime import UTC, datetime, timedelta

import pytest

from admin.migrations.catalogue.assemble import assemble
from admin.migrations.drift.model import Fingerprint, FingerprintError, drift, read_fingerprint
from admin.migrations.proof.compare import State, differences
from admin.migrations.proof.errors import told
from admin.migrations.proof.limits import CannotProve
from admin.migrations.proof.model import Difference, Error, FindingKind, Point, Proof, Severity
from admin.migrations.proof.names import clone_name, lock_number, read_clone_name
from admin.migrations.proof.pending import pending
from admin.migrations.proof.queries.model import Query, query
from admin.migrations.proof.servers import Place
from admin.migrations.proof.story import Story
from admin.migrations.proof.trials import Origin
from admin.migrations.version import Version

NOW = datetime(2026, 11, 28, 5, 48, 26, tzinfo=UTC)
V = Version.parse
ADD = "ALTER TABLE jobs ADD COLUMN priority int;\n"
CONTRACT = "-- turnout:phase contract\nALTER TABLE jobs DROP COLUMN x;\n"


def test_a_clones_name_says_when_it_was_made_and_how_old_it_may_become():
    name = clone_name(NOW, 3600, "00ff00ff")
    assert name == "turnout_scratch_20261128t054826_3600_00ff00ff"
    assert len(clone_name(NOW, 99_999_999, "00ff00ff").encode()) <= 63
    born = read_clone_name(name)
    assert born is not None
    assert born.made_at == NOW
    assert not born.is_over(NOW + timedelta(hours=1))
    assert born.is_over(NOW + timedelta(hours=1, seconds=1))
    assert -(2**63) <= lock_number(name) < 2**63
    for other in ("turnout_scratch_x", "erp", name + "x", name.replace("1128", "1399")):
        assert read_clone_name(other) is None


def test_a_place_keeps_its_password_to_itself():
    place = Place("env:X", "postgresql://app:p%40ss@db.example:5433/erp?sslmode=require")
    assert place.safe_url == "postgresql://app@db.example:5433/erp?sslmode=require"
    assert (place.password, place.environment) == ("p@ss", {"PGPASSWORD": "p@ss"})
    assert "p%40ss" not in repr(place)
    other = place.sibling("a b")
    assert (other.database, other.password) == ("a b", "p@ss")
    hidden = Place("env:X", "postgresql://app@db/erp?password=secret&sslmode=require")
    assert (hidden.safe_url, hidden.password) == (
        "postgresql://app@db/erp?sslmode=require",
        "secret",
    )


CATALOGUE = assemble(
    {
        "V1.2.0__a.sql": ADD,
        "V1.3.0__b.sql": ADD,
        "V1.4.0__c.sql": CONTRACT,
        "V1.5.0__d.sql": "ALTER TABLE jobs DROP COLUMN y",
        "R__v.sql": "CREATE VIEW v AS SELECT 1",
    }
)
SUMS = {each.key: each.checksum for each in CATALOGUE.migrations}


def paths(todo, which="now"):
    return [each.path[:6] for each in getattr(todo, which)]


def test_what_is_pending_and_what_is_held_back():
    todo = pending(CATALOGUE, None, V("1.2.0"), None, None)
    assert (paths(todo), paths(todo, "held_back")) == (["V1.3.0", "V1.5.0", "R__v.s"], ["V1.4.0"])
    # What may not come back is no reason to hold back.
    todo = pending(CATALOGUE, None, V("1.2.0"), None, V("1.4.0"))
    assert paths(todo) == ["V1.3.0", "V1.4.0", "V1.5.0", "R__v.s"]
    todo = pending(CATALOGUE, None, None, V("1.3.0"), None)
    assert paths(todo) == ["V1.2.0", "V1.3.0", "R__v.s"]
    have = {key: SUMS[key] for key in ("1.2.0", "1.5.0", "R__v")}
    todo = pending(CATALOGUE, have, None, None, V("1.2.0"))
    assert (paths(todo), paths(todo, "held_back")) == (["V1.3.0"], ["V1.4.0"])
    with pytest.raises(CannotProve, match=r"V1\.2\.0__a\.sql was changed"):
        pending(CATALOGUE, {"1.2.0": "other"}, None, None, None)
    with pytest.raises(CannotProve, match="nothing to prove"):
        pending(CATALOGUE, SUMS, None, None, None)


def kinds(before, after, origins=()):
    found = differences(before, after, origins)
    return [(each.kind.value, each.severity.value) for each in found]


def test_columns_by_their_place():
    before = State(columns=(("id", "int4"), ("name", "varchar")))
    assert kinds(before, State(columns=(("id", "int4"), ("name", "text"), ("new", "x")))) == []
    assert kinds(before, State(columns=(("id", "int8"), ("name", "varchar")))) == [
        ("result-type-changed", "error")
    ]
    assert kinds(before, State(columns=(("name", "varchar"),))) == [
        ("result-column-missing", "error")
    ]
    assert kinds(before, State(Error("42703", "gone"))) == [("query-fails", "error")]
    assert kinds(State(parameters=("int4",)), State(parameters=("varchar",))) == [
        ("parameter-type-changed", "error")
    ]


@pytest.mark.parametrize(
    ("state", "origin", "severity"),
    [
        ("23502", Origin.NULL, "error"),
        ("23502", Origin.MADE_UP, "error"),
        ("23514", Origin.MADE_UP, "warning"),
        ("23514", Origin.SEEN, "error"),
        ("23514", Origin.ROW, "error"),
        ("23505", Origin.ROW, "warning"),
        ("23505", Origin.TWICE, "warning"),
        ("23505", Origin.SEEN, "error"),
        ("22001", Origin.MADE_UP, "warning"),
        ("42703", Origin.MADE_UP, "error"),
    ],
)
def test_how_sure_a_failing_write_is(state: str, origin: Origin, severity: str):
    before, after = State(trials={0: None}), State(trials={0: Error(state, "x")})
    assert kinds(before, after, [origin]) == [("run-fails", severity)]
    failed_before = State(trials={0: Error(state, "x")})
    assert kinds(failed_before, after, [origin]) == []


def test_the_surest_of_one_cause_is_told():
    error = Error("23514", "x", "chk")
    before, after = State(trials={0: None, 1: None}), State(trials={0: error, 1: error})
    assert kinds(before, after, [Origin.MADE_UP, Origin.SEEN]) == [("run-fails", "error")]


def story() -> Story:
    found = query("SELECT 1", "x")
    assert isinstance(found, Query)
    return Story([found])


def point(key: str, line: int) -> Point:
    return Point(key, f"V{key}__x.sql", line, "…")


BREAK = Difference(FindingKind.QUERY_FAILS, "plan 42703", "gone")
WRITE = Difference(FindingKind.RUN_FAILS, "write 23514 c", "refused")


def test_to_blame_is_the_statement_since_which_it_is_broken():
    told_of = story()
    told_of.tried(0, [BREAK], point("1", 1))
    told_of.tried(0, [], point("1", 2))
    told_of.tried(0, [BREAK], point("1", 3))
    told_of.tried(0, [BREAK], point("1", 4))
    assert told_of.findings == []
    told_of.committed("1")
    (found,) = told_of.findings
    assert found.point == point("1", 3)
    told_of.committed("2")
    assert told_of.findings == [found]
    assert told_of.broken == 1
    told_of.tried(0, [], point("3", 1))
    told_of.committed("3")
    assert told_of.findings == [found.mended("3")]
    assert told_of.broken == 0


def test_what_nobody_saw_is_not_told():
    told_of = story()
    told_of.tried(0, [BREAK], point("1", 1))
    told_of.tried(0, [], point("1", 2))
    told_of.committed("1")
    assert told_of.findings == []


def test_what_no_longer_plans_mends_nothing():
    told_of = story()
    told_of.tried(0, [WRITE], point("1", 1))
    told_of.committed("1")
    told_of.tried(0, [BREAK], point("2", 1))
    told_of.committed("2")
    assert [each.mended_by for each in told_of.findings] == ["", ""]


def test_warnings_count_when_it_is_strict():
    proof = Proof()
    assert proof.is_proven(strict=True)
    told_of = story()
    told_of.tried(0, [Difference(WRITE.kind, "x", "x", Severity.WARNING)], point("1", 1))
    told_of.committed("1")
    proof.findings += told_of.findings
    assert proof.is_proven(strict=False)
    assert not proof.is_proven(strict=True)


class RefusalError(Exception):
    sqlstate = "22P02"


def test_errors_hold_no_values():
    assert told(RefusalError('invalid input syntax for type integer: "Ada"')).message == (
        "invalid input syntax for type integer"
    )


def test_what_tells_two_schemas_apart():
    one = Fingerprint(
        {("table", "t"): {"kind": "table"}, ("column", "t.a"): {"type": "int"}, ("view", "v"): {}}
    )
    other = Fingerprint({("view", "v"): {"definition": "x"}})
    assert [(each.what, each.name) for each in drift(one, other)] == [
        ("unexpected", "t"),
        ("different", "v"),
    ]
    assert drift(other, one)[1].changed == [("definition", "-", "x")]
    assert one.without(["t"]).objects.keys() == {("view", "v")}
    assert read_fingerprint(one.document()) == one
    assert one.digest != other.digest
    broken_ones: tuple[object, ...] = ({}, [], {"format": 2}, {**one.document(), "objects": []})
    for broken in broken_ones:
        with pytest.raises(FingerprintError):
            read_fingerprint(broken)
