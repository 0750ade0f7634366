"""Reads checklists: the one that comes with Turnout, and the user's own on top of it.

[[item]]                       replaces the item of this name, or is added
name = "qa"
part = "validation"
text = "Manual QA complete"
role = "qa-lead"

without = ["documentation"]    at the top of the file: items that are left out
"""

from collections.abc import Collection
from importlib.resources import files
from pathlib import Path

import msgspec

from admin.gates.checklist import PARTS, Checklist, Item
from admin.gates.files import FileFault, read
from config.words import like

SHIPPED = "checklists.toml"


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    item: tuple[Item, ...] = ()
    without: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = [item.name for item in self.item]
        twice = next((name for name in names if names.count(name) > 1), "")
        if twice:
            raise ValueError(f"two items are called {twice}")


def shipped() -> Checklist:
    """The document's checklists."""
    return Checklist(read(files("admin.gates").joinpath(SHIPPED), _File).item)


def load(file: str, known_gates: Collection[str]) -> Checklist:
    """The shipped checklists, with the changes of a file (empty: none). FileFault.

    known_gates: the names that an item may give as its gate.
    """
    base = shipped()
    if not file:
        return _checked(base, "the checklist", known_gates)
    own = read(Path(file), _File)
    names = {item.name for item in base.items}
    for name in own.without:
        if name not in names:
            close = like(name, names)
            hint = f"; did you mean {close}?" if close else ""
            raise FileFault(f"{file}: without: there is no item {name!r}{hint}")
    return _checked(merged(base, own.item, own.without), file, known_gates)


def merged(base: Checklist, items: tuple[Item, ...], without: Collection[str]) -> Checklist:
    """The base without some items, with these in place of those of their names, or added."""
    ours = {item.name: item for item in items}
    kept = [ours.pop(item.name, item) for item in base.items if item.name not in without]
    order = list(PARTS)
    return Checklist(
        tuple(sorted([*kept, *ours.values()], key=lambda item: order.index(item.part)))
    )


def _checked(checklist: Checklist, source: str, known: Collection[str]) -> Checklist:
    for item in checklist.items:
        if item.gate and item.gate not in known:
            close = like(item.gate, known)
            hint = (
                f"; did you mean {close}?" if close else f"; there are {', '.join(sorted(known))}"
            )
            raise FileFault(f"{source}: item {item.name}: no gate is called {item.gate!r}{hint}")
    return checklist
