"""The report as SARIF 2.1.0, for code scanning. Pure.

Source: OASIS, Static Analysis Results Interchange Format 2.1.0.
"""

from collections.abc import Iterator
from typing import Any

from admin.migrations.lint.model import Compatibility, Finding, Linted, Report
from admin.migrations.lint.rules import NAMES

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LEVELS = {
    Compatibility.BREAKING: "error",
    Compatibility.CONDITIONAL: "warning",
    Compatibility.SAFE: "warning",
}


def sarif(report: Report) -> dict[str, Any]:
    """One run, with the suppressed findings as such."""
    results = [result for each in report.statements for result in _results(each)]
    used = {result["ruleId"] for result in results}
    rules = [*NAMES, *sorted(used - set(NAMES))]
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": {"name": "turnout", "rules": [{"id": rule} for rule in rules]}},
                "results": results,
                "columnKind": "unicodeCodePoints",
            }
        ],
    }


def _results(linted: Linted) -> Iterator[dict[str, Any]]:
    for finding in linted.findings:
        yield _result(linted, finding)
    for each in linted.suppressed:
        yield {
            **_result(linted, each.finding),
            "suppressions": [{"kind": "inSource", "justification": each.allowance.reason}],
        }


def _result(linted: Linted, finding: Finding) -> dict[str, Any]:
    remedy = f"\n\n{finding.remedy}" if finding.remedy else ""
    return {
        "ruleId": finding.rule,
        "level": LEVELS[finding.compatibility],
        "message": {"text": finding.message + remedy},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": linted.file},
                    "region": {
                        "startLine": linted.line,
                        "startColumn": linted.column,
                        "endLine": linted.line + linted.sql.count("\n"),
                    },
                }
            }
        ],
    }
