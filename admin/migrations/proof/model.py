"""What a proof has tried and found. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

LOCK_ORDER: Final = (
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)
"""PostgreSQL's lock modes of relations, weakest first (its documentation of explicit locking, table 13.2)."""


class Severity(StrEnum):
    """error: the old version breaks. warning: it breaks if it does what the schema had allowed."""

    ERROR = "error"
    WARNING = "warning"


class FindingKind(StrEnum):
    """What was found; see docs/migrations.md for each."""

    MIGRATION_FAILS = "migration-fails"
    QUERY_FAILS = "query-fails"
    COLUMN_MISSING = "result-column-missing"
    RESULT_TYPE = "result-type-changed"
    PARAMETER_TYPE = "parameter-type-changed"
    RUN_FAILS = "run-fails"
    NEW_QUERY_FAILS = "new-query-fails"
    COMMAND_FAILS = "command-fails"
    UNDO_FAILS = "undo-fails"
    UNDO_DIFFERS = "undo-differs"
    CONTRACT_BREAKS_NEW = "contract-breaks-new"


@dataclass(frozen=True, slots=True)
class Point:
    """A statement of a migration. key: the migration's. line: from 1, in the file."""

    key: str
    path: str
    line: int
    sql: str


@dataclass(frozen=True, slots=True)
class Lock:
    """A table (or view, index, …) that was locked, and PostgreSQL's name of the strongest mode."""

    relation: str
    mode: str


@dataclass(frozen=True, slots=True)
class Ran:
    """A statement that was run in the clone.

    ms: its duration. locks: the strongest on each relation that was there before the migration.
    rewritten: tables that were written anew. rows: that it wrote; None: it isn't about rows.
    """

    point: Point
    ms: float
    locks: tuple[Lock, ...] = ()
    rewritten: tuple[str, ...] = ()
    rows: int | None = None


@dataclass(frozen=True, slots=True)
class Error:
    """What PostgreSQL said. about: the constraint or column that it names; empty: none."""

    sqlstate: str
    message: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """In what a query behaves otherwise than before. id: the same for the same cause."""

    kind: FindingKind
    id: str
    message: str
    severity: Severity = Severity.ERROR
    error: Error | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that speaks against the migrations.

    query: its text without values; source: where it came from; calls: how often it was seen.
    point: the statement since which it is so. mended_by: the migration after which it isn't any more.
    """

    kind: FindingKind
    severity: Severity
    message: str
    query: str = ""
    source: str = ""
    calls: int = 0
    point: Point | None = None
    error: Error | None = None
    mended_by: str = ""

    def mended(self, key: str) -> "Finding":
        """The same, with who mended it."""
        return replace(self, mended_by=key)


@dataclass(frozen=True, slots=True)
class Apart:
    """A query that says nothing of the migrations, and why."""

    query: str
    source: str
    reason: str


@dataclass(slots=True)
class Counts:
    """How much was tried. trials: writes that worked before, each with its values."""

    given: int = 0
    planned: int = 0
    trials: int = 0
    new: int = 0


@dataclass(frozen=True, slots=True)
class CommandRun:
    """The user's command. exit_code: None: it took too long. output: the end of it."""

    command: str
    exit_code: int | None
    seconds: float
    output: str


@dataclass(frozen=True, slots=True)
class UndoRun:
    """The undo of one migration. equal: whether the schema was as before it."""

    key: str
    path: str
    equal: bool
    ms: float


@dataclass(frozen=True, slots=True)
class ContractRun:
    """A contract that was held back, tried on top of the rest.

    breaks_old: how many of the old version's queries it breaks. breaks_new: of the new version's.
    """

    key: str
    path: str
    requires: str
    breaks_old: int
    breaks_new: int


@dataclass(slots=True)
class Proof:
    """All that a run did. facts: of the source and the clone, without secrets."""

    facts: dict[str, str] = field(default_factory=dict)
    checksums: dict[str, str] = field(default_factory=dict)
    held_back: list[str] = field(default_factory=list)
    ran: list[Ran] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    apart: list[Apart] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    commands: list[CommandRun] = field(default_factory=list)
    undone: list[UndoRun] = field(default_factory=list)
    contracts: list[ContractRun] = field(default_factory=list)
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def is_proven(self, *, strict: bool) -> bool:
        """Whether nothing speaks against it. strict: warnings do."""
        return not any(strict or each.severity is Severity.ERROR for each in self.findings)
