"""A type or a domain is dropped."""

from admin.migrations.lint import remedies
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, breaking


def _judge(action: Action, _: Scene) -> Verdict:
    return breaking(
        f"casts and parameters of the old version that name {action.table} fail; with CASCADE the columns of it go",
        remedies.later(f"DROP TYPE {action.table};"),
    )


RULE = Rule("drop-type", ("Drop:OBJECT_TYPE", "Drop:OBJECT_DOMAIN"), _judge)
