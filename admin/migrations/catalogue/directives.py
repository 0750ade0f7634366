"""The comments that say something to Turnout: `-- turnout:phase contract`. Pure.

In a file's header, before its first statement: `phase expand|backfill|contract`, `requires app >= 1.3.0`,
`transaction on|off`, and what a backfill says (`batch`, `verify`). Directly above a statement:
`allow RULE because REASON`.
"""

import re
from dataclasses import dataclass

from admin.migrations.catalogue.model import Allowance, Phase
from admin.migrations.version import Version, VersionError

HEADER = ("phase", "requires", "transaction", "batch", "verify")
OFTEN = frozenset({"verify"})
"""Those that may be said more than once."""
_COMMENT = re.compile(r"--[ \t]*turnout:[ \t]*(\S*)[ \t]*(.*?)[ \t]*", re.ASCII)
_REQUIRES = re.compile(r"app[ \t]*>=[ \t]*(\S+)", re.ASCII)
_ALLOW = re.compile(r"([a-z0-9-]+)[ \t]+because[ \t]+(\S.*)")


class DirectiveError(ValueError):
    """A directive that says nothing that is understood; says what would be."""


@dataclass(frozen=True, slots=True)
class Directive:
    """One of them. line: where it stands, from 1."""

    name: str
    value: str
    line: int


def directive(comment: str, line: int) -> Directive | None:
    """What a comment says to Turnout; None: nothing. line: where it stands, from 1."""
    found = _COMMENT.fullmatch(comment)
    return Directive(found[1], found[2], line) if found else None


def phase_of(given: Directive) -> Phase:
    """What `phase` says. DirectiveError."""
    if given.value not in tuple(Phase):
        raise DirectiveError(f"turnout:phase is one of {', '.join(Phase)}")
    return Phase(given.value)


def required_by(given: Directive) -> Version:
    """What `requires` says. DirectiveError."""
    found = _REQUIRES.fullmatch(given.value)
    if found is None:
        raise DirectiveError("write it as: turnout:requires app >= 1.3.0")
    try:
        return Version.parse(found[1])
    except VersionError as error:
        raise DirectiveError(str(error)) from None


def is_transaction(given: Directive) -> bool:
    """What `transaction` says. DirectiveError."""
    if given.value not in {"on", "off"}:
        raise DirectiveError("turnout:transaction is on or off")
    return given.value == "on"


def allowance_of(given: Directive) -> Allowance:
    """What `allow` says. DirectiveError: above all without a reason."""
    found = _ALLOW.fullmatch(given.value)
    if found is None:
        raise DirectiveError("write it as: turnout:allow RULE because REASON")
    return Allowance(found[1], found[2], given.line)
