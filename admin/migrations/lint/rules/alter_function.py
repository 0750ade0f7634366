"""A function's properties change."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, conditional
from admin.migrations.lint.sqltext import quoted, strings


def _judge(action: Action, _: Scene) -> Verdict | None:
    words = {each.def_elem.defname for each in action.node.actions}
    if not words & {"strict", "security", "set"}:
        return None
    name = ".".join(map(quoted, strings(action.node.func.objname)))
    return conditional(
        f"safe if the old version's calls of {name} bear it: STRICT answers NULL for NULL, SECURITY DEFINER and SET change "
        "whose rights and which settings it has"
    )


RULE = Rule("alter-function", ("AlterFunction",), _judge)
