"""A table that isn't in the log, or is again."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, advice


def _judge(action: Action, _: Scene) -> Verdict:
    return advice(
        f"safe if the rows of {action.table} may be lost: after a crash it is empty, and no replica has it"
    )


RULE = Rule("change-persistence", ("AT_SetUnLogged",), _judge)
