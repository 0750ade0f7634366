"""What a single statement is to whoever runs it: in a transaction, alone, or not at all. Pure.

Rules:
1. A statement that PostgreSQL refuses within a transaction is a step of its own, and a step can be
   repeated: what a broken-off one leaves behind is known by the statement's kind and names.
2. A migration touches neither its transaction nor its time-outs nor whose schema it is in.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import postgast

from admin.migrations.catalogue.transactions import needs_none

GUARDED: Final = frozenset({
    "lock_timeout", "statement_timeout", "transaction_timeout", "search_path", "role",
    "session_authorization", "idle_in_transaction_session_timeout", "application_name",
    "client_connection_check_interval",
})  # fmt: skip
"""Settings that are the worker's."""


class Kind(StrEnum):
    """How a statement runs."""

    WITHIN = "within"  # in a transaction
    INDEX = "index"  # CREATE INDEX CONCURRENTLY
    DROP_INDEX = "drop-index"  # DROP INDEX CONCURRENTLY
    REINDEX = "reindex"  # REINDEX … CONCURRENTLY
    DETACH = "detach"  # DETACH PARTITION … CONCURRENTLY
    ALONE = "alone"  # VACUUM and the like: it does no harm twice


@dataclass(frozen=True, slots=True)
class Step:
    """A statement's kind, and what it is about. Schemas: empty, the target's.

    name: the index, or the partition. table: of a detached partition its parent.
    """

    kind: Kind
    schema: str = ""
    name: str = ""
    table: str = ""
    table_schema: str = ""


WITHIN: Final = Step(Kind.WITHIN)


def step_of(sql: str) -> Step:
    """How the statement runs. Its syntax was checked when its file was read."""
    kind, node = _node(sql)
    if node is None or not needs_none(node):
        return WITHIN
    if kind == "index_stmt":
        return Step(Kind.INDEX, node.relation.schemaname, node.idxname)
    if kind == "drop_stmt":
        *schema, name = [item.string.sval for item in node.objects[0].list.items]
        return Step(Kind.DROP_INDEX, schema[-1] if schema else "", name)
    if kind == "reindex_stmt":
        return Step(Kind.REINDEX, node.relation.schemaname, node.relation.relname)
    if kind == "alter_table_stmt":
        return _detached(node)
    return Step(Kind.ALONE)


def _detached(node: Any) -> Step:
    for each in node.cmds:
        partition = getattr(each.alter_table_cmd, "def").partition_cmd
        if partition.concurrent:
            return Step(
                Kind.DETACH,
                partition.name.schemaname,
                partition.name.relname,
                node.relation.relname,
                node.relation.schemaname,
            )
    return WITHIN


def refusal(sql: str) -> str:
    """Why the statement can't stand in a migration; empty: it can."""
    kind, node = _node(sql)
    if kind == "variable_set_stmt":
        name = node.name.lower()
        if name in GUARDED or not name:
            return f"{name or 'RESET ALL'} is the worker's to set: take the statement out"
    if kind == "discard_stmt":
        return (
            "DISCARD takes the worker's lock and time-outs from its session: take the statement out"
        )
    if kind == "index_stmt" and node.concurrent and not node.idxname:
        return "an index that is built CONCURRENTLY needs a name, so that a broken one is found"
    return ""


def needs_no_transaction(statements: Sequence[str]) -> bool:
    """Whether one of them can't run in a transaction."""
    return any(step_of(sql).kind is not Kind.WITHIN for sql in statements)


def _node(sql: str) -> tuple[str, Any]:
    parsed = postgast.parse(sql)
    if not parsed.stmts:
        return "", None
    statement = parsed.stmts[0].stmt
    kind = statement.WhichOneof("node") or ""
    return kind, getattr(statement, kind) if kind else None
