"""Triggers or rules are switched on or off."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, conditional


def _judge(action: Action, _: Scene) -> Verdict:
    return conditional(
        f"safe if the old version doesn't count on what is switched on {action.table}; DISABLE TRIGGER ALL lets foreign keys "
        "be broken, and nobody is told"
    )


RULE = Rule(
    "switch-triggers",
    (
        "AT_EnableTrig",
        "AT_EnableRule",
        "AT_EnableAlwaysTrig",
        "AT_EnableAlwaysRule",
        "AT_EnableReplicaTrig",
        "AT_EnableReplicaRule",
        "AT_DisableTrig",
        "AT_DisableRule",
        "AT_EnableTrigAll",
        "AT_EnableTrigUser",
        "AT_DisableTrigAll",
        "AT_DisableTrigUser",
    ),
    _judge,
)
