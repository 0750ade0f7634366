"""Code that isn't here: what it does can't be read off."""

from admin.migrations.lint import defaults
from admin.migrations.lint.action import Action
from admin.migrations.lint.blocks import block_of
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, conditional


def _judge(action: Action, _: Scene) -> Verdict | None:
    what = "this"
    if action.kind == "Do" and not block_of(action.node).is_open:
        return None  # the statements within are judged as others are
    if action.kind == "Select":
        called = sorted(defaults.functions(action.node) - defaults.READING)
        if not called:
            return None
        what = ", ".join(called)
    return conditional(
        f"what {what} does is not known before it runs: safe if it does what is safe. Read it, and let verify run it",
        "-- Write the statements themselves, one by one, so that each can be judged.",
    )


RULE = Rule("opaque-statement", ("Do", "Call", "Select"), _judge)
