"""A constraint is dropped: the old version may count on what it holds."""

from admin.migrations.lint import remedies
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, advice, conditional
from admin.migrations.lint.sqltext import quoted


def _judge(action: Action, scene: Scene) -> Verdict | None:
    name = quoted(action.node.name)
    known = scene.schema.checks_of(action.table).get(action.node.name)
    if known and scene.schema.holds_not_null(action.table, known.not_null):
        return None
    verdict = advice if known else conditional  # a CHECK; another may be unique
    return verdict(
        f"safe if the old version bears rows that {name} would refuse, and says no ON CONFLICT that needs it, if "
        "it is unique; once there are such rows the way back to the constraint is closed",
        remedies.later(f"ALTER TABLE {action.table} DROP CONSTRAINT {name};"),
    )


RULE = Rule("drop-constraint", ("AT_DropConstraint",), _judge)
