"""Whether adding a column rewrites the table: what its default is made of. Pure.

PostgreSQL computes a default that isn't volatile once and keeps it beside the table; a volatile one is computed
for each row, which rewrites the table. Source: PostgreSQL 18, ALTER TABLE, Notes.
"""

import postgast

from admin.migrations.catalogue.model import Node
from admin.migrations.catalogue.transactions import word
from admin.migrations.lint.learning import MADE_BY_SERIAL
from admin.migrations.lint.schema import Schema
from admin.migrations.lint.sqltext import strings, type_of

STEADY = frozenset(
    {
        *("now", "transaction_timestamp", "statement_timestamp", "current_setting", "timezone"),
        *("to_char", "to_date", "to_timestamp", "date_trunc", "date_part", "make_date", "age"),
        *("lower", "upper", "concat", "concat_ws", "format", "md5", "sha256", "encode", "decode"),
        *("left", "right", "repeat", "replace", "btrim", "length", "coalesce", "convert_to"),
        *("jsonb_build_object", "jsonb_build_array", "json_build_object", "json_build_array"),
        *("to_json", "to_jsonb", "array_fill", "make_interval", "make_timestamp", "make_time"),
        *("round", "floor", "ceil", "abs", "int4range", "int8range", "daterange", "tstzrange"),
        *("tsrange", "numrange", "to_tsvector", "current_schema", "current_database"),
    }
)
"""Functions of PostgreSQL's own that aren't volatile. Any other may be, and is taken to be."""

READING = STEADY | {
    *("count", "sum", "min", "max", "avg", "array_agg", "string_agg", "jsonb_agg", "json_agg"),
    *("bool_and", "bool_or", "row_number", "rank", "lag", "lead", "generate_series", "unnest"),
    *("nextval", "currval", "lastval", "setval", "pg_get_serial_sequence", "set_config"),
    *("random", "gen_random_uuid", "clock_timestamp", "pg_sleep", "version", "exists"),
}
"""Functions that do nothing to the rows that are there, and that a rule looks at where they count."""


def of(column: Node) -> Node | None:
    """The expression of a column's default; None: there is none, or it is NULL."""
    for each in column.constraints:
        if word(each.constraint, "contype") == "CONSTR_DEFAULT":
            given = each.constraint.raw_expr
            return None if given.HasField("a_const") and given.a_const.isnull else given
    return None


def functions(node: Node) -> set[str]:
    """The names of all functions that are called in it, without their schemas."""
    found = postgast.find_nodes(node, postgast.pg_query_pb2.FuncCall)
    return {strings(each.funcname)[-1] for each in found}


def unsteady(expression: Node) -> list[str]:
    """The functions of an expression that are, or may be, volatile."""
    return sorted(functions(expression) - STEADY)


def generation(column: Node) -> str:
    """`s`: a generated column that is stored; `v`: a virtual one; empty: another column."""
    for each in column.constraints:
        if word(each.constraint, "contype") == "CONSTR_GENERATED":
            return str(each.constraint.generated_kind) or "v"
    return ""


def is_missing(column: Node) -> bool:
    """Whether it has to be given, and has nothing that gives it."""
    kinds = {word(each.constraint, "contype") for each in column.constraints}
    required = bool(kinds & {"CONSTR_NOTNULL", "CONSTR_PRIMARY"})
    given = of(column) is not None or counts(column) or bool(generation(column))
    return required and not given


def counts(column: Node) -> bool:
    """Whether its values come from a sequence of its own."""
    kinds = {word(each.constraint, "contype") for each in column.constraints}
    return "CONSTR_IDENTITY" in kinds or type_of(column.type_name).name in MADE_BY_SERIAL


def rewrites(column: Node, schema: Schema) -> bool:
    """Whether adding it writes each row anew."""
    given = of(column)
    volatile = given is not None and bool(unsteady(given))
    constrained = type_of(column.type_name).name in schema.constrained_domains
    return volatile or constrained or counts(column) or generation(column) == "s"
