"""What a statement teaches about indexes and foreign keys. Pure.

A name that PostgreSQL makes up is made up the same way here: table, columns, and `key`, `fkey`, `pkey` or `idx`.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeVar

from admin.migrations.catalogue.model import Node
from admin.migrations.catalogue.transactions import word
from admin.migrations.lint.action import Action, actions_of, constraints_of
from admin.migrations.lint.schema import ForeignKey, Schema, Table, unqualified
from admin.migrations.lint.sqltext import bare, name_of, quoted, strings

Named = TypeVar("Named")
_FINDING = {"btree", "hash"}
"""Kinds of indexes that find a row by a value; of others it is not known."""


def learn_keys(schema: Schema, node: Node) -> None:
    """Take in the indexes and foreign keys that come, change and go. After what else it teaches."""
    take = _BY_STATEMENT.get(node.DESCRIPTOR.name)
    if take:
        take(schema, node)


def _create(schema: Schema, node: Node) -> None:
    name = name_of(node.relation)
    if not schema.is_new(name):
        return  # IF NOT EXISTS left it as it was
    for each in node.table_elts:
        if each.HasField("constraint"):
            _take(schema, name, each.constraint)
        column = each.column_def
        for inline in constraints_of(column):
            _take(schema, name, inline, column.colname)


def _take(schema: Schema, name: str, node: Node, column: str = "") -> None:
    """Take in a constraint. column: the one that it stands at."""
    table = schema.table(name)
    match word(node, "contype"):
        case "CONSTR_PRIMARY" | "CONSTR_UNIQUE":
            columns = tuple(strings(node.keys)) or (column,)
            if node.indexname:
                columns = schema.indexes.get(node.indexname, ())
                table.indexes.pop(node.indexname, None)
            _take_key(table, bare(name), node, columns)
        case "CONSTR_FOREIGN" if node.is_enforced:
            columns = tuple(strings(node.fk_attrs)) or (column,)
            made = "_".join([bare(name), *columns, "fkey"])
            table.foreign_keys[node.conname or made] = ForeignKey(
                columns,
                unqualified(name_of(node.pktable)),
                tuple(strings(node.pk_attrs)),
                node.fk_del_action or "a",
                node.fk_upd_action or "a",
                not node.skip_validation,
            )


def _take_key(table: Table, name: str, node: Node, columns: tuple[str, ...]) -> None:
    primary = word(node, "contype") == "CONSTR_PRIMARY"
    if primary:
        table.primary_key = columns
    if columns:
        made = f"{name}_pkey" if primary else "_".join([name, *columns, "key"])
        table.indexes[node.conname or node.indexname or made] = columns


def _index(schema: Schema, node: Node) -> None:
    columns = tuple(each.index_elem.name for each in node.index_params)
    if node.access_method not in _FINDING or not _has_all(node, columns):
        columns = ("", *columns)
    name = name_of(node.relation)
    made = "_".join([bare(name), *(each or "expr" for each in columns), "idx"])
    schema.table(name).indexes[node.idxname or made] = columns


def _has_all(node: Node, columns: tuple[str, ...]) -> bool:
    """Whether each row is in it that a value of its first column could be looked for in."""
    if not node.HasField("where_clause"):
        return True
    test = node.where_clause.null_test
    kept = strings(test.arg.column_ref.fields)[-1:]
    return word(test, "nulltesttype") == "IS_NOT_NULL" and kept == list(columns[:1])


def _alter(schema: Schema, node: Node) -> None:
    if word(node, "objtype") != "OBJECT_TABLE":
        return
    for action in actions_of(node):
        table = schema.table(action.table)
        match action.kind.partition(":")[0]:
            case "AddConstraint" | "UsingIndex":
                _take(schema, action.table, action.also)
            case "NewColumn":
                _take(schema, action.table, action.also, action.column)
            case "AT_DropColumn":
                _without_column(table, action.column)
            case "AT_DropConstraint":
                table.foreign_keys.pop(action.node.name, None)
                table.indexes.pop(action.node.name, None)
            case "AT_ValidateConstraint" if action.node.name in table.foreign_keys:
                key = table.foreign_keys[action.node.name]
                table.foreign_keys[action.node.name] = replace(key, is_valid=True)
            case "AT_AlterConstraint":
                _no_longer_enforced(table, action)


def _no_longer_enforced(table: Table, action: Action) -> None:
    change = getattr(action.node, "def").atalter_constraint
    if change.alter_enforceability and not change.is_enforced:
        table.foreign_keys.pop(change.conname, None)


def _without_column(table: Table, column: str) -> None:
    """What PostgreSQL drops with it."""
    table.indexes = {name: each for name, each in table.indexes.items() if column not in each}
    table.foreign_keys = {
        name: each for name, each in table.foreign_keys.items() if column not in each.columns
    }


def _drop(schema: Schema, node: Node) -> None:
    kind = word(node, "remove_type")
    for action in actions_of(node):
        name = unqualified(action.table)
        for table in schema.tables.values():
            if kind == "OBJECT_INDEX":
                table.indexes.pop(bare(name), None)
            elif kind == "OBJECT_TABLE":
                left = {k: each for k, each in table.foreign_keys.items() if each.parent != name}
                table.foreign_keys = left


def _rename(schema: Schema, node: Node) -> None:
    table, new = unqualified(name_of(node.relation)), node.newname
    match word(node, "rename_type"):
        case "OBJECT_TABLE":
            _change_keys(schema, lambda _, key: _of_parent(key, table, quoted(new)))
        case "OBJECT_COLUMN":
            _rename_column(schema, table, node.subname, new)
        case "OBJECT_TABCONSTRAINT":
            _rename_key(schema.table(table).foreign_keys, node.subname, new)
            _rename_key(schema.table(table).indexes, node.subname, new)
        case "OBJECT_INDEX":
            for each in schema.tables.values():
                _rename_key(each.indexes, bare(table), new)


def _rename_key(named: dict[str, Named], old: str, new: str) -> None:
    if old in named:
        named[new] = named.pop(old)


def _rename_column(schema: Schema, table: str, old: str, new: str) -> None:
    found = schema.table(table)
    found.indexes = {name: _with(each, old, new) for name, each in found.indexes.items()}
    found.primary_key = _with(found.primary_key, old, new)

    def renamed(name: str, key: ForeignKey) -> ForeignKey:
        own = key.columns if name != table else _with(key.columns, old, new)
        others = key.parent_columns
        if key.parent == table:
            others = _with(others, old, new)
        return replace(key, columns=own, parent_columns=others)

    _change_keys(schema, renamed)


def _change_keys(schema: Schema, change: Callable[[str, ForeignKey], ForeignKey]) -> None:
    for name, table in schema.tables.items():
        table.foreign_keys = {k: change(name, key) for k, key in table.foreign_keys.items()}


def _of_parent(key: ForeignKey, old: str, new: str) -> ForeignKey:
    return replace(key, parent=new) if key.parent == old else key


def _with(columns: tuple[str, ...], old: str, new: str) -> tuple[str, ...]:
    return tuple(new if each == old else each for each in columns)


_BY_STATEMENT: Mapping[str, Callable[[Schema, Node], None]] = {
    "CreateStmt": _create,
    "IndexStmt": _index,
    "AlterTableStmt": _alter,
    "DropStmt": _drop,
    "RenameStmt": _rename,
}
