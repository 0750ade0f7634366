"""What a DO block in PL/pgSQL does, as far as it stands there: the statements within. Pure.

Rule: whatever may run counts as run, under conditions and in loops too. What is put together only when it
runs is not read, and `is_open` says so.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import postgast

from admin.migrations.catalogue.model import Node

_DYNAMIC = {"PLpgSQL_stmt_dynexecute", "PLpgSQL_stmt_dynfors"}
_CURSORS = {"PLpgSQL_stmt_open"}
_STATEMENT, _EXPRESSION, _ASSIGNMENT = 0, 2, 3
"""PostgreSQL's RawParseMode, as in parser.h."""


@dataclass(slots=True)
class Block:
    """nodes: of the statements within, and of a SELECT for each expression. is_open: there is more."""

    nodes: list[Node] = field(default_factory=list)
    is_open: bool = False


def block_of(node: Node) -> Block:
    """What a DoStmt holds; nothing but `is_open` if it can't be read."""
    options = {each.def_elem.defname: each.def_elem.arg.string.sval for each in node.args}
    body = options.get("as", "")
    quote = "$block$"
    if options.get("language", "plpgsql").lower() != "plpgsql" or quote in body:
        return Block(is_open=True)
    try:
        parsed = postgast.parse_plpgsql(f"DO {quote}{body}{quote}")
        return _read(parsed)
    except postgast.PgQueryError:
        # A type of the schema's own, which the parser doesn't know, is enough.
        return Block(is_open=True)


def _read(parsed: list[dict[str, Any]]) -> Block:
    block = Block()
    for kind, value in _walk(parsed):
        if kind in _DYNAMIC or (kind in _CURSORS and "dynquery" in value):
            block.is_open = True
        elif kind == "PLpgSQL_expr":
            block.nodes += _nodes(value["query"], value.get("parseMode", _STATEMENT))
    return block


def _walk(part: object) -> Iterator[tuple[str, Any]]:
    """All that is named in it, in order."""
    if isinstance(part, dict):
        for name, value in part.items():
            yield name, value
            yield from _walk(value)
    elif isinstance(part, list):
        for each in part:
            yield from _walk(each)


def _nodes(query: str, mode: int) -> list[Node]:
    if mode == _EXPRESSION:
        query = f"SELECT {query}"
    elif mode == _ASSIGNMENT:
        _, _, value = query.partition("=")
        query = f"SELECT {value}"
    found = (each.stmt for each in postgast.parse(query).stmts)
    return [getattr(each, each.WhichOneof("node")) for each in found]
