"""What a plan would do, what it refuses, and how long it may take."""

from dataclasses import replace
from typing import Any

import pytest

from admin.migrations.files import File
from admin.migrations.plan import Had, PlanFault, Wish, draft, estimate
from admin.migrations.targets import Target
from tests.support.migrations import catalogue, file, of_tenants

FILES = catalogue(
    file("1.2.0", "CREATE TABLE a ()"),
    file("1.3.0", "CREATE TABLE b ()"),
    file("1.3.1", "DROP TABLE a", phase="contract"),
    file("1.4.0", "CREATE TABLE c ()"),
    replace(file("1.0.0", "SELECT 1", kind="repeatable"), key="R__views", version=None),
)
TARGETS = of_tenants(2)


def had(*keys: str, **other: str) -> Had:
    sums = {each.key: each.checksum for each in FILES}
    return {**{key: sums[key] for key in keys}, **other}


def jobs(applied: dict[str, Had] | None = None, **wish: Any) -> dict[str, list[str]]:
    made = draft(Wish(**wish), FILES, TARGETS, applied or {})
    return {name: [FILES[at].key for at in due] for name, due in made.jobs.items()}


def test_expansions_alone_unless_other_phases_are_named() -> None:
    assert jobs(tenants=frozenset({"c0"})) == {"c0": ["1.2.0", "1.3.0", "1.4.0", "R__views"]}
    assert jobs(phases=("contract",)) == {"c0": ["1.3.1"], "c1": ["1.3.1"]}


def test_up_to_a_version_and_for_some() -> None:
    assert jobs(to="1.3.0", tenants=frozenset({"c1"})) == {"c1": ["1.2.0", "1.3.0", "R__views"]}


def test_what_the_ledger_knows_gets_no_job_and_a_changed_repeatable_does() -> None:
    full = had("1.2.0", "1.3.0", "1.4.0", "R__views")
    made = draft(Wish(), FILES, TARGETS, {"c0": full})
    assert (list(made.jobs), made.targets, made.up_to_date) == (["c1"], 2, 1)
    assert jobs({"c0": {**full, "R__views": "old"}, "c1": full}) == {"c0": ["R__views"]}


def test_a_contract_may_come_after_a_later_expansion() -> None:
    known = had("1.2.0", "1.3.0", "1.4.0", "R__views")
    assert jobs({"c0": known, "c1": known}, phases=("contract",)) == {
        "c0": ["1.3.1"],
        "c1": ["1.3.1"],
    }


@pytest.mark.parametrize(
    ("applied", "wish", "said"),
    [
        ({"c0": had("1.2.0", "1.4.0")}, {}, "V1.3.0__what.sql comes before 1.4.0, which c0"),
        ({"c0": {"1.2.0": "other"}}, {}, "V1.2.0__what.sql is not what was applied to c0"),
        ({"c1": had("1.2.0", **{"9.9.9": "x"})}, {}, "c1: 9.9.9 is applied there"),
        ({}, {"to": "7.0.0"}, "the catalogue has no version 7.0.0"),
        ({}, {"tenants": frozenset({"nobody"})}, "nobody: no target is called so"),
    ],
)
def test_what_does_not_fit_is_refused(applied: Any, wish: Any, said: str) -> None:
    with pytest.raises(PlanFault) as caught:
        draft(Wish(**wish), FILES, TARGETS, applied)
    assert said in str(caught.value)


def test_all_faults_are_said_at_once() -> None:
    wrong = {"c0": {"1.2.0": "other", "8.0.0": "x", "9.0.0": "y"}}
    with pytest.raises(PlanFault) as caught:
        draft(Wish(), FILES, TARGETS, wrong)
    assert len(caught.value.faults) == 3


def test_servers_work_beside_one_another() -> None:
    two = (Target("c0", "c0", "one", "", "a"), Target("c1", "c1", "two", "", "a"))
    files: tuple[File, ...] = FILES[:2]
    made = draft(Wish(), files, two, {})
    about = estimate(made, {"1.2.0": 3000.0, "1.3.0": 1000.0}, {"one": 1, "two": 4})
    assert (about.seconds, about.unknown) == (4.0, 0)
    assert estimate(made, {}, {}).seconds is None
    assert estimate(made, {"1.2.0": 1000.0}, {}).unknown == 2
