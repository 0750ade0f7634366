"""A function, procedure, aggregate, operator or cast is dropped."""

from admin.migrations.lint import remedies
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, breaking


def _judge(action: Action, _: Scene) -> Verdict:
    name = action.table or "it"
    return breaking(
        f"the old version's use of {name} fails, and so does a trigger, default or view that uses it",
        remedies.later(f"DROP FUNCTION {name};") if action.table else "",
    )


RULE = Rule(
    "drop-function",
    (
        "Drop:OBJECT_FUNCTION",
        "Drop:OBJECT_PROCEDURE",
        "Drop:OBJECT_ROUTINE",
        "Drop:OBJECT_AGGREGATE",
        "Drop:OBJECT_OPERATOR",
        "Drop:OBJECT_CAST",
        "Drop:OBJECT_COLLATION",
    ),
    _judge,
)
