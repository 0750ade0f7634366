"""A domain with another default or constraint: all columns of it."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, conditional
from admin.migrations.lint.sqltext import quoted, strings


def _judge(action: Action, scene: Scene) -> Verdict | None:
    name = ".".join(map(quoted, strings(action.node.type_name)))
    if strings(action.node.type_name)[-1] in scene.schema.types_here:
        return None
    match action.node.subtype:
        case "O":
            return conditional(
                f"the old version's writes of NULL to a column of {name} fail; all tables with one are scanned"
            )
        case "C":
            skips = getattr(action.node, "def").constraint.skip_validation
            said = (
                ""
                if skips
                else "; all tables with a column of it are scanned, and blocked for writes meanwhile"
            )
            return conditional(
                f"safe if all that the old version writes to columns of {name} passes{said}"
            )
        case "V" | "X":
            return None
    return conditional(f"safe if the old version bears it in all columns of {name}")


RULE = Rule("change-domain", ("AlterDomain",), _judge)
