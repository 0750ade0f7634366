"""The checklists of a release, and what of them is missing. Pure.

Rules:
1. An item is automatic, and names its gate, or is signed, and names the role. Of several findings of
   a gate, or signatures of an item, the last one counts.
2. UNMEASURED passes nowhere; NOT_APPLICABLE only for gates of which the settings say so.
3. A refusal stands until the same role approves.
"""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import msgspec

from admin.gates.model import Finding, Outcome
from admin.gates.signoff import Signature, is_role

PARTS: Mapping[str, int] = {
    "infrastructure": 1,
    "pre-deployment": 1,
    "deployment": 2,
    "validation": 3,
    "cutover": 5,
    "post-deployment": 6,
}
"""The parts of the checklist, in their order, and the phase that a release may not leave before."""
PASSING = frozenset({Outcome.PASSED, Outcome.WARNED})
_NAME = re.compile(r"[a-z0-9-]{1,64}")


class Item(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One line of a checklist. gate or role: who says that it is so. phase: by its part, if left out."""

    name: str
    part: str
    text: str
    gate: str = ""
    role: str = ""
    phase: int = 0

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError("`name` is 1 to 64 of a-z, 0-9 and -")
        if self.part not in PARTS:
            raise ValueError(f"`part` is one of {', '.join(PARTS)}")
        if not self.text.strip():
            raise ValueError("`text` says what is so")
        if bool(self.gate) == bool(self.role):
            raise ValueError("`gate` or `role` says who knows it, and not both")
        if self.role and not is_role(self.role):
            raise ValueError("`role` is 1 to 32 of a-z, 0-9 and -")
        if not 0 <= self.phase <= 6:
            raise ValueError("`phase` lies between 1 and 6")

    @property
    def due(self) -> int:
        """The phase, 1 to 6, that a release may not leave without it."""
        return self.phase or PARTS[self.part]


@dataclass(frozen=True, slots=True)
class Checklist:
    """All items, in their order."""

    items: tuple[Item, ...]

    def due(self, phase: int) -> tuple[Item, ...]:
        """What is needed to leave this phase, and was not needed before."""
        return tuple(item for item in self.items if item.due == phase)

    def gates(self, phase: int | None = None) -> list[str]:
        """The gates that it names, once each: of one phase, or of all."""
        items = self.items if phase is None else self.due(phase)
        return list(dict.fromkeys(item.gate for item in items if item.gate))

    def find(self, name: str) -> Item | None:
        """The item of this name."""
        return next((item for item in self.items if item.name == name), None)


@dataclass(frozen=True, slots=True)
class Missing:
    """Something that keeps a release from going on. why: in words."""

    item: str
    part: str
    phase: int
    why: str


def go(
    findings: Iterable[Finding],
    signatures: Iterable[Signature],
    checklist: Checklist,
    *,
    not_applicable: Collection[str] = (),
    phase: int | None = None,
) -> list[Missing]:
    """What is missing; nothing: go.

    findings, signatures: in the order in which they came. not_applicable: the gates for which the
    settings say so. phase: what is due to leave it, and before; None: all.
    """
    measured = {finding.gate: finding for finding in findings}
    signed = {(signature.item, signature.role): signature for signature in signatures}
    missing = []
    for item in checklist.items:
        if phase is not None and item.due > phase:
            continue
        if item.gate:
            why = _unmeasured(item.gate, measured.get(item.gate), not_applicable)
        else:
            why = _unsigned(item.role, signed.get((item.name, item.role)))
        if why:
            missing.append(Missing(item.name, item.part, item.due, why))
    return missing


def _unmeasured(gate: str, finding: Finding | None, not_applicable: Collection[str]) -> str:
    if finding is None:
        return f"{gate} has not been measured"
    if finding.outcome in PASSING:
        return ""
    if finding.outcome is Outcome.NOT_APPLICABLE and gate in not_applicable:
        return ""
    return f"{gate} {finding.outcome}: {finding.detail}"


def _unsigned(role: str, signature: Signature | None) -> str:
    if signature is None:
        return f"{role} has not signed"
    return "" if signature.approve else f"{signature.by} ({role}) refused: {signature.note}"
