"""What a migration brings, so that its undo takes nothing from a version that was there before. Pure."""

from collections.abc import Callable, Iterator, Mapping

from admin.migrations.catalogue.model import Migration, Node
from admin.migrations.catalogue.transactions import word
from admin.migrations.lint.action import Action, actions_of
from admin.migrations.lint.schema import Schema, unqualified
from admin.migrations.lint.sqltext import bare, object_name, strings

Thing = tuple[str, ...]
"""What it is, and its name: `("column", "jobs", "origin")`."""

_RELATIONS = {
    *("Create", "CreateTableAs:OBJECT_TABLE", "CreateTableAs:OBJECT_MATVIEW", "View", "CreateSeq"),
}
_RENAMED = {
    **dict.fromkeys(
        ("OBJECT_TABLE", "OBJECT_VIEW", "OBJECT_MATVIEW", "OBJECT_SEQUENCE"), "relation"
    ),
    **dict.fromkeys(("OBJECT_TYPE", "OBJECT_DOMAIN"), "type"),
    **dict.fromkeys(("OBJECT_FUNCTION", "OBJECT_PROCEDURE", "OBJECT_ROUTINE"), "function"),
    "OBJECT_SCHEMA": "schema",
}
_ON_A_TABLE = {"OBJECT_TRIGGER": "trigger", "OBJECT_POLICY": "policy", "OBJECT_RULE": "rule"}
_DROPPED = _RENAMED | {
    **dict.fromkeys(("OBJECT_INDEX", "OBJECT_FOREIGN_TABLE"), "relation"),
    "OBJECT_EXTENSION": "extension",
    "OBJECT_PUBLICATION": "publication",
}

_MADE: Mapping[str, Callable[[Node], Thing]] = {
    "CreateEnumStmt": lambda node: ("type", strings(node.type_name)[-1]),
    "CreateRangeStmt": lambda node: ("type", strings(node.type_name)[-1]),
    "CompositeTypeStmt": lambda node: ("type", node.typevar.relname),
    "CreateDomainStmt": lambda node: ("type", strings(node.domainname)[-1]),
    "CreateFunctionStmt": lambda node: ("function", strings(node.funcname)[-1]),
    "CreateSchemaStmt": lambda node: ("schema", node.schemaname),
    "CreateExtensionStmt": lambda node: ("extension", node.extname),
    "CreatePublicationStmt": lambda node: ("publication", node.pubname),
    "IndexStmt": lambda node: ("relation", node.idxname),
    "CreateTrigStmt": lambda node: ("trigger", node.relation.relname, node.trigname),
    "RuleStmt": lambda node: ("rule", node.relation.relname, node.rulename),
    "CreatePolicyStmt": lambda node: ("policy", node.table.relname, node.policy_name),
}
_REPLACING = {"CreateFunctionStmt", "CreateTrigStmt", "RuleStmt"}
"""What may be there already, if it says OR REPLACE."""


def brought_by(migration: Migration, before: Schema) -> frozenset[Thing]:
    """What wasn't there before it. before: the schema that it finds."""
    nodes = [each.node for each in migration.statements]
    return frozenset(thing for node in nodes for thing in _brought(node, before))


def _brought(node: Node, before: Schema) -> Iterator[Thing]:
    kind = node.DESCRIPTOR.name
    if kind in _MADE:
        if not (kind in _REPLACING and node.replace):
            yield _MADE[kind](node)
    elif kind == "RenameStmt":
        yield from _renamed(node)
    else:
        for action in actions_of(node):
            yield from _of_action(action, before)


def _renamed(node: Node) -> Iterator[Thing]:
    kind = word(node, "rename_type")
    if kind in _RENAMED:
        yield _RENAMED[kind], node.newname
    elif kind == "OBJECT_COLUMN":
        yield "column", node.relation.relname, node.newname
    elif kind == "OBJECT_TABCONSTRAINT":
        yield "constraint", node.relation.relname, node.newname


def _of_action(action: Action, before: Schema) -> Iterator[Thing]:
    table = bare(action.table)
    if action.kind in _RELATIONS:
        kept = unqualified(action.table) in {*before.tables, *before.views}
        if not kept and not getattr(action.node, "replace", False):
            yield "relation", table
    elif action.kind == "AT_AddColumn":
        if before.column(action.table, action.column) is None:
            yield "column", table, action.column
    elif action.kind == "AT_SetNotNull":
        yield "not null", table, action.column
    elif action.kind.startswith(("AddConstraint:", "UsingIndex:")) and action.also.conname:
        yield "constraint", table, action.also.conname


def is_brought(action: Action, brought: frozenset[Thing]) -> bool:
    """Whether what an action takes or changes is of these, all of it."""
    table = bare(action.table)
    return (
        ("relation", table) in brought
        or any(each in brought for each in _taken(action, table))
        or _fills(action, table, brought)
    )


def _taken(action: Action, table: str) -> Iterator[Thing]:
    """The names that what is taken or changed may have."""
    if action.column:
        yield "column", table, action.column
    prefix, _, kind = action.kind.partition(":")
    if action.kind == "AT_DropNotNull":
        yield "not null", table, action.column
    elif action.kind == "AT_DropConstraint":
        yield "constraint", table, action.node.name
    elif action.kind == "Rename:OBJECT_COLUMN":
        yield "column", table, action.node.subname
    elif action.kind == "Rename:OBJECT_TABCONSTRAINT":
        yield "constraint", table, action.node.subname
    elif prefix == "Drop" and kind in _ON_A_TABLE:
        yield _ON_A_TABLE[kind], table, strings(action.node.objects[0].list.items)[-1]
    elif prefix in {"Drop", "Rename"} and kind in _DROPPED:
        yield _DROPPED[kind], table or _renamed_object(action.node)


def _renamed_object(node: Node) -> str:
    """Of a RENAME of what is no relation."""
    named = object_name(node.object) if node.HasField("object") else node.subname
    return bare(named)


def _fills(action: Action, table: str, brought: frozenset[Thing]) -> bool:
    """Whether it writes to nothing but columns that were brought."""
    if action.kind != "Update":
        return False
    written = {each.res_target.name for each in action.node.target_list}
    return all(("column", table, each) in brought for each in written)
