"""An extension is dropped, and with it its types and functions."""

from admin.migrations.lint import remedies
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, breaking


def _judge(action: Action, _: Scene) -> Verdict:
    return breaking(
        f"types, functions and operators of {action.table} that the old version uses are gone",
        remedies.later(f"DROP EXTENSION {action.table};"),
    )


RULE = Rule("drop-extension", ("Drop:OBJECT_EXTENSION",), _judge)
