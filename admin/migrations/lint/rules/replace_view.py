"""A view of the same name with another query."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, conditional


def _judge(action: Action, _: Scene) -> Verdict | None:
    if not action.node.replace:
        return None
    return conditional(
        f"safe if {action.table} gives the old version's queries the same rows: PostgreSQL holds that its columns stay, with "
        "their names and types, and that new ones come last; it doesn't hold what is in them",
        f"-- A view of a new name beside it: CREATE VIEW {action.table}_2 AS …",
    )


RULE = Rule("replace-view", ("View",), _judge)
