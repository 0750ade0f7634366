"""The locks that a file's transaction holds: each lasts until it ends. Pure."""

from collections.abc import Iterable, Sequence

from admin.migrations.lint.rule import Held
from admin.migrations.lint.schema import unqualified


class Holding:
    """The strongest lock on each table so far that writes wait for, with the statement that took it."""

    def __init__(self) -> None:
        self._locks: dict[str, Held] = {}

    def take(self, locks: Iterable[Held]) -> None:
        """A statement's locks, once it is done."""
        _add(self._locks, locks)

    def during(self, table: str, own: Sequence[Held]) -> list[Held]:
        """What is held while a part of a statement works on a table.

        own: the locks of all of the statement's parts: ALTER TABLE takes the strongest first.
        """
        found = self._locks.copy()
        _add(found, (each for each in own if unqualified(table) == unqualified(each.table)))
        return list(found.values())


def _add(found: dict[str, Held], locks: Iterable[Held]) -> None:
    """Keep the stronger of two."""
    for each in locks:
        name = unqualified(each.table)
        before = found.get(name)
        stronger = before is None or each.lock.rank > before.lock.rank
        if name and each.lock.blocks_writes and stronger:
            found[name] = each
