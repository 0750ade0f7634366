"""A table and its columns, as far as values for them are to be made. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Column:
    """One of them. length: of a varchar. label: an enum's first. values: of rows that are there, as text."""

    name: str
    base: str
    category: str
    not_null: bool
    generated: bool
    length: int | None
    label: str | None
    values: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """A table. keys: the columns that are part of a unique index.

    obstacles: statements that put its foreign keys and triggers out of the way.
    """

    name: str
    columns: Mapping[str, Column]
    keys: frozenset[str]
    obstacles: tuple[str, ...] = ()

    @property
    def order(self) -> Sequence[str]:
        """The columns as they stand."""
        return tuple(self.columns)
