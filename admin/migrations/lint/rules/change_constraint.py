"""A constraint that is deferred, enforced or inherited in another way."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, conditional


def _judge(action: Action, _: Scene) -> Verdict:
    return conditional(
        f"safe if the old version bears when, or whether, it is told of a row that the constraint of "
        f"{action.table} refuses: a deferred one is looked at when the transaction ends"
    )


RULE = Rule("change-constraint", ("AT_AlterConstraint",), _judge)
