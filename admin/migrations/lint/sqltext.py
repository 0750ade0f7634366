"""Names, types and expressions of PostgreSQL's parse tree, as SQL. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

import postgast

from admin.migrations.catalogue.model import Node

_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*", re.ASCII)
_SPELLED = {
    "int2": "smallint",
    "int4": "integer",
    "int8": "bigint",
    "float4": "real",
    "float8": "double precision",
    "bool": "boolean",
    "bpchar": "char",
    "varbit": "bit varying",
    "timestamptz": "timestamptz",
    "timetz": "timetz",
}
_SAME = {"decimal": "numeric", "int": "int4", "integer": "int4", "bigint": "int8"}


@dataclass(frozen=True, slots=True)
class Type:
    """A column's type. name: PostgreSQL's internal one (int4). modifiers: of varchar(50): (50,)."""

    name: str
    modifiers: tuple[int, ...] = ()
    is_array: bool = False

    def __str__(self) -> str:
        inner = f"({', '.join(map(str, self.modifiers))})" if self.modifiers else ""
        return f"{_SPELLED.get(self.name, self.name)}{inner}{'[]' if self.is_array else ''}"


def type_of(node: Node) -> Type:
    """The type that a TypeName names."""
    parts = strings(node.names)
    if parts[:1] == ["pg_catalog"]:
        parts = parts[1:]
    name = ".".join(map(quoted, parts))
    modifiers = tuple(
        each.a_const.ival.ival for each in node.typmods if each.a_const.HasField("ival")
    )
    return Type(_SAME.get(name, name), modifiers, bool(node.array_bounds))


def quoted(name: str) -> str:
    """An identifier as SQL."""
    if _PLAIN.fullmatch(name):
        return name
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def strings(nodes: Iterable[Node]) -> list[str]:
    """The texts of a list of String nodes."""
    return [each.string.sval for each in nodes if each.HasField("string")]


def name_of(relation: Node) -> str:
    """A RangeVar's name with its schema, as SQL."""
    parts = [relation.schemaname] if relation.schemaname else []
    return ".".join(map(quoted, [*parts, relation.relname]))


def bare(name: str) -> str:
    """The last part of a name, for names that are made of it."""
    return name.rpartition(".")[2].strip('"')


def expression(node: Node) -> str:
    """An expression as SQL."""
    tree = postgast.parse("SELECT 1")
    tree.stmts[0].stmt.select_stmt.target_list[0].res_target.val.CopyFrom(node)
    return str(postgast.deparse(tree)).removeprefix("SELECT ")


def object_name(node: Node) -> str:
    """What a Node of DROP, RENAME or SET SCHEMA names: a list, a type, a function, a word."""
    match node.WhichOneof("node"):
        case "list":
            return ".".join(map(quoted, strings(node.list.items)))
        case "object_with_args":
            return ".".join(map(quoted, strings(node.object_with_args.objname)))
        case "type_name":
            return ".".join(map(quoted, strings(node.type_name.names)))
        case "string":
            return quoted(node.string.sval)
    return ""


def literal(text: str) -> str:
    """A text as SQL."""
    doubled = text.replace("'", "''")
    return f"'{doubled}'"


def deparsed_concurrently(index: Node) -> str:
    """A CREATE INDEX with CONCURRENTLY."""
    tree = postgast.parse("SELECT 1")
    tree.stmts[0].stmt.index_stmt.CopyFrom(index)
    tree.stmts[0].stmt.index_stmt.concurrent = True
    return str(postgast.deparse(tree))
