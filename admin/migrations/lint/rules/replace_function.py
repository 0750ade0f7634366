"""A function of the same name with another body."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, conditional
from admin.migrations.lint.sqltext import quoted, strings


def _judge(action: Action, scene: Scene) -> Verdict | None:
    name = ".".join(map(quoted, strings(action.node.funcname)))
    known = strings(action.node.funcname)[-1]
    if known in scene.schema.functions_here:
        return None
    if not action.node.replace and known not in scene.schema.functions:
        return None
    return conditional(
        f"safe if {name} does for the old version's calls what it did: PostgreSQL holds that the types of parameters and "
        "result stay. With other parameters it is a second function, and a call may then fit both",
        f"-- A function of a new name beside it: CREATE FUNCTION {name}_2(…) …",
    )


RULE = Rule("replace-function", ("CreateFunction",), _judge)
