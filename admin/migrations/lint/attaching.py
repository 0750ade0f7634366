"""Whether a table becomes a partition without a look at its rows. Pure.

PostgreSQL skips the look if valid constraints prove that all rows belong there, and builds no index if the table
has those of its parent. Source: PostgreSQL 18, ALTER TABLE, ATTACH PARTITION.
"""

from admin.migrations.catalogue.model import Node
from admin.migrations.catalogue.transactions import word
from admin.migrations.lint.action import Action
from admin.migrations.lint.schema import Schema, Table
from admin.migrations.lint.sqltext import name_of, strings

Bound = tuple[str, str, str]
"""A column, an operator, a value: `("day", ">=", "2026-01-01")`."""


def needs_no_look(action: Action, schema: Schema) -> bool:
    """Of an `Attached`, whose `also` is the parent: whether what is known proves it."""
    parent, part = schema.table(name_of(action.also)), schema.table(action.table)
    key = parent.partitioned_by
    if not (key and parent.is_whole and schema.holds_not_null(action.table, key)):
        return False
    held = {each for check in part.checks.values() if check.is_valid for each in check.bounds}
    wanted = _wanted(getattr(action.node, "def").partition_cmd.bound, key)
    # Where there is a default partition, that is looked through.
    return wanted <= held and bool(wanted) and not parent.has_rest and _has_indexes(parent, part)


def _has_indexes(parent: Table, part: Table) -> bool:
    """Whether nothing is built or looked up: the parent has its primary key alone, and the table the same."""
    alone = set(parent.indexes.values()) <= {parent.primary_key}
    return alone and not parent.foreign_keys and part.primary_key == parent.primary_key


def _wanted(bound: Node, key: str) -> set[Bound]:
    """What a range from … to … says of the column; empty if it isn't one of plain values."""
    if len(bound.lowerdatums) != 1 or len(bound.upperdatums) != 1:
        return set()
    found = set()
    for operator, datum in ((">=", bound.lowerdatums[0]), ("<", bound.upperdatums[0])):
        value = _value(datum)
        if value:
            found.add((key, operator, value))
        elif strings(datum.column_ref.fields) not in (["minvalue"], ["maxvalue"]):
            return set()
    return found


def bounds_of(node: Node) -> frozenset[Bound]:
    """What an expression says of single columns, if it is nothing but a series of AND."""
    if node.HasField("bool_expr") and word(node.bool_expr, "boolop") == "AND_EXPR":
        return frozenset().union(*map(bounds_of, node.bool_expr.args))
    compared = node.a_expr
    column = strings(compared.lexpr.column_ref.fields)
    value = _value(compared.rexpr)
    plain = len(compared.name) == 1 and word(compared, "kind") == "AEXPR_OP"
    return frozenset(
        {(column[-1], compared.name[0].string.sval, value)} if column and value and plain else ()
    )


def _value(node: Node) -> str:
    """A constant as a text, whatever it is cast to; empty if it isn't one."""
    if node.HasField("type_cast"):
        return _value(node.type_cast.arg)
    constant = node.a_const
    match constant.WhichOneof("val"):
        case "sval":
            return str(constant.sval.sval)
        case "ival":
            return str(constant.ival.ival)
        case "fval":
            return str(constant.fval.fval)
    return ""
