"""A sequence that counts in another way."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, conditional


def _judge(action: Action, _: Scene) -> Verdict | None:
    options = {each.def_elem.defname for each in action.node.options}
    if options <= {"cache", "owned_by"}:
        return None
    return conditional(
        f"safe if {action.table} gives no number twice, none that the old version can't take, and doesn't run out: RESTART, "
        "MAXVALUE, AS and CYCLE can do each",
    )


RULE = Rule("change-sequence", ("AlterSeq",), _judge)
