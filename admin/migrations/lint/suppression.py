"""Findings that a comment above the statement lets pass: `-- turnout:allow RULE because REASON`. Pure."""

from collections.abc import Sequence

from admin.migrations.catalogue.model import Allowance, Statement
from admin.migrations.lint.model import Finding, Suppressed
from admin.migrations.lint.rules import NAMES

SQUAWK = "squawk-"
"""How a rule of squawk's is named in an allowance; a slash isn't part of a name there."""


def suppress(
    statement: Statement,
    findings: Sequence[Finding],
    said: Sequence[Finding],
    *,
    squawked: bool,
) -> tuple[tuple[Finding, ...], tuple[Suppressed, ...]]:
    """What stands, and what is let pass. An allowance that does nothing is a finding itself.

    said: with the findings that the versions in use have settled: an allowance for one is not
    in vain, for it stands in the file for all who lint it. squawked: whether squawk was asked.
    """
    allowances = {each.rule: each for each in statement.allowances}
    kept = [each for each in findings if _word(each.rule) not in allowances]
    suppressed = [
        Suppressed(each, allowances[_word(each.rule)])
        for each in findings
        if _word(each.rule) in allowances
    ]
    words = {_word(each.rule) for each in said}
    kept += [
        _in_vain(each)
        for each in statement.allowances
        if each.rule not in words and (squawked or not each.rule.startswith(SQUAWK))
    ]
    return tuple(kept), tuple(suppressed)


def _word(rule: str) -> str:
    return rule.replace("/", "-")


def _in_vain(allowance: Allowance) -> Finding:
    """What is said of an allowance that lets nothing pass."""
    if allowance.rule not in NAMES and not allowance.rule.startswith(SQUAWK):
        return Finding(
            "unknown-allowance",
            f"line {allowance.line} allows {allowance.rule}, which is no rule: see docs/lint",
        )
    return Finding(
        "unused-allowance",
        f"line {allowance.line} allows {allowance.rule}, which has nothing against this: take it out",
    )
