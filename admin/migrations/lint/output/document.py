"""The report as one JSON document. Pure."""

from typing import Any

from admin.migrations.lint.model import Finding, Linted, Report


def document(report: Report) -> dict[str, Any]:
    """All of it; keys may be added, and none is taken away."""
    return {
        "statements": [_statement(each) for each in report.statements],
        "findings": report.findings,
        "suppressed": report.suppressed,
        "notes": list(report.notes),
    }


def _statement(linted: Linted) -> dict[str, Any]:
    return {
        "file": linted.file,
        "line": linted.line,
        "column": linted.column,
        "sql": linted.sql,
        "compatibility": str(linted.compatibility),
        "lock": linted.lock,
        "cost": str(linted.cost),
        "findings": [_finding(each) for each in linted.findings],
        "suppressed": [
            {**_finding(each.finding), "reason": each.allowance.reason, "line": each.allowance.line}
            for each in linted.suppressed
        ],
        "blocks": linted.strongest.blocks,
        "table": linted.table,
        "size_bytes": linted.size_bytes,
        "estimate_s": linted.estimate_s,
    }


def _finding(finding: Finding) -> dict[str, str]:
    return {
        "rule": finding.rule,
        "message": finding.message,
        "remedy": finding.remedy,
        "compatibility": str(finding.compatibility),
    }
