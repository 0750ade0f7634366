"""A table is dropped."""

from admin.migrations.lint import remedies
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, breaking


def _judge(action: Action, _: Scene) -> Verdict:
    return breaking(
        f"the old version's queries of {action.table} fail, and its rows are lost",
        f"""\
-- This release: nothing uses it any more. A rest of use is found by taking rights away, which can be undone:
-- REVOKE ALL ON {action.table} FROM the_application;
{remedies.later(f"DROP TABLE {action.table};")}""",
    )


RULE = Rule("drop-table", ("Drop:OBJECT_TABLE", "Drop:OBJECT_FOREIGN_TABLE"), _judge)
