"""A constraint under another name: ON CONFLICT and error handlers may name it."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, conditional
from admin.migrations.lint.sqltext import quoted


def _judge(action: Action, _: Scene) -> Verdict:
    old = quoted(action.node.subname)
    return conditional(
        f"safe if no version says ON CONFLICT ON CONSTRAINT {old}, or looks for that name in an error",
        "-- ON CONFLICT (its columns), in place of a constraint's name, works under both names.",
    )


RULE = Rule(
    "rename-constraint", ("Rename:OBJECT_TABCONSTRAINT", "Rename:OBJECT_DOMCONSTRAINT"), _judge
)
