"""An extension of another version, or in another place."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, conditional
from admin.migrations.lint.sqltext import quoted


def _judge(action: Action, _: Scene) -> Verdict:
    return conditional(
        f"safe if the old version bears the new {quoted(action.node.extname)}: its script may change functions and types, and "
        "there is seldom a way back"
    )


RULE = Rule("change-extension", ("AlterExtension",), _judge)
