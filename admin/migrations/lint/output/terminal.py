"""The report for people: each statement with something against it, and a summary. Pure.

What is in a file may hold characters that steer a terminal: whoever prints the lines escapes them.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from admin.migrations.lint.model import Compatibility, Cost, Finding, Linted, Report

STYLES = {
    Compatibility.BREAKING: "bold red",
    Compatibility.CONDITIONAL: "yellow",
    Compatibility.SAFE: "cyan",
}
SHOWN_LINES = 8
"""Lines of a statement that are shown."""
_COSTS = {Cost.INSTANT: "for an instant", Cost.SCAN: "for a scan", Cost.REWRITE: "for a rewrite"}


@dataclass(frozen=True, slots=True)
class Line:
    """A line to print. style: rich's; empty: none."""

    text: str
    style: str = ""


def lines(report: Report) -> Iterator[Line]:
    """All lines, in order."""
    for linted in report.statements:
        if linted.findings or linted.suppressed:
            yield from _statement(linted)
            yield Line("")
    for note in report.notes:
        yield Line(f"note: {note}", "dim")
    yield Line(summary(report), "" if report.findings else "green")


def summary(report: Report) -> str:
    """What it comes to, in a line."""
    verdicts = Counter(each.compatibility for each in report.statements)
    counted = ", ".join(f"{verdicts[each]} {each}" for each in Compatibility)
    plural = "" if report.findings == 1 else "s"
    suppressed = f", {report.suppressed} suppressed" if report.suppressed else ""
    beside = f", {report.beside} of squawk's" if report.beside else ""
    said = f"{report.findings} finding{plural}{suppressed}{beside}"
    return f"{len(report.statements)} statements ({counted}): {said}"


def locking(linted: Linted) -> str:
    """The lock in words."""
    if not linted.lock:
        return "locks nothing that was there"
    table = f" on {linted.table}" if linted.table else ""
    size = ""
    if linted.size_bytes is not None:
        size = f" of {linted.size_bytes / 1024 / 1024:,.0f} MiB"
        if linted.estimate_s:
            size += f", about {linted.estimate_s:g} s"
    return f"{linted.lock}{table} {_COSTS[linted.cost]}{size}; blocks {linted.strongest.blocks}"


def _statement(linted: Linted) -> Iterator[Line]:
    place = f"{linted.file}:{linted.line}:{linted.column}"
    yield Line(f"{place}: {linted.compatibility}", STYLES[linted.compatibility])
    sql = linted.sql.splitlines()
    for each in sql[:SHOWN_LINES]:
        yield Line(f"    {each}")
    if len(sql) > SHOWN_LINES:
        yield Line(f"    … {len(sql) - SHOWN_LINES} more lines", "dim")
    yield Line(f"  {locking(linted)}", "dim")
    for finding in linted.findings:
        yield from _finding(finding)
    for passed in linted.suppressed:
        allowance = passed.allowance
        said = f"  ({passed.finding.rule} is allowed in line {allowance.line}: {allowance.reason})"
        yield Line(said, "dim")


def _finding(finding: Finding) -> Iterator[Line]:
    yield Line(f"  {finding.rule}: {finding.message}", STYLES[finding.compatibility])
    for each in finding.remedy.splitlines():
        yield Line(f"    | {each}", "green")
