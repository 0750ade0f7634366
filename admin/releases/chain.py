"""What makes a change of the trail seen: each row's hash is of the row and of the hash before. Pure.

Source: linked time-stamping (Haber and Stornetta, "How to Time-Stamp a Digital Document", 1991).
It shows that a row was changed, taken out or put in, unless all rows after it were made anew. Whoever
keeps the last hash elsewhere (`turnout audit verify` says it) sees that too.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Final

BEGINNING: Final = "0" * 64
"""What stands before the first row."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the trail. seq: its place, without gaps. body: plain JSON."""

    seq: int
    at: datetime
    release: str
    kind: str
    actor: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Broken:
    """Where the chain does not hold, and why."""

    seq: int
    why: str


def digest(entry: Entry, before: str) -> str:
    """The row's hash: 64 hexadecimal digits. before: the hash of the row before."""
    told = {
        "seq": entry.seq,
        "at": entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
        "release": entry.release,
        "kind": entry.kind,
        "actor": entry.actor,
        "body": entry.body,
        "before": before,
    }
    text = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return sha256(text.encode()).hexdigest()


class Verifier:
    """Goes along the chain. seq, last: the place and hash of the row that was looked at last."""

    def __init__(self) -> None:
        self.seq, self.last = 0, BEGINNING

    def follow(self, rows: Iterable[tuple[Entry, str, str]]) -> Broken | None:
        """The first of these that doesn't follow: rows with the hash before, and their own."""
        for entry, before, own in rows:
            if entry.seq != self.seq + 1:
                return Broken(self.seq + 1, f"the row is missing: {entry.seq} comes next")
            if before != self.last:
                return Broken(entry.seq, "it does not follow the row before")
            if own != digest(entry, before):
                return Broken(entry.seq, "the row is not as it was written")
            self.seq, self.last = entry.seq, own
        return None
