"""What a plan keeps of a migration, and what a target has of it. Pure.

A plan keeps enough to run without the folder that it came from: what runs is what was planned.
"""

from dataclasses import dataclass
from typing import Final

import msgspec

REPEATABLE: Final = "repeatable"
BACKFILL: Final = "backfill"


class Statement(msgspec.Struct, frozen=True):
    """One statement as it stands in its file. line, column: from 1."""

    sql: str
    line: int
    column: int = 1


class Batch(msgspec.Struct, frozen=True):
    """How a backfill goes through a table. key: a column that orders it, unique and not null.

    size: rows a batch. verify: queries that each give 0 when all is done.
    """

    table: str
    key: str
    size: int
    verify: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class File:
    """One migration of a plan.

    key: its version, or R__name of a repeatable one: what it is called in ledger and target.
    checksum: SHA-256 of its text. requires: the oldest application version that may run after it.
    transactional: whether all of it is one transaction. runs: whether the plan applies it.
    """

    position: int
    key: str
    version: str | None
    name: str
    kind: str
    phase: str
    requires: str | None
    path: str
    text: str
    checksum: str
    transactional: bool
    runs: bool
    statements: tuple[Statement, ...]
    batch: Batch | None = None

    @property
    def is_repeatable(self) -> bool:
        """Whether it is applied again when its text has changed."""
        return self.kind == REPEATABLE


@dataclass(frozen=True, slots=True)
class Applied:
    """What a target has of one migration, by its own version table. applied_at: ISO 8601."""

    key: str
    version: str | None
    name: str
    kind: str
    phase: str
    requires: str | None
    checksum: str
    plan: str
    fence: int
    applied_at: str
    duration_ms: float


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a target's version table. is_whole: all of the migration is applied.

    steps: how many of its statements are done. step_begun: the next was begun, and may be done.
    position, rows: how far a backfill has come.
    """

    applied: Applied
    is_whole: bool
    steps: int = 0
    step_begun: bool = False
    position: str | None = None
    rows: int = 0
