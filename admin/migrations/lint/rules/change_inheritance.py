"""A table inherits from another, or no longer, or is of a type."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, breaking, conditional


def _judge(action: Action, _: Scene) -> Verdict | None:
    if action.kind in {"AT_AddOf", "AT_DropOf"}:
        return None
    if action.kind == "AT_DropInherit":
        return breaking(
            f"the old version's queries of the parent don't find the rows of {action.table}"
        )
    return conditional(
        f"safe if the old version's queries of the parent bear that the rows of {action.table} are in it, or aren't any more"
    )


RULE = Rule(
    "change-inheritance", ("AT_AddInherit", "AT_DropInherit", "AT_AddOf", "AT_DropOf"), _judge
)
