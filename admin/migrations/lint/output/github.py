"""The report as workflow commands of GitHub Actions, which shows them at their lines. Pure.

Source: GitHub, Workflow commands for GitHub Actions, "Setting an error message".
"""

from collections.abc import Iterator

from admin.migrations.lint.model import Report
from admin.migrations.lint.output.sarif import LEVELS


def github(report: Report) -> Iterator[str]:
    """A line for each finding that isn't suppressed."""
    for linted in report.statements:
        for finding in linted.findings:
            place = f"file={_property(linted.file)},line={linted.line},col={linted.column}"
            text = finding.message + (f"\n{finding.remedy}" if finding.remedy else "")
            level = LEVELS[finding.compatibility]
            yield f"::{level} {place},title={_property(finding.rule)}::{_data(text)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
