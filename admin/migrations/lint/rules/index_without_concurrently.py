"""An index that is built while nobody can write."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, blocking
from admin.migrations.lint.sqltext import deparsed_concurrently, quoted


def _judge(action: Action, scene: Scene) -> Verdict | None:
    size = scene.context.size(action.table)
    if action.node.concurrent or (size and size.is_small):
        return None
    name = quoted(action.node.idxname) if action.node.idxname else "NAME"
    return blocking(
        f"writes to {action.table} wait until the index is built",
        f"""\
-- turnout:transaction off
DROP INDEX CONCURRENTLY IF EXISTS {name}; -- an invalid one that was left behind
{deparsed_concurrently(action.node)};""",
    )


RULE = Rule("index-without-concurrently", ("Index",), _judge)
