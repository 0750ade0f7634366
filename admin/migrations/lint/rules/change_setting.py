"""A setting for all of a role's sessions, or of a database's."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, conditional


def _judge(_: Action, __: Scene) -> Verdict:
    return conditional(
        "safe if the old version bears it: it holds for its next sessions too, and, of a role, its rights to log in"
    )


RULE = Rule(
    "change-setting",
    ("AlterRoleSet", "AlterDatabaseSet", "AlterRole", "AlterDatabase", "AlterSystem"),
    _judge,
)
