"""Statements as steps, backfills' headers and pace, faults, places, settings: what needs no server."""

from pathlib import Path
from typing import Any

import pytest

from admin.migrations.backfill import (
    HeaderFault,
    Load,
    Trail,
    header,
    holds_back,
    pause_s,
    statement_fault,
)
from admin.migrations.config import Explicit, Server, Settings
from admin.migrations.faults import ADVICE, RETRYABLE, backoff_s, remedy
from admin.migrations.files import Batch
from admin.migrations.references import ReferenceFault, database_url, is_reference
from admin.migrations.steps import Kind, Step, refusal, step_of
from admin.migrations.targets import TargetFault, targets

MAIN = {"main": Server("env:ERP")}


@pytest.mark.parametrize(
    ("sql", "step"),
    [
        ("ALTER TABLE a ADD b int", Step(Kind.WITHIN)),
        ("ALTER TYPE e ADD VALUE 'x'", Step(Kind.WITHIN)),
        ("ANALYZE a", Step(Kind.WITHIN)),
        ("CREATE INDEX i ON a (b)", Step(Kind.WITHIN)),
        ("CREATE INDEX CONCURRENTLY i ON s.a (b)", Step(Kind.INDEX, "s", "i")),
        ("DROP INDEX CONCURRENTLY s.i", Step(Kind.DROP_INDEX, "s", "i")),
        ("REINDEX (CONCURRENTLY) TABLE a", Step(Kind.REINDEX, "", "a")),
        ("VACUUM (FULL) a", Step(Kind.ALONE)),
        (
            "ALTER TABLE p DETACH PARTITION s.c CONCURRENTLY",
            Step(Kind.DETACH, "s", "c", "p", ""),
        ),
    ],
)
def test_how_a_statement_runs(sql: str, step: Step) -> None:
    assert step_of(sql) == step


@pytest.mark.parametrize(
    "sql",
    [
        "SET lock_timeout = 0",
        "SET LOCAL statement_timeout TO '1h'",
        "RESET lock_timeout",
        "RESET ALL",
        "DISCARD ALL",
        "SET search_path TO other",
        "SET ROLE postgres",
        "CREATE INDEX CONCURRENTLY ON a (b)",
    ],
)
def test_what_is_the_worker_s_own_is_refused(sql: str) -> None:
    assert refusal(sql)
    assert not refusal("SET work_mem = '1GB'")


GOOD = "-- turnout:phase backfill\n-- turnout:batch table=s.jobs key=id size=100\n"


def test_a_backfill_s_header() -> None:
    text = (
        f"{GOOD}-- turnout:verify SELECT count(*) FROM jobs WHERE a IS NULL; must be 0\n\nUPDATE …"
    )
    assert header(text) == Batch(
        "s.jobs", "id", 100, ("SELECT count(*) FROM jobs WHERE a IS NULL",)
    )
    assert header("UPDATE jobs SET a = 1;\n-- turnout:batch nonsense") is None


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("-- turnout:batch table=jobs key=id\n", 1),
        ("-- x\n-- turnout:batch table=jobs key=id size=0\n", 2),
        ("-- turnout:batch table=jobs;drop key=id size=5\n", 1),
        ("-- turnout:batch table=a.b.c key=id size=5\n", 1),
        ("-- turnout:batch table=jobs key=id size=5 pace=1\n", 1),
        (f"{GOOD}-- turnout:batch table=jobs key=id size=5\n", 3),
        ("-- turnout:verify SELECT 0\n", 1),
    ],
)
def test_a_header_that_can_not_be_used_is_named_by_its_line(text: str, line: int) -> None:
    with pytest.raises(HeaderFault) as caught:
        header(text)
    assert caught.value.line == line


def test_batches_are_bounded_by_their_keys() -> None:
    assert not statement_fault(["UPDATE a SET b = 1 WHERE id BETWEEN $1 AND $2"])
    assert statement_fault(["UPDATE a SET b = 1 WHERE id > $1"])
    assert statement_fault([])


def test_pace_lag_and_load() -> None:
    assert pause_s(1000, 500.0, 0.5) == 1.5
    assert pause_s(1000, 500.0, 3.0) == 0.0
    assert holds_back(Load(6.0, 0), 5.0, 0)
    assert holds_back(Load(0.0, 9), 5.0, 8)
    assert not holds_back(Load(5.0, 9), 5.0, 0)
    assert not holds_back(Load(5.0, 8), 5.0, 8)


def test_a_replica_is_behind_for_as_long_as_it_lacks_what_was_there() -> None:
    trail = Trail()
    assert trail.lag_s(100, 40, 10.0) == 0.0
    assert trail.lag_s(150, 99, 13.0) == 3.0
    assert trail.lag_s(200, 100, 14.0) == 0.0, "what was there first it has by now"
    assert trail.lag_s(200, 150, 15.0) == 1.0
    assert trail.lag_s(250, None, 99.0) == 0.0, "nobody is left to wait for"


def test_pauses_grow_are_jittered_and_bounded() -> None:
    assert [backoff_s(tries, 0.5, 4.0, 1.0) for tries in (1, 2, 3, 4, 5, 99)] == [
        *(0.5, 1.0, 2.0, 4.0, 4.0, 4.0)
    ]
    assert backoff_s(3, 0.5, 4.0, 0.0) == 1.0


def test_only_what_may_pass_by_itself_is_tried_again() -> None:
    classes = {state[:2] for state in RETRYABLE}
    assert classes == {"55", "40", "08", "53", "57", "25"}
    assert not {"57014", "25001", "53100", "42501"} & RETRYABLE.keys()
    assert not RETRYABLE.keys() & ADVICE.keys()


def test_advice_is_by_code_then_by_class_and_names_the_way_on() -> None:
    assert "migrations.extra_schemas" in remedy("42P01", "m-1")
    assert "break the constraint" in remedy("23505", "m-1")
    assert "Mend the target" in remedy("XX000", "m-1")
    assert "turnout migrations retry m-1" in remedy("XX000", "m-1")


def test_references(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql://u:secret@h/d\n")
    assert database_url(f"file:{file}", {}) == "postgresql://u:secret@h/d"
    assert database_url("env:ERP", {"ERP": "postgres://h/d"}) == "postgres://h/d"
    assert not is_reference("postgresql://u:secret@h/d")
    for reference, environ in (
        ("env:ERP", {}),
        ("env:ERP", {"ERP": "mysql://u:secret@h/d"}),
        (f"file:{tmp_path}/absent", {}),
    ):
        with pytest.raises(ReferenceFault, match=reference) as caught:
            database_url(reference, environ)
        assert "secret" not in str(caught.value)


def test_where_tenants_lie() -> None:
    schema = Settings(layout="schema", schema="t_{tenant}", servers=MAIN)
    assert [each.place for each in targets(schema, ["b", "a"])] == [
        ("main", "", "t_a"),
        ("main", "", "t_b"),
    ]
    database = Settings(layout="database", database="erp_{tenant}", servers=MAIN)
    assert targets(database, ["a"])[0].place == ("main", "erp_a", "public")
    shared = Settings(servers=MAIN)
    assert [(each.name, each.tenant) for each in targets(shared, ["a", "b"])] == [("shared", None)]
    moved = Settings(
        layout="schema",
        schema="{tenant}",
        servers={**MAIN, "second": Server("file:/run/secret")},
        targets=(Explicit("acme", "second", "acme", "big", "acme"),),
    )
    assert [each.place for each in targets(moved, ["acme", "b"])] == [
        ("second", "big", "acme"),
        ("main", "", "b"),
    ]


@pytest.mark.parametrize(
    ("given", "tenants"),
    [
        ({}, []),
        ({"layout": "schema", "schema": "a_long_prefix_{tenant}", "servers": MAIN}, ["x" * 60]),
        ({"servers": MAIN, "targets": (Explicit("a", "main"), Explicit("b", "main"))}, []),
        (
            {"servers": MAIN, "targets": (Explicit("a", "main", "x"), Explicit("a", "main", "y"))},
            [],
        ),
    ],
)
def test_targets_that_can_not_be_told(given: Any, tenants: list[str]) -> None:
    with pytest.raises(TargetFault):
        targets(Settings(**given), tenants)


@pytest.mark.parametrize(
    "given",
    [
        {"layout": "schema", "schema": "public"},
        {"layout": "database", "database": "erp"},
        {"schema": "t_{tenant}"},
        {"servers": MAIN, "server": "other"},
        {"servers": {"a b": Server("env:ERP")}},
        {"servers": MAIN, "targets": (Explicit("a", "nowhere"),)},
        {"backoff_s": 9.0, "backoff_max_s": 1.0},
    ],
)
def test_settings_that_do_not_go_together(given: Any) -> None:
    with pytest.raises(ValueError):
        Settings(**given)


def test_a_url_in_place_of_its_reference_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValueError, match="names where the URL stands") as caught:
        Server("postgresql://u:secret@h/d")
    assert "secret" not in str(caught.value)
