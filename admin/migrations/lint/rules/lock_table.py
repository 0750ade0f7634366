"""A table is locked by hand."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, blocking


def _judge(action: Action, scene: Scene) -> Verdict | None:
    if not scene.locking.lock.blocks_writes:
        return None
    return blocking(
        f"{action.table} is locked ({scene.locking.lock.mode}) until the transaction ends: it blocks {scene.locking.lock.blocks}",
        f"LOCK TABLE {action.table} IN SHARE UPDATE EXCLUSIVE MODE; -- keeps other migrations out, and nobody else",
    )


RULE = Rule("lock-table", ("Lock",), _judge)
