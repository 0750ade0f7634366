"""The tables that a change of rows reaches by foreign keys. Pure.

For each row that goes, or whose key changes, PostgreSQL looks for the rows that refer to it: by an index
on the referring columns, or by a scan. Source: PostgreSQL 18, chapter 5.5.5.
"""

from collections.abc import Iterator

from admin.migrations.catalogue.model import Node
from admin.migrations.catalogue.transactions import word
from admin.migrations.lint.action import Action
from admin.migrations.lint.schema import ForeignKey, Schema, unqualified

KIND = "Reached"
_CASCADE = "c"


def reached(action: Action, schema: Schema) -> Iterator[Action]:
    """An action on each table that an Update, Delete or Merge reaches; `also` is the foreign key."""
    deletes, columns = _done(action)
    if columns:
        for table, key in schema.referring(action.table):
            parent = key.parent_columns or schema.table(action.table).primary_key
            if columns & set(parent):
                yield Action(KIND, table, action.node, key)
    if deletes:
        yield from _by_deletes(action, schema, {unqualified(action.table)})


def _by_deletes(action: Action, schema: Schema, seen: set[str]) -> Iterator[Action]:
    """What rows that go reach, and what the rows reach that go with them."""
    for table, key in schema.referring(action.table):
        step = Action(KIND, table, action.node, key)
        yield step
        if key.on_delete == _CASCADE and table not in seen:
            yield from _by_deletes(step, schema, seen | {table})


def _done(action: Action) -> tuple[bool, set[str]]:
    """Whether rows go, and the columns that are written."""
    node = action.node
    match action.kind:
        case "Delete":
            return True, set()
        case "Update":
            return False, _written(node)
        case "Merge":
            clauses = [each.merge_when_clause for each in node.merge_when_clauses]
            deletes = any(word(each, "command_type") == "CMD_DELETE" for each in clauses)
            updates = [each for each in clauses if word(each, "command_type") == "CMD_UPDATE"]
            return deletes, {name for each in updates for name in _written(each)}
    return False, set()


def _written(node: Node) -> set[str]:
    return {each.res_target.name for each in node.target_list}


def is_found(action: Action, schema: Schema) -> bool:
    """Whether an index finds the rows that refer; if not, the table is scanned."""
    key: ForeignKey = action.also
    return schema.table(action.table).finds_by(key.columns)
