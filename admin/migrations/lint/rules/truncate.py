"""All rows of a table are thrown away."""

from admin.migrations.lint import remedies
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, breaking


def _judge(action: Action, _: Scene) -> Verdict:
    return breaking(
        f"all rows of {action.table} are lost to the old version, and of all tables that CASCADE reaches",
        remedies.later(remedies.batch(f"DELETE FROM {action.table}", action.table, "true")),
    )


RULE = Rule("truncate", ("Truncate",), _judge)
