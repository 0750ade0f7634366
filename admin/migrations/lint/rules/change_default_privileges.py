"""Rights on what is created later."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, conditional


def _judge(action: Action, _: Scene) -> Verdict | None:
    if action.node.action.is_grant:
        return None
    return conditional("safe if the old version has its rights on tables to come in another way")


RULE = Rule("change-default-privileges", ("AlterDefaultPrivileges",), _judge)
