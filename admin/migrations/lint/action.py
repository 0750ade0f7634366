"""A statement taken apart: one action for each thing that it does. Pure.

A kind is a word that the rules and the table of locks go by: `AT_DropColumn` for a part of ALTER TABLE,
`Drop:OBJECT_TABLE`, `Rename:OBJECT_COLUMN`, `AddConstraint:UNIQUE`, `Index`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import postgast

from admin.migrations.catalogue.model import Node
from admin.migrations.catalogue.transactions import word
from admin.migrations.lint.blocks import block_of
from admin.migrations.lint.sqltext import name_of, object_name, quoted, strings

_BY_OBJECT = {
    "DropStmt": ("Drop", "remove_type"),
    "RenameStmt": ("Rename", "rename_type"),
    "AlterObjectSchemaStmt": ("SetSchema", "object_type"),
    "AlterOwnerStmt": ("Owner", "object_type"),
    "ReindexStmt": ("Reindex", "kind"),
    "DefineStmt": ("Define", "kind"),
}
_QUERIES = {"ViewStmt", "CreateTableAsStmt"}
_WITH_OTHERS = {"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"}
_ON_A_TABLE = {"OBJECT_TRIGGER", "OBJECT_POLICY", "OBJECT_RULE"}
_RELATION_FIELDS = ("relation", "table", "view", "sequence", "typevar")


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that a statement does.

    table: the relation that it is done to, with its schema, as SQL; empty if there is none, or it
    isn't one. node: of the part itself, where the statement has parts (AlterTableCmd), else of
    the statement. also: the further node of a constraint (Constraint), or what the kind says.
    column: a column's name.
    """

    kind: str
    table: str
    node: Node
    also: Node = None
    column: str = ""


def actions_of(node: Node) -> list[Action]:
    """What a statement does, in order; one action at least."""
    name = node.DESCRIPTOR.name
    if name == "AlterTableStmt":
        return [each for command in node.cmds for each in _parts(node, command.alter_table_cmd)]
    return [*_made(node), *_read(node)] if name in _QUERIES else _others(node)


def _others(node: Node) -> list[Action]:
    """What a statement of a kind without parts does."""
    name = node.DESCRIPTOR.name
    if name in _BY_OBJECT:
        prefix, field = _BY_OBJECT[name]
        return [Action(f"{prefix}:{word(node, field)}", table, node) for table in _tables(node)]
    if name == "CreateStmt":
        return list(_created(node))
    if name in _WITH_OTHERS:
        return _with_others(node)
    if name == "DoStmt":
        within = [each for inner in block_of(node).nodes for each in actions_of(inner)]
        return [_plain(node), *within]
    if name in {"CreatePublicationStmt", "AlterPublicationStmt"}:
        return _published(node)
    kind = name.removesuffix("Stmt")
    if name == "GrantStmt":
        kind = "Grant" if node.is_grant else "Revoke"
    return [Action(kind, table, node) for table in _tables(node)]


def _with_others(node: Node) -> list[Action]:
    """A statement of rows, those in its WITH, and what it reads."""
    found = [_plain(node), *(_plain(each) for each in _within(node))]
    match node.DESCRIPTOR.name:
        case "SelectStmt":
            found += [each for each in _read(node) if each.table != found[0].table]
        case "InsertStmt":
            found += _read(node)
    return found


def _made(node: Node) -> list[Action]:
    """What is created from a query."""
    kind = "View"
    if node.DESCRIPTOR.name == "CreateTableAsStmt":
        kind = f"CreateTableAs:{word(node, 'objtype')}"
    return [Action(kind, _first(node), node)]


def _read(node: Node) -> Iterator[Action]:
    """The tables that a query reads, or, of a view, names."""
    sources = {"InsertStmt": "select_stmt", "SelectStmt": ""}
    field = sources.get(node.DESCRIPTOR.name, "query")
    source = getattr(node, field) if field else node
    kinds = postgast.pg_query_pb2
    own = {each.ctename for each in postgast.find_nodes(node, kinds.CommonTableExpr)}
    view = node.DESCRIPTOR.name == "ViewStmt"
    kind = "Named" if view or _is_empty(node) else "Read"
    for each in postgast.find_nodes(source, kinds.RangeVar):
        if each.relname not in own:
            yield Action(kind, name_of(each), node)


def _is_empty(node: Node) -> bool:
    return node.DESCRIPTOR.name == "CreateTableAsStmt" and bool(node.into.skip_data)


def _published(node: Node) -> list[Action]:
    """What is published, and the tables that are."""
    tables = [
        each.publication_obj_spec.pubtable.relation
        for each in node.pubobjects
        if each.publication_obj_spec.HasField("pubtable")
    ]
    kind = node.DESCRIPTOR.name.removesuffix("Stmt")
    return [Action(kind, "", node), *(Action("Published", name_of(each), node) for each in tables)]


def _plain(node: Node) -> Action:
    """A statement that is one action."""
    return Action(node.DESCRIPTOR.name.removesuffix("Stmt"), _first(node), node)


def _within(node: Node) -> Iterator[Node]:
    """The statements in WITH that write rows."""
    for each in node.with_clause.ctes:
        query = each.common_table_expr.ctequery
        inner = getattr(query, query.WhichOneof("node"))
        if inner.DESCRIPTOR.name != "SelectStmt":
            yield inner
        yield from _within(inner)


def _parts(statement: Node, command: Node) -> Iterator[Action]:
    """A part of ALTER TABLE, and what it brings along."""
    table = name_of(statement.relation)
    subtype, objtype = word(command, "subtype"), word(statement, "objtype")
    if objtype != "OBJECT_TABLE":
        yield Action(f"{objtype}:{subtype}", table, command, column=command.name)
        return
    given = getattr(command, "def")
    if subtype == "AT_AddConstraint":
        yield _constraint(table, command, given.constraint)
        if given.constraint.HasField("pktable"):
            yield Action("Referred", name_of(given.constraint.pktable), command)
        return
    if subtype == "AT_AddColumn":
        column = given.column_def
        yield Action(subtype, table, command, column, column.colname)
        for each in constraints_of(column):
            yield from _of_column(table, command, each, column.colname)
        return
    if subtype == "AT_DetachPartition":
        yield Action("Detached", name_of(given.partition_cmd.name), command)
    if subtype == "AT_AttachPartition":
        yield Action("Attached", name_of(given.partition_cmd.name), command, statement.relation)
    yield Action(subtype, table, command, column=command.name)


def _created(node: Node) -> Iterator[Action]:
    """CREATE TABLE, and what it does to tables that are there already."""
    yield Action("Create", name_of(node.relation), node)
    for each in node.inh_relations:
        kind = "Partition" if node.HasField("partbound") else "Inheritance"
        yield Action(kind, name_of(each.range_var), node)
    for each in node.table_elts:
        if each.HasField("table_like_clause"):
            yield Action("Copied", name_of(each.table_like_clause.relation), node)
        own = [each.constraint] if each.HasField("constraint") else constraints_of(each.column_def)
        for constraint in own:
            if constraint.HasField("pktable"):
                yield Action("Reference", name_of(constraint.pktable), node, constraint)


def constraints_of(column: Node) -> list[Node]:
    """The constraints of a ColumnDef; that one isn't enforced stands after it, and is put into it."""
    found: list[Node] = []
    for each in column.constraints:
        if found and word(each.constraint, "contype") == "CONSTR_ATTR_NOT_ENFORCED":
            last = type(found[-1])()
            last.CopyFrom(found[-1])
            last.is_enforced = False
            found[-1] = last
        else:
            found.append(each.constraint)
    return found


def _constraint(table: str, command: Node, node: Node) -> Action:
    """A constraint that is added: `AddConstraint:UNIQUE`, `UsingIndex:UNIQUE`."""
    kind = word(node, "contype").removeprefix("CONSTR_")
    prefix = "UsingIndex" if node.indexname else "AddConstraint"
    keys = strings(node.keys) or strings(node.fk_attrs)
    return Action(f"{prefix}:{kind}", table, command, node, keys[0] if len(keys) == 1 else "")


def _of_column(table: str, command: Node, node: Node, column: str) -> Iterator[Action]:
    """What a constraint of a new column does beside adding the column."""
    kind = word(node, "contype").removeprefix("CONSTR_")
    if kind in {"UNIQUE", "PRIMARY", "CHECK", "FOREIGN"}:
        yield Action(f"NewColumn:{kind}", table, command, node, column)


def _tables(node: Node) -> list[str]:
    """The relations that a statement names first; one empty name if there is none."""
    match node.DESCRIPTOR.name:
        case "DropStmt":
            return [_dropped(word(node, "remove_type"), each) for each in node.objects]
        case "TruncateStmt" | "LockStmt":
            return _named(node.relations)
        case "VacuumStmt":
            return [name_of(each.vacuum_relation.relation) for each in node.rels] or [""]
        case "CreateStatsStmt":
            return _named(node.relations)[:1] or [""]
        case "GrantStmt" if word(node, "objtype") == "OBJECT_TABLE":
            return _named(node.objects) or [""]
    return [_first(node)]


def _named(nodes: Iterable[Node]) -> list[str]:
    """The relations of a list."""
    return [name_of(each.range_var) for each in nodes if each.HasField("range_var")]


def _first(node: Node) -> str:
    """The one relation that a statement is about; empty if there is none."""
    match node.DESCRIPTOR.name:
        case "CommentStmt":
            return _commented(node)
        case "SelectStmt":
            return (_named(node.from_clause) or [""])[0]
        case "CreateTableAsStmt":
            return name_of(node.into.rel)
    for field in _RELATION_FIELDS:
        if field in node.DESCRIPTOR.fields_by_name and node.HasField(field):
            return name_of(getattr(node, field))
    return ""


def _dropped(kind: str, node: Node) -> str:
    """What is dropped; of a trigger, policy or rule its table."""
    parts = strings(node.list.items)
    if kind in _ON_A_TABLE:
        return ".".join(map(quoted, parts[:-1]))
    return object_name(node)


def _commented(node: Node) -> str:
    """The relation that a comment is on."""
    parts = strings(node.object.list.items)
    match word(node, "objtype"):
        case "OBJECT_TABLE" | "OBJECT_VIEW" | "OBJECT_MATVIEW" | "OBJECT_SEQUENCE":
            return ".".join(map(quoted, parts))
        case "OBJECT_COLUMN" | "OBJECT_TABCONSTRAINT" | "OBJECT_TRIGGER" | "OBJECT_POLICY":
            return ".".join(map(quoted, parts[:-1]))
    return ""
