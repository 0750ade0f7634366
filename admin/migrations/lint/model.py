"""Verdicts on statements: two axes, and findings with what to do instead. Pure."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum, StrEnum

from admin.migrations.catalogue.model import Allowance


class Compatibility(StrEnum):
    """What a statement means for a version of the application that may be rolled back to.

    safe: it goes on as before. conditional: it does if what the finding says is so. breaking: it
    fails, or gets or leaves wrong data.
    """

    SAFE = "safe"
    CONDITIONAL = "conditional"
    BREAKING = "breaking"


class Cost(StrEnum):
    """How long the lock is held: a moment, as long as a scan of the table, or a rewrite of it."""

    INSTANT = "instant"
    SCAN = "scan"
    REWRITE = "rewrite"


class Lock(Enum):
    """PostgreSQL's table locks from the weakest, by their name in `pg_locks`, and what each blocks.

    Source: PostgreSQL 18, chapter 13.3.1, table 13.2.
    """

    NONE = ("", "nobody")
    ACCESS_SHARE = ("AccessShareLock", "only what takes an ACCESS EXCLUSIVE lock")
    ROW_SHARE = ("RowShareLock", "other changes of the schema")
    ROW_EXCLUSIVE = ("RowExclusiveLock", "other changes of the schema; rows that both write")
    SHARE_UPDATE_EXCLUSIVE = (
        "ShareUpdateExclusiveLock",
        "other changes of the schema, VACUUM; neither reads nor writes",
    )
    SHARE = ("ShareLock", "writes")
    SHARE_ROW_EXCLUSIVE = ("ShareRowExclusiveLock", "writes")
    EXCLUSIVE = ("ExclusiveLock", "writes, and SELECT … FOR UPDATE")
    ACCESS_EXCLUSIVE = ("AccessExclusiveLock", "reads and writes")

    @property
    def mode(self) -> str:
        """Its name in `pg_locks`; empty if there is none."""
        return self.value[0]

    @property
    def blocks(self) -> str:
        """Whom it makes wait, in words."""
        return self.value[1]

    @property
    def rank(self) -> int:
        """Its place from the weakest."""
        return _RANKS[self]

    @property
    def blocks_writes(self) -> bool:
        """Whether INSERT, UPDATE and DELETE wait for it."""
        return self.rank >= Lock.SHARE.rank


_RANKS = {lock: rank for rank, lock in enumerate(Lock)}


@dataclass(frozen=True, slots=True)
class Locking:
    """The lock on the altered table, and for how long."""

    lock: Lock = Lock.NONE
    cost: Cost = Cost.INSTANT


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a rule says of one action. remedy: SQL to start from; empty if there is none."""

    compatibility: Compatibility
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule has against a statement. compatibility: what it alone would make of it."""

    rule: str
    message: str
    remedy: str = ""
    compatibility: Compatibility = Compatibility.SAFE

    @property
    def is_beside(self) -> bool:
        """Whether it is squawk's."""
        return self.rule.startswith("squawk/")


@dataclass(frozen=True, slots=True)
class Suppressed:
    """A finding that a comment lets pass."""

    finding: Finding
    allowance: Allowance


@dataclass(frozen=True, slots=True)
class Linted:
    """A statement with its verdicts.

    line, column: from 1, of characters. compatibility, lock and cost stand whatever is suppressed.
    table: the one that is locked, as it is written; its size if it is known. estimate_s: for how
    long the lock may be held, in seconds; None: the size isn't known.
    """

    file: str
    line: int
    column: int
    sql: str
    compatibility: Compatibility
    strongest: Lock
    cost: Cost
    findings: tuple[Finding, ...]
    suppressed: tuple[Suppressed, ...] = ()
    table: str = ""
    size_bytes: int | None = None
    estimate_s: float | None = None

    @property
    def lock(self) -> str:
        """The lock's name in `pg_locks`."""
        return self.strongest.mode


@dataclass(frozen=True, slots=True)
class Report:
    """All statements, in order. notes: what couldn't be looked at, and why."""

    statements: tuple[Linted, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def findings(self) -> int:
        """How many of ours aren't suppressed."""
        return self._count(lambda finding: not finding.is_beside)

    @property
    def beside(self) -> int:
        """How many of squawk's aren't: a second opinion, which is shown and doesn't count."""
        return self._count(lambda finding: finding.is_beside)

    @property
    def suppressed(self) -> int:
        """How many are."""
        return sum(len(each.suppressed) for each in self.statements)

    def _count(self, counts: Callable[[Finding], bool]) -> int:
        return sum(map(counts, (each for one in self.statements for each in one.findings)))


def worst(found: Iterable[Compatibility]) -> Compatibility:
    """The gravest of them; safe without one."""
    order = list(Compatibility)
    return max(found, key=order.index, default=Compatibility.SAFE)


def longest(found: Iterable[Cost]) -> Cost:
    """The longest of them; instant without one."""
    order = list(Cost)
    return max(found, key=order.index, default=Cost.INSTANT)
