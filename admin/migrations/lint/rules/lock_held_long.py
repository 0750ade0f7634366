"""A lock that others wait for is held while something of the same transaction takes long."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.context import how_long
from admin.migrations.lint.model import Cost, Verdict
from admin.migrations.lint.rule import Held, Rule, Scene, blocking
from admin.migrations.lint.schema import unqualified

_SHOWN = 5


def _judge(action: Action, scene: Scene) -> Verdict | None:
    locked, size = scene.locking, scene.context.size(action.table)
    if locked.cost is Cost.INSTANT or (size and size.is_small):
        return None
    waiting = [each for each in scene.held if _is_stronger(each, action, scene)]
    if not waiting:
        return None
    shown = [f"{each.table} ({each.lock.mode}, line {each.line})" for each in waiting[:_SHOWN]]
    more = len(waiting) - len(shown)
    tables = ", ".join(shown) + (f" and {more} more" if more else "")
    whom = max(waiting, key=lambda each: each.lock.rank).lock.blocks
    done = "written anew" if locked.cost is Cost.REWRITE else "scanned"
    return blocking(
        f"{action.table or 'each table'} is {done} while the transaction holds {tables}{how_long(size, locked.cost)}: "
        f"a lock lasts until the transaction ends, so {whom} wait so long",
        _remedy(scene, waiting),
    )


def _is_stronger(held: Held, action: Action, scene: Scene) -> bool:
    """Whether it blocks more there than the long action does itself, of which another rule tells."""
    own = scene.locking.lock
    return held.lock.rank > own.rank or unqualified(action.table) != unqualified(held.table)


def _remedy(scene: Scene, waiting: list[Held]) -> str:
    if any(each.line == scene.statement.line for each in waiting):
        return "-- Each part a statement; what takes long in a file of its own, after this one."
    return f"""\
-- In a file of its own, after this one: each file is a transaction, so the lock is gone before it begins.
{scene.statement.sql};"""


RULE = Rule("lock-held-long", (), _judge)
