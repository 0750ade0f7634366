"""What a statement teaches about the schema. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import postgast

from admin.migrations.catalogue.model import Node
from admin.migrations.catalogue.transactions import word
from admin.migrations.lint.action import Action, actions_of
from admin.migrations.lint.attaching import bounds_of
from admin.migrations.lint.learning_keys import learn_keys
from admin.migrations.lint.learning_views import learn_views
from admin.migrations.lint.schema import Check, Column, Schema, Table, unqualified
from admin.migrations.lint.sqltext import Type, expression, name_of, quoted, strings, type_of

_UNNAMED = "?"
"""A primary key whose name PostgreSQL makes up."""
MADE_BY_SERIAL = {"serial": "int4", "bigserial": "int8", "smallserial": "int2"}


def learn(schema: Schema, node: Node) -> None:
    """Take in what a statement makes, changes and drops."""
    take = _BY_STATEMENT.get(node.DESCRIPTOR.name)
    if take:
        take(schema, node)
    learn_keys(schema, node)
    learn_views(schema, node)


def _add(schema: Schema, name: str, table: Table) -> None:
    # What IF NOT EXISTS leaves as it was is not new.
    if unqualified(name) not in schema.tables:
        schema.tables[unqualified(name)] = table
        schema.here.add(unqualified(name))


def _create(schema: Schema, node: Node) -> None:
    table = Table(
        is_partitioned=node.HasField("partspec"),
        is_whole=True,
        method=node.access_method or "heap",
        tablespace=node.tablespacename,
        partitioned_by=_partitioned_by(node),
    )
    for each in node.table_elts:
        if each.HasField("column_def"):
            _take_column(table, each.column_def)
        elif each.HasField("constraint"):
            _constrain(table, each.constraint)
    if table.primary == _UNNAMED:
        table.primary = f"{node.relation.relname}_pkey"
    if node.partbound.is_default:
        for each in node.inh_relations:
            schema.table(name_of(each.range_var)).has_rest = True
    _add(schema, name_of(node.relation), table)


def _partitioned_by(node: Node) -> str:
    """The one column by whose range it is partitioned; empty if it is by something else."""
    parts = node.partspec.part_params
    by_range = word(node.partspec, "strategy") == "PARTITION_STRATEGY_RANGE"
    return str(parts[0].partition_elem.name) if by_range and len(parts) == 1 else ""


def _create_as(schema: Schema, node: Node) -> None:
    _add(schema, name_of(node.into.rel), Table())


def _sequence(schema: Schema, node: Node) -> None:
    if not node.if_not_exists:
        schema.here.add(unqualified(name_of(node.sequence)))


def _view(schema: Schema, node: Node) -> None:
    if not node.replace:
        schema.here.add(unqualified(name_of(node.view)))


def _enum(schema: Schema, node: Node) -> None:
    schema.types_here.add(strings(node.type_name)[-1])


def _composite(schema: Schema, node: Node) -> None:
    schema.types_here.add(node.typevar.relname)


def _domain(schema: Schema, node: Node) -> None:
    name = strings(node.domainname)[-1]
    schema.types_here.add(name)
    schema.domains[name] = type_of(node.type_name)
    if node.constraints:
        schema.constrained_domains.add(name)


def _function(schema: Schema, node: Node) -> None:
    name = strings(node.funcname)[-1]
    if not node.replace and name not in schema.functions:
        schema.functions_here.add(name)
    schema.functions.add(name)


def _index(schema: Schema, node: Node) -> None:
    columns = tuple(each.index_elem.name for each in node.index_params)
    if not node.unique and node.idxname:
        schema.plain_indexes.add(quoted(node.idxname))
    if all(columns):
        schema.indexes[node.idxname] = columns
    if node.unique and len(columns) == 1 and columns[0] and not node.HasField("where_clause"):
        schema.table(name_of(node.relation)).keys.add(columns[0])


def _rename(schema: Schema, node: Node) -> None:
    name = unqualified(name_of(node.relation))
    table = schema.tables.get(name)
    match word(node, "rename_type"):
        case "OBJECT_TABLE" if table:
            schema.tables[quoted(node.newname)] = schema.tables.pop(name)
            if name in schema.here:
                schema.here.add(quoted(node.newname))
        case "OBJECT_COLUMN" if table and node.subname in table.columns:
            table.columns[node.newname] = table.columns.pop(node.subname)


def _drop(schema: Schema, node: Node) -> None:
    if word(node, "remove_type") == "OBJECT_TABLE":
        for action in actions_of(node):
            schema.tables.pop(unqualified(action.table), None)
            schema.here.discard(unqualified(action.table))


def _alter(schema: Schema, node: Node) -> None:
    if word(node, "objtype") != "OBJECT_TABLE":
        return
    for action in actions_of(node):
        table = schema.table(action.table)
        if action.kind == "AT_AddColumn":
            here = schema.columns_here.setdefault(unqualified(action.table), set())
            here.add(action.column)
        take = _BY_PART.get(action.kind)
        if take:
            take(table, action)


def _add_column(table: Table, action: Action) -> None:
    if action.column not in table.columns:
        _take_column(table, action.also)


def _drop_column(table: Table, action: Action) -> None:
    table.columns.pop(action.column, None)


def _retype(table: Table, action: Action) -> None:
    new = type_of(getattr(action.node, "def").column_def.type_name)
    table.columns[action.column] = replace(table.columns.get(action.column, Column(new)), type=new)


def _nullable(table: Table, action: Action) -> None:
    _change(table, action.column, not_null=action.kind == "AT_SetNotNull")


def _default(table: Table, action: Action) -> None:
    _change(table, action.column, has_default=action.node.HasField("def"))


def _change(table: Table, column: str, **changes: Any) -> None:
    """Of a column that is known."""
    if column in table.columns:
        table.columns[column] = replace(table.columns[column], **changes)


def _attach(table: Table, action: Action) -> None:
    if getattr(action.node, "def").partition_cmd.bound.is_default:
        table.has_rest = True


def _moved(table: Table, action: Action) -> None:
    if action.kind == "AT_SetAccessMethod":
        table.method = action.node.name
    else:
        table.tablespace = action.node.name


def _validate(table: Table, action: Action) -> None:
    if action.node.name in table.checks:
        table.checks[action.node.name] = replace(table.checks[action.node.name], is_valid=True)


def _drop_constraint(table: Table, action: Action) -> None:
    table.checks.pop(action.node.name, None)
    if table.primary in {action.node.name, _UNNAMED}:
        table.primary = ""


def _constraint(table: Table, action: Action) -> None:
    _constrain(table, action.also)


_BY_STATEMENT: Mapping[str, Callable[[Schema, Node], None]] = {
    "CreateStmt": _create,
    "CreateTableAsStmt": _create_as,
    "CreateSeqStmt": _sequence,
    "ViewStmt": _view,
    "CreateEnumStmt": _enum,
    "CompositeTypeStmt": _composite,
    "CreateDomainStmt": _domain,
    "CreateFunctionStmt": _function,
    "IndexStmt": _index,
    "RenameStmt": _rename,
    "DropStmt": _drop,
    "AlterTableStmt": _alter,
}
_BY_PART: Mapping[str, Callable[[Table, Action], None]] = {
    "AT_AttachPartition": _attach,
    "AT_AddColumn": _add_column,
    "AT_DropColumn": _drop_column,
    "AT_AlterColumnType": _retype,
    "AT_SetNotNull": _nullable,
    "AT_DropNotNull": _nullable,
    "AT_ColumnDefault": _default,
    "AT_ValidateConstraint": _validate,
    "AT_SetAccessMethod": _moved,
    "AT_SetTableSpace": _moved,
    "AT_DropConstraint": _drop_constraint,
    "AddConstraint:CHECK": _constraint,
    "AddConstraint:NOTNULL": _constraint,
    "AddConstraint:PRIMARY": _constraint,
    "AddConstraint:UNIQUE": _constraint,
    "UsingIndex:PRIMARY": _constraint,
}


def column_of(node: Node) -> Column:
    """What a ColumnDef makes."""
    kinds = {word(each.constraint, "contype") for each in node.constraints}
    made = type_of(node.type_name)
    is_serial = made.name in MADE_BY_SERIAL
    if is_serial:
        made = Type(MADE_BY_SERIAL[made.name])
    automatic = {"CONSTR_DEFAULT", "CONSTR_IDENTITY", "CONSTR_GENERATED"}
    required = {"CONSTR_NOTNULL", "CONSTR_PRIMARY", "CONSTR_IDENTITY"}
    generated = [
        each.constraint.generated_kind
        for each in node.constraints
        if word(each.constraint, "contype") == "CONSTR_GENERATED"
    ]
    return Column(
        made,
        bool(kinds & required) or is_serial,
        bool(kinds & automatic) or is_serial,
        bool(generated) and generated[0] != "s",
    )


def _take_column(table: Table, node: Node) -> None:
    """Take in a column, and what its constraints say."""
    table.columns[node.colname] = column_of(node)
    for each in node.constraints:
        kind = word(each.constraint, "contype")
        if kind in {"CONSTR_PRIMARY", "CONSTR_UNIQUE"}:
            table.keys.add(node.colname)
            if kind == "CONSTR_PRIMARY":
                table.primary = each.constraint.conname or _UNNAMED
        elif kind == "CONSTR_CHECK":
            _constrain(table, each.constraint)


def columns_of(node: Node) -> set[str]:
    """The columns that an expression reads."""
    found = postgast.find_nodes(node, postgast.pg_query_pb2.ColumnRef)
    return {names[-1] for each in found if (names := strings(each.fields))}


def _constrain(table: Table, node: Node) -> None:
    """Take in a constraint of a table."""
    match word(node, "contype"):
        case "CONSTR_CHECK":
            name = node.conname or expression(node.raw_expr)
            found = not_null_column(node.raw_expr)
            read = frozenset(columns_of(node.raw_expr))
            valid = not node.skip_validation
            table.checks[name] = Check(found, valid, read, bounds_of(node.raw_expr))
        case "CONSTR_NOTNULL":
            for key in strings(node.keys):
                name = node.conname or f"{key}_not_null"
                table.checks[name] = Check(key, not node.skip_validation)
                if not node.skip_validation:
                    _change(table, key, not_null=True)
        case "CONSTR_PRIMARY" | "CONSTR_UNIQUE":
            _take_key(table, node)


def _take_key(table: Table, node: Node) -> None:
    """Take in a primary key or a unique constraint."""
    keys = strings(node.keys)
    if len(keys) == 1:
        table.keys.add(keys[0])
    if word(node, "contype") == "CONSTR_PRIMARY":
        table.primary = node.conname or _UNNAMED
        for key in keys:
            _change(table, key, not_null=True)


def not_null_column(node: Node) -> str:
    """The column of `CHECK (column IS NOT NULL)`; empty if it is another check."""
    if not node.HasField("null_test") or word(node.null_test, "nulltesttype") != "IS_NOT_NULL":
        return ""
    return ".".join(strings(node.null_test.arg.column_ref.fields))
