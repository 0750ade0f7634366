"""A further value of an enum: the old version may read it."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, conditional
from admin.migrations.lint.sqltext import strings


def _judge(action: Action, scene: Scene) -> Verdict | None:
    if action.node.old_val or strings(action.node.type_name)[-1] in scene.schema.types_here:
        return None
    return conditional(
        f"safe if the old version bears to read {action.node.new_val!r}: nothing fails in the database, "
        "but code that knows all values may. Write it first once that version is gone",
        "-- Add the value in this release; write it in the next, behind a switch.",
    )


RULE = Rule("add-enum-value", ("AlterEnum",), _judge)
