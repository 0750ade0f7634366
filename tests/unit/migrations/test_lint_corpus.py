"""The linter's verdicts are those of the corpus, which a real PostgreSQL has confirmed."""

from functools import cache

import pytest

from admin.migrations.lint.model import Linted, worst
from admin.migrations.lint.run import lint_text
from tests.support.statement_corpus import BASE, Case, cases

SCHEMA = BASE.read_text("utf-8")
WORST = "the statement doesn't say how it was before, so the worst is taken"
OPAQUE = "what runs within is not read"
DIFFERENT = {
    "defaults: the tablespace where it is": ("safe", "AccessExclusiveLock", "rewrite", WORST),
    "types: timestamp to timestamptz": ("breaking", "AccessExclusiveLock", "rewrite", WORST),
    "views_and_code: an event trigger": ("conditional", "", "instant", OPAQUE),
    "views_and_code: DO, which may do anything: it puts a statement together": (
        *("conditional", "", "instant"),
        OPAQUE,
    ),
}
"""Cases of which the linter says something else, with what it says, and why."""


@cache
def judge(case: Case) -> tuple[Linted, ...]:
    return lint_text(case.sql, given=f"{SCHEMA}\n{case.setup}").statements


@pytest.mark.parametrize("case", cases(), ids=str)
def test_verdicts_are_those_of_the_corpus(case: Case):
    judged = judge(case)[-1]
    found = (str(judged.compatibility), judged.lock, str(judged.cost))
    expected = (case.compatibility, case.lock, case.cost)
    if str(case) in DIFFERENT:
        assert found != expected, "it agrees now: take it out of the list"
        expected = DIFFERENT[str(case)][:3]
    assert found == expected


def test_what_differs_is_of_the_corpus():
    assert {str(case) for case in cases()} >= set(DIFFERENT)


@pytest.mark.parametrize("case", cases(), ids=str)
def test_a_lock_that_is_held_for_long_is_found(case: Case):
    judged = judge(case)[-1]
    said = [each.message for each in judged.findings if each.rule == "lock-held-long"]
    assert bool(said) == bool(case.held)
    table, _, lock = case.held.partition(" ")
    assert all(f"{table} ({lock}, line " in each for each in said)


@pytest.mark.parametrize("case", cases(), ids=str)
def test_what_is_not_safe_has_a_finding_that_says_so(case: Case):
    for each in judge(case):
        said = worst(finding.compatibility for finding in each.findings)
        assert said == each.compatibility
