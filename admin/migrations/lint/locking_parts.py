"""Locks and costs that depend on more than the kind: on an option, a type, or what is known. Pure."""

from collections.abc import Callable, Mapping

from admin.migrations.catalogue.model import Node
from admin.migrations.catalogue.transactions import word
from admin.migrations.lint import defaults
from admin.migrations.lint.action import Action
from admin.migrations.lint.attaching import needs_no_look
from admin.migrations.lint.model import Cost, Lock, Locking
from admin.migrations.lint.reached import KIND as REACHED
from admin.migrations.lint.reached import is_found
from admin.migrations.lint.retyping import Change, retyping
from admin.migrations.lint.schema import Schema

_MODES = (
    *(
        Lock.NONE,
        Lock.ACCESS_SHARE,
        Lock.ROW_SHARE,
        Lock.ROW_EXCLUSIVE,
        Lock.SHARE_UPDATE_EXCLUSIVE,
    ),
    *(Lock.SHARE, Lock.SHARE_ROW_EXCLUSIVE, Lock.EXCLUSIVE, Lock.ACCESS_EXCLUSIVE),
)
"""By PostgreSQL's numbers (storage/lockdefs.h)."""

_OF_SEQUENCES = {"nextval", "setval", "currval", "lastval"}


def _exclusive(cost: Cost) -> Locking:
    return Locking(Lock.ACCESS_EXCLUSIVE, cost)


def _add_column(action: Action, schema: Schema) -> Locking:
    if defaults.rewrites(action.also, schema):
        return _exclusive(Cost.REWRITE)
    # NOT NULL without a value: PostgreSQL looks for a row, which would make it fail.
    return _exclusive(Cost.SCAN if defaults.is_missing(action.also) else Cost.INSTANT)


def _retype(action: Action, schema: Schema) -> Locking:
    change = retyping(action, schema).change
    if change is Change.SAME:
        return _exclusive(Cost.INSTANT)
    if change in {Change.WIDER, Change.LOOSER, Change.RELABELED}:
        # Constraints that read the column are looked at again.
        checked = schema.is_checked(action.table, action.column)
        return _exclusive(Cost.SCAN if checked else Cost.INSTANT)
    return _exclusive(Cost.REWRITE)


def _set_not_null(action: Action, schema: Schema) -> Locking:
    # A valid constraint that proves it spares the scan (PostgreSQL 12 and newer).
    known = schema.holds_not_null(action.table, action.column)
    return _exclusive(Cost.INSTANT if known else Cost.SCAN)


def _check(action: Action, schema: Schema) -> Locking:
    if skips_rows(action.also):
        return _exclusive(Cost.INSTANT)
    if action.kind == "AddConstraint:NOTNULL":
        return _set_not_null(action, schema)
    return _exclusive(Cost.SCAN)


def _validate(action: Action, schema: Schema) -> Locking:
    # What is valid already isn't looked at again.
    known = schema.is_valid(action.table, action.node.name)
    return Locking(Lock.SHARE_UPDATE_EXCLUSIVE, Cost.INSTANT if known else Cost.SCAN)


def _foreign_key(action: Action, _: Schema) -> Locking:
    cost = Cost.INSTANT if skips_rows(action.also) else Cost.SCAN
    return Locking(Lock.SHARE_ROW_EXCLUSIVE, cost)


def _new_foreign_key(action: Action, _: Schema) -> Locking:
    # Without a default there is nothing to look up: PostgreSQL knows, and skips the scan.
    filled = defaults.of(getattr(action.node, "def").column_def) is not None
    return _exclusive(Cost.SCAN if filled and action.also.is_enforced else Cost.INSTANT)


def _index(action: Action, schema: Schema) -> Locking:
    lock = Lock.SHARE_UPDATE_EXCLUSIVE if action.node.concurrent else Lock.SHARE
    # ON ONLY a partitioned table: it has no rows itself.
    alone = not action.node.relation.inh and schema.table(action.table).is_partitioned
    return Locking(lock, Cost.INSTANT if alone else Cost.SCAN)


def _drop_index(action: Action, _: Schema) -> Locking:
    weak = action.node.concurrent
    return Locking(Lock.SHARE_UPDATE_EXCLUSIVE if weak else Lock.ACCESS_EXCLUSIVE)


def _new_partition(action: Action, schema: Schema) -> Locking:
    # The default partition is looked through, for rows that belong into the new one.
    return _exclusive(Cost.SCAN if schema.table(action.table).has_rest else Cost.INSTANT)


def _detach(action: Action, _: Schema) -> Locking:
    weak = getattr(action.node, "def").partition_cmd.concurrent
    return Locking(Lock.SHARE_UPDATE_EXCLUSIVE if weak else Lock.ACCESS_EXCLUSIVE)


def _attached(action: Action, schema: Schema) -> Locking:
    proven = needs_no_look(action, schema)
    return _exclusive(Cost.INSTANT if proven else Cost.SCAN)


def _moved(action: Action, schema: Schema) -> Locking:
    # Where it is already, nothing is written.
    table, asked = schema.table(action.table), action.node.name
    there = table.method if action.kind == "AT_SetAccessMethod" else table.tablespace
    return _exclusive(Cost.INSTANT if asked and asked == there else Cost.REWRITE)


def _view(action: Action, _: Schema) -> Locking:
    return Locking(Lock.ACCESS_EXCLUSIVE if action.node.replace else Lock.NONE)


def _vacuum(action: Action, _: Schema) -> Locking:
    if "full" in options_of(action.node.options):
        return _exclusive(Cost.REWRITE)
    # ANALYZE reads a sample, which is all of a table that is not large.
    return Locking(Lock.SHARE_UPDATE_EXCLUSIVE, Cost.SCAN)


def _reindex(action: Action, _: Schema) -> Locking:
    weak = "concurrently" in options_of(action.node.params)
    return Locking(Lock.SHARE_UPDATE_EXCLUSIVE if weak else Lock.SHARE, Cost.SCAN)


def _refresh(action: Action, _: Schema) -> Locking:
    if action.node.concurrent:
        return Locking(Lock.EXCLUSIVE, Cost.SCAN)
    return _exclusive(Cost.INSTANT if action.node.skip_data else Cost.REWRITE)


def _lock(action: Action, _: Schema) -> Locking:
    return Locking(_MODES[action.node.mode])


def _read(action: Action, _: Schema) -> Locking:
    if _is_of_postgresql(action.table):
        return Locking()
    return Locking(Lock.ACCESS_SHARE, Cost.SCAN)


def _is_of_postgresql(table: str) -> bool:
    """Whether it is one of PostgreSQL's own tables, which are small, and wait for nobody."""
    return table.startswith(("pg_", "information_schema."))


def _select(action: Action, _: Schema) -> Locking:
    if _is_of_postgresql(action.table):
        return Locking()
    cost = Cost.SCAN if action.table else Cost.INSTANT
    if _OF_SEQUENCES & defaults.functions(action.node):
        return Locking(Lock.ROW_EXCLUSIVE, cost)
    if action.node.locking_clause:
        return Locking(Lock.ROW_SHARE, cost)
    return Locking(Lock.ACCESS_SHARE if action.table else Lock.NONE, cost)


def _rows(action: Action, schema: Schema) -> Locking:
    keys = schema.table(action.table).keys
    by_key = _column_that_is_given(action.node.where_clause) in keys
    return Locking(Lock.ROW_EXCLUSIVE, Cost.INSTANT if by_key else Cost.SCAN)


def _reached(action: Action, schema: Schema) -> Locking:
    # Rows that refer are locked; or changed, where the key says what becomes of them.
    deleted = action.node.DESCRIPTOR.name == "DeleteStmt"
    acts = (action.also.on_delete if deleted else action.also.on_update) in {"c", "n", "d"}
    cost = Cost.INSTANT if is_found(action, schema) else Cost.SCAN
    return Locking(Lock.ROW_EXCLUSIVE if acts else Lock.ROW_SHARE, cost)


def _column_that_is_given(where: Node) -> str:
    """The column of `column = value` or `column IN (values)`; empty if it is another condition."""
    if not where.HasField("a_expr") or word(where.a_expr, "kind") not in {"AEXPR_OP", "AEXPR_IN"}:
        return ""
    found = where.a_expr
    values = list(found.rexpr.list.items) or [found.rexpr]
    plain = all(each.HasField("a_const") or each.HasField("type_cast") for each in values)
    if not plain or [each.string.sval for each in found.name] != ["="]:
        return ""
    return "".join([each.string.sval for each in found.lexpr.column_ref.fields][-1:])


def _cascading(action: Action, _: Schema) -> Locking:
    # The tables that it reaches.
    cascades = word(action.node, "behavior") == "DROP_CASCADE"
    return Locking(Lock.ACCESS_EXCLUSIVE if cascades else Lock.NONE)


def _domain(action: Action, schema: Schema) -> Locking:
    if action.node.type_name[-1].string.sval in schema.types_here:
        return Locking()
    skips = action.node.subtype == "C" and getattr(action.node, "def").constraint.skip_validation
    looks = action.node.subtype in {"C", "O", "V"} and not skips
    # Of all tables with a column of it.
    return Locking(Lock.SHARE, Cost.SCAN) if looks else Locking()


def _key_by_index(action: Action, schema: Schema) -> Locking:
    # Columns that may be NULL are looked through; an index that isn't known may have such.
    columns = schema.indexes.get(action.also.indexname, ("",))
    held = all(schema.holds_not_null(action.table, each) for each in columns)
    return _exclusive(Cost.INSTANT if held else Cost.SCAN)


def _comment(action: Action, _: Schema) -> Locking:
    return Locking(Lock.SHARE_UPDATE_EXCLUSIVE if action.table else Lock.NONE)


def _grant(action: Action, _: Schema) -> Locking:
    # Since PostgreSQL 18; before, none.
    return Locking(Lock.ACCESS_SHARE if action.table else Lock.NONE)


def _set_expression(action: Action, schema: Schema) -> Locking:
    virtual = schema.is_virtual(action.table, action.column)
    return _exclusive(Cost.INSTANT if virtual else Cost.REWRITE)


def skips_rows(node: Node) -> bool:
    """Whether a constraint is added without looking at the rows that are there."""
    enforced = node.is_enforced or word(node, "contype") == "CONSTR_NOTNULL"
    return bool(node.skip_validation) or not enforced


def options_of(nodes: Node) -> set[str]:
    """The names of a list of options, that aren't switched off."""
    off = {"false", "off", "0"}
    found = (each.def_elem for each in nodes)
    return {each.defname for each in found if each.arg.string.sval.lower() not in off}


DEPENDS: Mapping[str, Callable[[Action, Schema], Locking]] = {
    "AT_AddColumn": _add_column,
    "NewColumn:FOREIGN": _new_foreign_key,
    "AT_AlterColumnType": _retype,
    "AT_SetExpression": _set_expression,
    "AT_SetNotNull": _set_not_null,
    "AddConstraint:CHECK": _check,
    "AddConstraint:NOTNULL": _check,
    "AddConstraint:FOREIGN": _foreign_key,
    "AT_ValidateConstraint": _validate,
    "Attached": _attached,
    "AT_SetAccessMethod": _moved,
    "AT_SetTableSpace": _moved,
    "Index": _index,
    "Drop:OBJECT_INDEX": _drop_index,
    "AT_DetachPartition": _detach,
    "Partition": _new_partition,
    "View": _view,
    "Vacuum": _vacuum,
    "Reindex:REINDEX_OBJECT_TABLE": _reindex,
    "Reindex:REINDEX_OBJECT_INDEX": _reindex,
    "Reindex:REINDEX_OBJECT_SCHEMA": _reindex,
    "Reindex:REINDEX_OBJECT_DATABASE": _reindex,
    "RefreshMatView": _refresh,
    "Lock": _lock,
    "Select": _select,
    "Read": _read,
    "Comment": _comment,
    "Update": _rows,
    "Delete": _rows,
    REACHED: _reached,
    "AlterDomain": _domain,
    "Drop:OBJECT_SCHEMA": _cascading,
    "Drop:OBJECT_EXTENSION": _cascading,
    "Drop:OBJECT_TYPE": _cascading,
    "Drop:OBJECT_DOMAIN": _cascading,
    "UsingIndex:PRIMARY": _key_by_index,
    "Grant": _grant,
    "Revoke": _grant,
}
