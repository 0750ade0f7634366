"""The report as programs read it."""

import json

from admin.migrations.lint.output.document import document
from admin.migrations.lint.output.github import github
from admin.migrations.lint.output.sarif import sarif
from admin.migrations.lint.output.terminal import lines
from admin.migrations.lint.run import lint_text

SQL = """\
ALTER TABLE jobs DROP COLUMN "50%, a";
-- turnout:allow truncate because it holds nothing
TRUNCATE jobs;
CREATE INDEX i ON jobs (a);
"""
REPORT = lint_text(SQL)


def test_the_document_has_what_the_contract_names():
    found = json.loads(json.dumps(document(REPORT)))
    first, second, third = found["statements"]
    assert {
        key: first[key] for key in ("line", "column", "sql", "compatibility", "lock", "cost")
    } == {
        "line": 1,
        "column": 1,
        "sql": 'ALTER TABLE jobs DROP COLUMN "50%, a"',
        "compatibility": "breaking",
        "lock": "AccessExclusiveLock",
        "cost": "instant",
    }
    assert first["file"].endswith(".sql")
    assert {"rule", "message", "remedy"} <= set(first["findings"][0])
    assert 'DROP COLUMN "50%, a"' in first["findings"][0]["remedy"]
    assert second["findings"] == []
    assert second["suppressed"][0]["reason"] == "it holds nothing"
    assert third["blocks"] == "writes"
    assert (found["findings"], found["suppressed"]) == (3, 1)


def test_sarif_has_a_result_for_each_finding_and_says_which_are_suppressed():
    (run,) = sarif(REPORT)["runs"]
    assert [(each["ruleId"], each["level"]) for each in run["results"]] == [
        ("drop-column", "error"),
        ("truncate", "error"),
        ("index-without-concurrently", "warning"),
        ("lock-held-long", "warning"),
    ]
    suppressions = [each.get("suppressions") for each in run["results"]]
    justified = [{"kind": "inSource", "justification": "it holds nothing"}]
    assert suppressions == [None, justified, None, None]
    assert {each["ruleId"] for each in run["results"]} <= {
        each["id"] for each in run["tool"]["driver"]["rules"]
    }
    region = run["results"][1]["locations"][0]["physicalLocation"]["region"]
    assert region == {"startLine": 3, "startColumn": 1, "endLine": 3}


def test_github_gets_a_line_for_each_finding_with_nothing_that_ends_it():
    first, second, third = github(REPORT)
    assert first.startswith("::error file=V")
    assert ",line=1,col=1,title=drop-column::" in first
    assert '"50%25, a"' in first
    assert "%0A" in first
    assert second.startswith("::warning ")
    assert not [each for each in (first, second, third) if "\n" in each]


def test_people_see_the_remedy_the_lock_and_what_is_allowed():
    text = "\n".join(each.text for each in lines(REPORT))
    assert ":1:1: breaking" in text
    assert '    | -- ALTER TABLE jobs DROP COLUMN "50%, a";' in text
    assert "AccessExclusiveLock on jobs for an instant; blocks reads and writes" in text
    assert "(truncate is allowed in line 2: it holds nothing)" in text
    assert text.endswith(
        "3 statements (1 safe, 0 conditional, 2 breaking): 3 findings, 1 suppressed"
    )
