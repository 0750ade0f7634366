"""An exclusion constraint: the old version may write what excludes each other."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, conditional


def _judge(action: Action, _: Scene) -> Verdict:
    return conditional(
        f"safe if the old version never writes rows to {action.table} that exclude each other. It can't be added NOT VALID, "
        "nor on an index that is there",
        "-- Look for pairs that overlap first; then add it when little is written, with a lock_timeout.",
    )


RULE = Rule("add-exclusion", ("AddConstraint:EXCLUSION",), _judge)
