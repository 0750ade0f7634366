"""A generated column of another expression, or no longer generated."""

from admin.migrations.lint import remedies
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, breaking, conditional
from admin.migrations.lint.sqltext import quoted


def _judge(action: Action, _: Scene) -> Verdict:
    column = quoted(action.column)
    if action.kind == "AT_DropExpression":
        return conditional(
            f"rows that the old version writes have no value in {column} any more: it doesn't write it itself",
            f"""\
-- A trigger that computes it for whoever doesn't write it, before the expression goes:
-- CREATE TRIGGER … BEFORE INSERT OR UPDATE ON {action.table} …
{remedies.later(f"ALTER TABLE {action.table} ALTER COLUMN {column} DROP EXPRESSION;")}""",
        )
    return breaking(
        f"the old version reads what the new expression makes of {column}",
        f"-- A second generated column beside {column}, for the new version.",
    )


RULE = Rule("change-generated-column", ("AT_SetExpression", "AT_DropExpression"), _judge)
