"""A view or a materialized view is dropped."""

from admin.migrations.lint import remedies
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, breaking, conditional
from admin.migrations.lint.sqltext import name_of


def _judge(action: Action, scene: Scene) -> Verdict:
    if _comes_back(action.table, scene):
        return conditional(
            f"{action.table} is made anew in this file: safe if its columns stay, with their types, and "
            "if both are one transaction; rights on it are lost"
        )
    what = "MATERIALIZED VIEW" if action.kind.endswith("MATVIEW") else "VIEW"
    return breaking(
        f"the old version's queries of {action.table} fail",
        remedies.later(f"DROP {what} {action.table};"),
    )


def _comes_back(view: str, scene: Scene) -> bool:
    """Whether a view of that name is created further down."""
    for each in scene.following:
        match each.node.DESCRIPTOR.name:
            case "ViewStmt" if name_of(each.node.view) == view:
                return True
            case "CreateTableAsStmt" if name_of(each.node.into.rel) == view:
                return True
    return False


RULE = Rule("drop-view", ("Drop:OBJECT_VIEW", "Drop:OBJECT_MATVIEW"), _judge)
