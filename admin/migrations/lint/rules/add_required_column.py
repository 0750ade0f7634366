"""A column that has to be given, and has no default."""

from admin.migrations.lint import defaults, remedies
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, breaking
from admin.migrations.lint.sqltext import quoted, type_of


def _judge(action: Action, _: Scene) -> Verdict | None:
    column = action.also
    if not defaults.is_missing(column):
        return None
    name, type_ = quoted(action.column), type_of(column.type_name)
    return breaking(
        f"the old version's INSERTs, which don't know {name}, fail; and so does this statement if {action.table} has rows",
        f"""\
-- This release: it may be left out.
ALTER TABLE {action.table} ADD COLUMN {name} {type_};
{remedies.not_null(action.table, name)}""",
    )


RULE = Rule("add-required-column", ("AT_AddColumn",), _judge)
