"""A migration, its statements, and all of them in order. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from admin.migrations.version import Version

Node = Any
"""A node of PostgreSQL's parse tree, as a message of `postgast.pg_query_pb2`, whose fields it has."""


class Kind(StrEnum):
    """What a file is, by the letter that its name begins with (Flyway's: V, R and U)."""

    VERSIONED = "versioned"
    REPEATABLE = "repeatable"
    UNDO = "undo"


class Phase(StrEnum):
    """When a migration may run, seen from the application versions that are deployed.

    expand: before the version that needs it, beside those that don't. backfill: data moves, while
    either may run. contract: once nobody runs, or goes back to, a version that needs what it takes.
    """

    EXPAND = "expand"
    BACKFILL = "backfill"
    CONTRACT = "contract"


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a file can't be taken. line, column: from 1, of characters."""

    file: str
    line: int
    column: int
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


class CatalogueError(Exception):
    """The folder can't be used. faults: all that were found, by file and line."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(str(fault) for fault in faults))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class Allowance:
    """A lint rule that a comment above a statement lets pass, and why. line: of the comment."""

    rule: str
    reason: str
    line: int


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement as it stands in its file, without the semicolon.

    line, column: where it begins, from 1, of characters. node: of PostgreSQL's raw parse tree, the
    statement's own (`pg_query.AlterTableStmt`, …).
    """

    sql: str
    line: int
    column: int
    node: Node
    allowances: tuple[Allowance, ...] = ()


@dataclass(frozen=True, slots=True)
class Migration:
    """One file.

    version: None if repeatable. name: the words of the file's name. path: the file, as it was found.
    checksum: SHA-256 of the text with line feeds alone, hexadecimal. requires: the oldest
    application version that may run once this is applied; None: any. transactional: whether all
    of it can be one transaction. directives: the header's other words, by their name.
    """

    kind: Kind
    version: Version | None
    name: str
    phase: Phase
    path: str
    text: str
    checksum: str
    statements: tuple[Statement, ...]
    requires: Version | None
    transactional: bool
    directives: Mapping[str, str]

    @property
    def key(self) -> str:
        """What it is called in a ledger: its version, or `R__name`."""
        return f"R__{self.name}" if self.version is None else str(self.version)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All migrations: the versioned by version, then the repeatable by name, then the undos."""

    migrations: tuple[Migration, ...]

    @property
    def versioned(self) -> tuple[Migration, ...]:
        """Those that are applied once, oldest version first."""
        return tuple(self._of(Kind.VERSIONED))

    @property
    def repeatable(self) -> tuple[Migration, ...]:
        """Those that are applied whenever their text has changed, by name."""
        return tuple(self._of(Kind.REPEATABLE))

    @property
    def last(self) -> Version | None:
        """The newest version; None if there is none."""
        return max((each.version for each in self.versioned if each.version), default=None)

    def undo_of(self, version: Version) -> Migration | None:
        """What takes a version back, if there is something."""
        return next((each for each in self._of(Kind.UNDO) if each.version == version), None)

    def between(self, after: Version | None, to: Version) -> tuple[Migration, ...]:
        """The versioned ones above `after` (None: from the first), up to and with `to`."""
        return tuple(
            each
            for each in self.versioned
            if each.version is not None
            and (after is None or each.version > after)
            and each.version <= to
        )

    def _of(self, kind: Kind) -> Iterator[Migration]:
        return (each for each in self.migrations if each.kind is kind)
