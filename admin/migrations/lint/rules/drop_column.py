"""A column is dropped."""

from admin.migrations.lint import remedies
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, breaking
from admin.migrations.lint.sqltext import quoted


def _judge(action: Action, _: Scene) -> Verdict:
    column = quoted(action.column)
    return breaking(
        f"the old version's queries of {action.table}.{column} fail, and its values are lost",
        f"""\
-- This release: the new version leaves it alone; rows that it writes need no value.
ALTER TABLE {action.table} ALTER COLUMN {column} DROP NOT NULL;
{remedies.later(f"ALTER TABLE {action.table} DROP COLUMN {column};")}""",
    )


RULE = Rule("drop-column", ("AT_DropColumn",), _judge)
