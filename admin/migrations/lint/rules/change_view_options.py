"""A view that reads by the rights of whoever asks."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, conditional


def _judge(action: Action, _: Scene) -> Verdict | None:
    options = {each.def_elem.defname for each in getattr(action.node, "def").list.items}
    if "security_invoker" not in options:
        return None
    return conditional(
        f"safe if the old version's role has its rights on the tables below {action.table} itself",
        "GRANT SELECT ON the_tables TO the_application;",
    )


RULE = Rule(
    "change-view-options",
    ("OBJECT_VIEW:AT_SetRelOptions", "OBJECT_VIEW:AT_ResetRelOptions"),
    _judge,
)
