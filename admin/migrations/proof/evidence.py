"""The proof as a document: for `--json`, and for a later gate, which reads it from a file. Pure.

Rule: it holds no value of a row or a log, no URL and no password. A gate that reads it compares the checksums
with the catalogue's own: another file is not what was proven.
"""

from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final

from admin.migrations.proof.model import LOCK_ORDER, Finding, Point, Proof, Ran, Severity

FORMAT: Final = 1


def evidence(proof: Proof, made_at: datetime, *, strict: bool) -> dict[str, Any]:
    """The document. made_at: when the run ended. strict: warnings speak against it too."""
    errors = sum(each.severity is Severity.ERROR for each in proof.findings)
    return {
        "format": FORMAT,
        "proven": proof.is_proven(strict=strict),
        "made_at": made_at.astimezone(UTC).isoformat(timespec="seconds"),
        "clone": proof.facts,
        "migrations": [
            {"path": path, "checksum": checksum, "held_back": path in proof.held_back}
            for path, checksum in proof.checksums.items()
        ],
        "fingerprints": dict(proof.fingerprints),
        "queries": {
            **asdict(proof.counts),
            "apart": [asdict(each) for each in proof.apart],
        },
        "errors": errors,
        "warnings": len(proof.findings) - errors,
        "findings": [_finding(each) for each in proof.findings],
        "statements": [_ran(each) for each in proof.ran],
        "undo": [asdict(each) for each in proof.undone],
        "contracts": [asdict(each) for each in proof.contracts],
        "commands": [asdict(each) for each in proof.commands],
        "notes": proof.notes,
    }


def strongest(ran: Iterable[Ran]) -> str:
    """The strongest lock of all; empty, if there is none."""
    modes = [lock.mode for each in ran for lock in each.locks]
    return max(modes, key=LOCK_ORDER.index, default="")


def _finding(found: Finding) -> dict[str, Any]:
    return {
        "kind": found.kind.value,
        "severity": found.severity.value,
        "message": found.message,
        "query": found.query,
        "source": found.source,
        "calls": found.calls,
        "error": asdict(found.error) if found.error else None,
        "broken_by": _point(found.point) if found.point else None,
        "mended_by": found.mended_by or None,
    }


def _ran(ran: Ran) -> dict[str, Any]:
    return {
        **_point(ran.point),
        "ms": round(ran.ms, 3),
        "lock": ran.locks[0].mode if ran.locks else None,
        "locks": [asdict(each) for each in ran.locks],
        "rewritten": list(ran.rewritten),
        "rows": ran.rows,
    }


def _point(point: Point) -> dict[str, Any]:
    return {"migration": point.key, "path": point.path, "line": point.line, "sql": point.sql}
