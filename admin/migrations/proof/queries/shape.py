"""What a write writes to, and what each of its parameters is for. Pure, by PostgreSQL's grammar."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from admin.migrations.catalogue.model import Node
from admin.migrations.proof.queries.model import parsed


@dataclass(slots=True)
class Shape:
    """Of an INSERT, UPDATE or DELETE.

    table: as written; schema: empty, if none is. writes: parameter → the column that it becomes, as it
    is. compares: parameter → the column that it is compared with. positions: parameter → the place of the
    column, from 0, where an INSERT lists none.
    """

    kind: str
    table: str = ""
    schema: str = ""
    writes: dict[int, str] = field(default_factory=dict)
    compares: dict[int, str] = field(default_factory=dict)
    positions: dict[int, int] = field(default_factory=dict)


def shape(text: str) -> Shape:
    """What the grammar tells of it; little, for what is not simple."""
    kind, node = parsed(text)
    found = Shape(kind)
    if kind in {"InsertStmt", "UpdateStmt", "DeleteStmt"}:
        found.table, found.schema = node.relation.relname, node.relation.schemaname
    if kind == "InsertStmt":
        _read_insert(node, found)
    elif kind == "UpdateStmt":
        _read_targets(node.target_list, found)
    if kind in {"UpdateStmt", "DeleteStmt"} and node.HasField("where_clause"):
        _read_conditions(node.where_clause, found)
    return found


def parameters(text: str) -> int:
    """The highest $n in it."""
    _, node = parsed(text)
    return max((each.number for each in nodes(node, "ParamRef")), default=0)


def _read_insert(node: Node, found: Shape) -> None:
    columns = [each.res_target.name for each in node.cols]
    select = node.select_stmt.select_stmt
    rows = [each.list.items for each in select.values_lists]
    if not rows:
        rows = [[each.res_target.val for each in select.target_list]]
    for row in rows:
        for position, value in enumerate(row):
            number = _parameter(value)
            if number and columns and position < len(columns):
                found.writes[number] = columns[position]
            elif number and not columns:
                found.positions[number] = position
    if node.HasField("on_conflict_clause"):
        _read_targets(node.on_conflict_clause.target_list, found)


def _read_targets(targets: Iterable[Node], found: Shape) -> None:
    for each in targets:
        number = _parameter(each.res_target.val)
        if number:
            found.writes[number] = each.res_target.name


def _read_conditions(node: Node, found: Shape) -> None:
    for each in nodes(node, "A_Expr"):
        if (
            each.kind
            != each.DESCRIPTOR.fields_by_name["kind"].enum_type.values_by_name["AEXPR_OP"].number
        ):
            continue
        for one, other in ((each.lexpr, each.rexpr), (each.rexpr, each.lexpr)):
            number, column = _parameter(one), _column(other)
            if number and column:
                found.compares[number] = column


def _parameter(value: Node) -> int:
    """The number of the parameter that the value is, cast or not; 0: it is none."""
    while value.HasField("type_cast"):
        value = value.type_cast.arg
    return int(value.param_ref.number) if value.HasField("param_ref") else 0


def _column(value: Node) -> str:
    if not value.HasField("column_ref"):
        return ""
    return str(value.column_ref.fields[-1].string.sval)


def nodes(node: Node, kind: str) -> Iterator[Node]:
    """All nodes of a kind below this one."""
    if node.DESCRIPTOR.name == kind:
        yield node
    for descriptor, value in node.ListFields():
        if descriptor.message_type is None:
            continue
        parts = value if _is_many(value) else [value]
        for each in parts:
            yield from nodes(each, kind)


def _is_many(value: Node) -> bool:
    return not hasattr(value, "DESCRIPTOR")
