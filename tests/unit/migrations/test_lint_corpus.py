"""The linter's verdicts are those of the corpus, which a real PostgreSQL has confirmed."""

import pytest

from admin.migrations.lint.run import lint_text
from tests.support.migration_corpus import BASE, Case, cases

SCHEMA = BASE.read_text("utf-8")


@pytest.mark.parametrize("case", cases(), ids=str)
def test_verdicts_are_those_of_the_corpus(case: Case):
    judged = lint_text(case.sql, given=f"{SCHEMA}\n{case.setup}").statements[-1]
    found = (str(judged.compatibility), judged.lock, str(judged.cost))
    assert found == (case.compatibility, case.lock, case.cost)


@pytest.mark.parametrize(
    "case", [each for each in cases() if each.compatibility != "safe"], ids=str
)
def test_what_is_not_safe_has_a_finding(case: Case):
    judged = lint_text(case.sql, given=f"{SCHEMA}\n{case.setup}").statements[-1]
    assert case.compatibility in {str(each.compatibility) for each in judged.findings}
