"""A schema is dropped."""

from admin.migrations.catalogue.transactions import word
from admin.migrations.lint import remedies
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, breaking, conditional


def _judge(action: Action, _: Scene) -> Verdict:
    if word(action.node, "behavior") != "DROP_CASCADE":
        return conditional(
            f"safe if {action.table} is empty, as PostgreSQL insists, and the old version makes nothing in it"
        )
    return breaking(
        f"whatever the old version uses in {action.table} is gone, and all rows in it are lost",
        f"""\
-- This release: out of the way, which can be undone.
-- REVOKE USAGE ON SCHEMA {action.table} FROM the_application;
{remedies.later(f"DROP SCHEMA {action.table} CASCADE;")}""",
    )


RULE = Rule("drop-schema", ("Drop:OBJECT_SCHEMA",), _judge)
