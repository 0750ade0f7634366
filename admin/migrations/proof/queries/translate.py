"""Statements that can't be planned, as queries that break by the same changes of a schema. Pure."""

from collections.abc import Sequence

import postgast

from admin.migrations.catalogue.model import Node
from admin.migrations.identifiers import quoted


def translated(kind: str, node: Node) -> str | None:
    """A query in a statement's place; None: it needs none, or there is none.

    COPY of a table is a SELECT or an INSERT of its columns; of a query, that query, as is DECLARE's.
    TRUNCATE and LOCK need their tables.
    """
    match kind:
        case "CopyStmt" if node.HasField("relation"):
            return _copied(node)
        case "CopyStmt" | "DeclareCursorStmt" if node.HasField("query"):
            return _deparsed(node.query)
        case "TruncateStmt" | "LockStmt":
            tables = ", ".join(_name(each.range_var) for each in node.relations)
            return f"SELECT FROM {tables}"
    return None


def _copied(node: Node) -> str:
    table, columns = _name(node.relation), [quoted(each.string.sval) for each in node.attlist]
    if not node.is_from:
        return f"SELECT {', '.join(columns) or '*'} FROM {table}"  # noqa: S608 - quoted
    if not columns:
        return f"SELECT * FROM {table}"  # noqa: S608 - quoted
    values = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({values})"  # noqa: S608 - quoted


def _deparsed(query: Node) -> str:
    return str(postgast.deparse(postgast.ParseResult(stmts=[{"stmt": query}])))


def _name(relation: Node) -> str:
    parts: Sequence[str] = [relation.schemaname, relation.relname]
    return ".".join(quoted(each) for each in parts if each)
