"""What a statement teaches about views: their columns, and which a file has dropped. Pure."""

from admin.migrations.catalogue.model import Node
from admin.migrations.catalogue.transactions import word
from admin.migrations.lint.action import actions_of
from admin.migrations.lint.schema import Schema, View, unqualified
from admin.migrations.lint.sqltext import Type, name_of, strings, type_of

_VIEWS = {"OBJECT_VIEW", "OBJECT_MATVIEW"}


def learn_views(schema: Schema, node: Node) -> None:
    """Take in the views that come and go."""
    match node.DESCRIPTOR.name:
        case "ViewStmt":
            _take(schema, name_of(node.view), view_of(node.query, strings(node.aliases), schema))
        case "CreateTableAsStmt" if word(node, "objtype") == "OBJECT_MATVIEW":
            names = strings(node.into.col_names)
            _take(schema, name_of(node.into.rel), view_of(node.query, names, schema))
        case "DropStmt" if word(node, "remove_type") in _VIEWS:
            for action in actions_of(node):
                name = unqualified(action.table)
                schema.views_gone_here[name] = schema.views.pop(name, None)
                schema.here.discard(name)
        case "RenameStmt":
            _rename(schema, node)


def _take(schema: Schema, name: str, view: View | None) -> None:
    if view is None:
        schema.views.pop(unqualified(name), None)
    else:
        schema.views[unqualified(name)] = view


def _rename(schema: Schema, node: Node) -> None:
    """What has another name, or another column's name, isn't followed: it isn't known any more."""
    if word(node, "rename_type") in _VIEWS or word(node, "relation_type") in _VIEWS:
        schema.views.pop(unqualified(name_of(node.relation)), None)


def view_of(query: Node, names: list[str], schema: Schema) -> View | None:
    """The columns of a view of a query; None: they aren't known. names: those that are given."""
    select = query.select_stmt
    while select.HasField("larg"):
        select = select.larg
    if not select.target_list:
        return None
    columns: dict[str, Type | None] = {}
    for place, each in enumerate(select.target_list):
        target = each.res_target
        name = names[place] if place < len(names) else target.name or _name(target.val)
        if not name:
            return None
        columns[name] = _type(target.val, select, schema)
    return columns


def _name(node: Node) -> str:
    """What PostgreSQL calls a column of this expression; empty: not known here."""
    match node.WhichOneof("node"):
        case "column_ref":
            last = node.column_ref.fields[-1]
            return str(last.string.sval) if last.HasField("string") else ""
        case "func_call":
            return strings(node.func_call.funcname)[-1]
        case "type_cast":
            return _name(node.type_cast.arg)
        case "coalesce_expr":
            return "coalesce"
    return ""


def _type(node: Node, select: Node, schema: Schema) -> Type | None:
    """An expression's type, where it stands there, or is a column's of the one table."""
    if node.HasField("type_cast"):
        return type_of(node.type_cast.type_name)
    tables = select.from_clause
    if node.HasField("column_ref") and len(tables) == 1 and tables[0].HasField("range_var"):
        known = schema.column(name_of(tables[0].range_var), strings(node.column_ref.fields)[-1])
        return known.type if known else None
    return None
