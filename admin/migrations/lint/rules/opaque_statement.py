"""Code that only runs when it runs: what it does can't be read off."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, conditional


def _judge(_: Action, __: Scene) -> Verdict:
    return conditional(
        "what this does is not known before it runs: safe if it does what is safe. Read it, and let verify run it",
        "-- Write the statements themselves, one by one, so that each can be judged.",
    )


RULE = Rule("opaque-statement", ("Do", "Call"), _judge)
