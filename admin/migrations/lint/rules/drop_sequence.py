"""A sequence is dropped."""

from admin.migrations.lint import remedies
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, breaking


def _judge(action: Action, _: Scene) -> Verdict:
    return breaking(
        f"the old version's nextval('{action.table}') fails, and defaults that use it go or refuse the drop",
        remedies.later(f"DROP SEQUENCE {action.table};"),
    )


RULE = Rule("drop-sequence", ("Drop:OBJECT_SEQUENCE",), _judge)
