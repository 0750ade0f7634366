"""What the statements so far have made: tables with their columns. Pure.

It knows what the earlier statements say (`learning.py`), and what a database says (`database.py`), and
nothing else: an unknown column is unknown, and the rules say so.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from admin.migrations.lint.sqltext import Type


@dataclass(frozen=True, slots=True)
class Column:
    """A column, as far as it is known."""

    type: Type
    not_null: bool = False
    has_default: bool = False
    is_virtual: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """A CHECK or NOT NULL constraint. not_null: the column that it says is not null, if it does.

    columns: those that it reads. bounds: what it says of single columns, all of which holds:
    `("day", ">=", "2026-01-01")`.
    """

    not_null: str
    is_valid: bool
    columns: frozenset[str] = frozenset()
    bounds: frozenset[tuple[str, str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Of a table's columns to a parent, whose name has no schema.

    parent_columns: empty: those of its primary key. on_delete, on_update: as in pg_constraint (`a`:
    no action, `c`: cascade, …).
    """

    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...] = ()
    on_delete: str = "a"
    on_update: str = "a"
    is_valid: bool = True


@dataclass(slots=True)
class Table:
    """A table, as far as it is known. checks: CHECK and NOT NULL constraints by their names.

    keys: the columns that are unique by themselves. primary: the primary key's name, and
    primary_key its columns. is_whole: all of the table is known. has_rest: it has a default
    partition, for rows that no other takes. indexes: the columns all indexes by name; the first is
    empty if rows aren't found by it. foreign_keys: to other tables, by name. method: how its rows are
    stored (`heap`). partitioned_by: the one column by whose range its rows are spread.
    """

    columns: dict[str, Column] = field(default_factory=dict)
    checks: dict[str, Check] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)
    is_partitioned: bool = False
    has_rest: bool = False
    primary: str = ""
    primary_key: tuple[str, ...] = ()
    is_whole: bool = False
    indexes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    foreign_keys: dict[str, ForeignKey] = field(default_factory=dict)
    method: str = ""
    tablespace: str = ""
    partitioned_by: str = ""

    def copy(self) -> "Table":
        """One of its own, to learn otherwise."""
        return replace(
            self,
            columns=self.columns.copy(),
            checks=self.checks.copy(),
            keys=self.keys.copy(),
            indexes=self.indexes.copy(),
            foreign_keys=self.foreign_keys.copy(),
        )

    def finds_by(self, columns: tuple[str, ...]) -> bool:
        """Whether an index finds the rows that have certain values there."""
        return any(index[0] in columns for index in self.indexes.values())


View = Mapping[str, Type | None]
"""A view's columns in their order. None: its type isn't known."""


class Schema:
    """The tables by name. …_here: what this file has created itself."""

    def __init__(self) -> None:
        self.tables: dict[str, Table] = {}
        self.here: set[str] = set()
        self.types_here: set[str] = set()
        self.functions_here: set[str] = set()
        self.columns_here: dict[str, set[str]] = {}
        self.constrained_domains: set[str] = set()
        self.domains: dict[str, Type] = {}
        self.functions: set[str] = set()
        self.indexes: dict[str, tuple[str, ...]] = {}
        self.plain_indexes: set[str] = set()
        self.views: dict[str, View] = {}
        self.views_gone_here: dict[str, View | None] = {}

    def copy(self) -> "Schema":
        """One of its own, to learn otherwise, with nothing that was created here."""
        found = Schema()
        found.tables = {name: each.copy() for name, each in self.tables.items()}
        found.constrained_domains = self.constrained_domains.copy()
        found.domains = self.domains.copy()
        found.functions = self.functions.copy()
        found.indexes = self.indexes.copy()
        found.plain_indexes = self.plain_indexes.copy()
        found.views = self.views.copy()
        return found

    def next_file(self) -> None:
        """What was created is there for all from now on."""
        self.here.clear()
        self.types_here.clear()
        self.functions_here.clear()
        self.columns_here.clear()
        self.views_gone_here.clear()

    def is_new(self, table: str) -> bool:
        """Whether this file has created it, so nobody knows it yet."""
        return bool(table) and unqualified(table) in self.here

    def new_columns(self, table: str) -> set[str]:
        """The columns that this file has added, which an older version doesn't know."""
        return self.columns_here.get(unqualified(table), set())

    def column(self, table: str, column: str) -> Column | None:
        """The column, if it is known."""
        found = self.tables.get(unqualified(table))
        return found.columns.get(column) if found else None

    def table(self, name: str) -> Table:
        """What is known of a table, to be added to."""
        return self.tables.setdefault(unqualified(name), Table())

    def referring(self, parent: str) -> list[tuple[str, ForeignKey]]:
        """The foreign keys to a table, each with the name of the table that has it."""
        wanted = unqualified(parent)
        return [
            (name, key)
            for name, table in self.tables.items()
            for key in table.foreign_keys.values()
            if key.parent == wanted
        ]

    def checks_of(self, table: str) -> dict[str, Check]:
        """What is known of a table's CHECK and NOT NULL constraints, by name."""
        found = self.tables.get(unqualified(table))
        return found.checks if found else {}

    def is_plain_index(self, name: str) -> bool:
        """Whether an index is known, and isn't unique."""
        return unqualified(name) in self.plain_indexes

    def is_valid(self, table: str, constraint: str) -> bool:
        """Whether a constraint is known to hold for all rows."""
        found = self.tables.get(unqualified(table), Table())
        known = found.checks.get(constraint) or found.foreign_keys.get(constraint)
        return bool(known and known.is_valid)

    def is_checked(self, table: str, column: str) -> bool:
        """Whether a constraint reads the column, and is looked at again when its type changes."""
        return any(column in each.columns for each in self.checks_of(table).values())

    def is_virtual(self, table: str, column: str) -> bool:
        """Whether the column is known to be generated when it is read."""
        known = self.column(table, column)
        return bool(known and known.is_virtual)

    def holds_not_null(self, table: str, column: str) -> bool:
        """Whether a valid constraint already says that the column is not null."""
        known = self.column(table, column)
        checks = self.checks_of(table).values() if column else ()
        return bool(known and known.not_null) or any(
            each.not_null == column and each.is_valid for each in checks
        )

    def promises_not_null(self, table: str, column: str) -> bool:
        """The same, whether the rows of old were looked at or not."""
        checks = self.checks_of(table).values()
        said = any(each.not_null == column for each in checks)
        return said or self.holds_not_null(table, column)


def unqualified(name: str) -> str:
    """Without its schema: migrations are written for whichever schema is the tenant's."""
    return name.rpartition(".")[2]
