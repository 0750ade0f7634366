"""The checklists of a release: their items, and how plans name those that they take. Pure.

Rule: an item is automatic, and names its gate, or is signed, and names the role. What of them a
release lacks is said by `admin.releases.go`.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import msgspec

from admin.gates.signoff import is_role

PARTS: Mapping[str, int] = {
    "infrastructure": 1,
    "pre-deployment": 1,
    "deployment": 2,
    "validation": 3,
    "cutover": 5,
    "post-deployment": 6,
}
"""The parts of the checklist, in their order, and the phase that a release may not leave before."""
ALL = "*"
"""What stands for all items, where a plan names those that it takes."""
BUT = "-"
"""What stands before an item or part that it doesn't take after all."""
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
        if self.name in PARTS or self.name.startswith(BUT):
            raise ValueError("`name` is no part's, and begins with no -")
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


class NoItemError(Exception):
    """There is no item or part of this name. name: as it was asked for."""

    def __init__(self, name: str) -> None:
        super().__init__(f"there is no item or part {name!r}")
        self.name = name


@dataclass(frozen=True, slots=True)
class Checklist:
    """All items, in their order."""

    items: tuple[Item, ...]

    def due(self, phase: int) -> tuple[Item, ...]:
        """What is needed to leave this phase, and was not needed before."""
        return tuple(item for item in self.items if item.due == phase)

    def taken(self, names: Iterable[str]) -> tuple[Item, ...]:
        """The items that a plan takes, in the checklist's order. NoItemError.

        names: `*` for all, a part, an item; `-` before it: not these. The last word counts.
        """
        taken: set[str] = set()
        for name in names:
            out = name.startswith(BUT)
            meant = {item.name for item in self.items if _is_meant(item, name.removeprefix(BUT))}
            if not meant and name.removeprefix(BUT) not in {ALL, *PARTS}:
                raise NoItemError(name)
            taken = taken - meant if out else taken | meant
        return tuple(item for item in self.items if item.name in taken)

    def gates(self, phase: int | None = None) -> list[str]:
        """The gates that it names, once each: of one phase, or of all."""
        items = self.items if phase is None else self.due(phase)
        return list(dict.fromkeys(item.gate for item in items if item.gate))

    def find(self, name: str) -> Item | None:
        """The item of this name."""
        return next((item for item in self.items if item.name == name), None)


def _is_meant(item: Item, name: str) -> bool:
    return name in {ALL, item.part, item.name}
