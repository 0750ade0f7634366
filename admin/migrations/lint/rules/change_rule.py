"""A rule rewrites the old version's statements too."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, conditional


def _judge(action: Action, _: Scene) -> Verdict:
    return conditional(
        f"safe if the old version's statements on {action.table} do the same with and without the rule: it rewrites them, "
        "and what they return",
        "-- A trigger is easier to foresee than a rule.",
    )


RULE = Rule("change-rule", ("Rule", "Drop:OBJECT_RULE"), _judge)
