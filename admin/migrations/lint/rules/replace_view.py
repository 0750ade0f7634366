"""A view of the same name with another query."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.learning_views import view_of
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.retyping import is_seen_the_same
from admin.migrations.lint.rule import Rule, Scene, breaking, conditional
from admin.migrations.lint.schema import View, unqualified
from admin.migrations.lint.sqltext import name_of, quoted, strings

_OTHER_NAME = "-- A view of a new name beside it: CREATE VIEW {}_2 AS …"


def _judge(action: Action, scene: Scene) -> Verdict | None:
    if unqualified(action.table) in scene.schema.views_gone_here and scene.transactional:
        return _made_anew(action, scene)
    if action.kind != "View" or not action.node.replace:
        return None
    return conditional(
        f"safe if {action.table} gives the old version's queries the same rows: PostgreSQL holds that its columns stay, with "
        "their names and types, and that new ones come last; it doesn't hold what is in them",
        _OTHER_NAME.format(action.table),
    )


def _made_anew(action: Action, scene: Scene) -> Verdict:
    """Dropped and created in one transaction: nobody sees it gone, but PostgreSQL holds nothing."""
    name, node = action.table, action.node
    names = strings(node.aliases if action.kind == "View" else node.into.col_names)
    before = scene.schema.views_gone_here[unqualified(name)]
    after = view_of(node.query, names, scene.schema)
    known = before is not None and after is not None
    lost = _lost(before, after) if before is not None and after is not None else []
    remedy = _OTHER_NAME.format(name)
    if lost:
        return breaking(
            f"{name} is dropped and made anew without {', '.join(map(quoted, lost))} as it was: the old version's queries of it fail",
            remedy,
        )
    conditions = [f"{name} gives the old version's queries the same rows"]
    if not known:
        conditions.insert(0, "it has all columns that it had, with their names and types")
    if not _is_granted(name, scene):
        conditions.append(
            "whoever reads it may: the rights on it went with the view that was dropped"
        )
        remedy = f"{remedy}\nGRANT SELECT ON {name} TO /* the application's role */ CURRENT_ROLE;"
    return conditional(
        f"dropped and made anew in one transaction: safe if {', and '.join(conditions)}", remedy
    )


def _lost(before: View, after: View) -> list[str]:
    """The columns that are gone, or known to be of another type."""
    return [
        name
        for name, old in before.items()
        if name not in after or not is_seen_the_same(old, after[name])
    ]


def _is_granted(view: str, scene: Scene) -> bool:
    """Whether the rest of the file grants rights on it."""
    grants = [each.node for each in scene.following if each.node.DESCRIPTOR.name == "GrantStmt"]
    return any(
        unqualified(name_of(each.range_var)) == unqualified(view)
        for grant in grants
        if grant.is_grant
        for each in grant.objects
        if each.HasField("range_var")
    )


RULE = Rule("replace-view", ("View", "CreateTableAs:OBJECT_MATVIEW"), _judge)
