"""Backfills: what their header says, and when the next batch may run. Pure.

The header's lines:
    -- turnout:batch table=jobs key=id size=1000
    -- turnout:verify SELECT count(*) FROM jobs WHERE quantity_decimal IS NULL
Each statement of the file runs once a batch; $1 and $2 are the first and the last key of it:
    UPDATE jobs SET quantity_decimal = quantity
     WHERE id BETWEEN $1 AND $2 AND quantity_decimal IS NULL;
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from admin.migrations.files import Batch

MAX_SIZE: Final = 1_000_000
_LINE: Final = re.compile(r"--\s*turnout:(batch|verify)\s+(.+?)\s*$")
_PAIR: Final = re.compile(r"(table|key|size)=(\S+)")
_NAME: Final = re.compile(r'[A-Za-z_][A-Za-z0-9_$]*|"[^"\0]+"')
_MUST_BE_0: Final = re.compile(r"\s+must be 0$")


class HeaderFault(ValueError):  # noqa: N818 - the file's, not this program's
    """The header can't be used; the message says why. line: from 1."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line


def header(text: str) -> Batch | None:
    """How the file goes through its table; None: it has no batches. HeaderFault."""
    batch: Batch | None = None
    verify: list[str] = []
    last = 0
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if line and not line.startswith("--"):
            break
        found = _LINE.match(line)
        if found is None:
            continue
        last = number
        if found[1] == "verify":
            verify.append(_MUST_BE_0.sub("", found[2]).rstrip("; "))
        elif batch is not None:
            raise HeaderFault(number, "turnout:batch stands there twice")
        else:
            batch = _batch(number, found[2])
    if batch is None and verify:
        raise HeaderFault(last, "turnout:verify is for a file with turnout:batch")
    return batch and Batch(batch.table, batch.key, batch.size, tuple(verify))


def _batch(number: int, text: str) -> Batch:
    pairs = dict(_PAIR.findall(text))
    if pairs.keys() != {"table", "key", "size"} or len(text.split()) != len(pairs):
        raise HeaderFault(number, "write turnout:batch table=NAME key=COLUMN size=ROWS")
    names = [*pairs["table"].split("."), pairs["key"]]
    if not all(_NAME.fullmatch(name) for name in names) or len(names) > 3:
        raise HeaderFault(number, "table and key are names, the table's with its schema if need be")
    size = pairs["size"]
    if not size.isdecimal() or not 1 <= int(size) <= MAX_SIZE:
        raise HeaderFault(number, f"size lies between 1 and {MAX_SIZE} rows")
    return Batch(pairs["table"], pairs["key"], int(size))


def statement_fault(statements: Sequence[str]) -> str:
    """Why the statements can't run by batches; empty: they can."""
    if not statements:
        return "a backfill by batches has a statement"
    for sql in statements:
        if not re.search(r"\$1\b", sql) or not re.search(r"\$2\b", sql):
            return "each statement of a backfill by batches is bounded by $1 and $2, its keys"
    return ""


@dataclass(frozen=True, slots=True)
class Load:
    """What a server says of itself. lag_s: its furthest replica. active: sessions at work.

    backfills: those at work in all of its databases, this one with them.
    """

    lag_s: float
    active: int
    backfills: int = 1


class Trail:
    """How far behind a replica is at least, by what the primary has heard of it. Pure.

    The lag that PostgreSQL tells is that of the replica's last answer, so one that has fallen silent
    seems as good as it was then.
    """

    def __init__(self) -> None:
        self._written: int | None = None
        self._at_s = 0.0

    def lag_s(self, written: int, replayed: int | None, now_s: float) -> float:
        """written: the log's end. replayed: what the furthest replica has; None: there is none."""
        if self._written is None or replayed is None or replayed >= self._written:
            self._written, self._at_s = written, now_s
        return now_s - self._at_s


def holds_back(load: Load, lag_limit_s: float, active_limit: int) -> str:
    """Why the next batch has to wait; empty: it need not. active_limit: 0, none."""
    if load.lag_s > lag_limit_s:
        return f"a replica lies {load.lag_s:.1f} s behind"
    if active_limit and load.active > active_limit:
        return f"{load.active} sessions are at work"
    return ""


def pause_s(rows: int, rows_per_s: float, took_s: float) -> float:
    """How long to wait after a batch, so that the pace is kept. took_s: what the batch took."""
    return max(0.0, rows / rows_per_s - took_s)
