"""A view or a materialized view is dropped."""

from admin.migrations.catalogue.model import Node
from admin.migrations.catalogue.transactions import word
from admin.migrations.lint import remedies
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, breaking
from admin.migrations.lint.schema import unqualified
from admin.migrations.lint.sqltext import name_of


def _judge(action: Action, scene: Scene) -> Verdict | None:
    is_materialized = action.kind.endswith("MATVIEW")
    cascades = word(action.node, "behavior") == "DROP_CASCADE"
    if scene.transactional and not cascades and _is_made_anew(action.table, is_materialized, scene):
        return None  # nobody sees it gone; replace-view says what the new one means
    what = "MATERIALIZED VIEW" if is_materialized else "VIEW"
    return breaking(
        f"the old version's queries of {action.table} fail; if it is made anew, its rights are to be granted again",
        remedies.later(f"DROP {what} {action.table};"),
    )


def _is_made_anew(view: str, is_materialized: bool, scene: Scene) -> bool:
    """Whether the rest of the file creates a view of its kind and name."""
    names = (_created(each.node, is_materialized) for each in scene.following)
    return unqualified(view) in names


def _created(node: Node, is_materialized: bool) -> str:
    """The view that a statement creates, without its schema; empty if it creates none."""
    kind = node.DESCRIPTOR.name
    if is_materialized:
        made = kind == "CreateTableAsStmt" and word(node, "objtype") == "OBJECT_MATVIEW"
        return unqualified(name_of(node.into.rel)) if made else ""
    return unqualified(name_of(node.view)) if kind == "ViewStmt" else ""


RULE = Rule("drop-view", ("Drop:OBJECT_VIEW", "Drop:OBJECT_MATVIEW"), _judge)
