"""A check: the old version may write what it refuses."""

from admin.migrations.lint import remedies
from admin.migrations.lint.action import Action
from admin.migrations.lint.learning import not_null_column
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, conditional
from admin.migrations.lint.sqltext import bare, expression, quoted


def _judge(action: Action, scene: Scene) -> Verdict | None:
    node = action.also
    column = not_null_column(node.raw_expr)
    if not node.is_enforced or (column and scene.schema.holds_not_null(action.table, column)):
        return None
    check = f"CHECK ({expression(node.raw_expr)})"
    name = quoted(node.conname or f"{bare(action.table)}_check")
    if column:
        return conditional(
            f"the old version's INSERTs and UPDATEs that leave {quoted(column)} NULL fail",
            remedies.not_null(action.table, quoted(column)),
        )
    return conditional(
        f"safe if every row that the old version writes to {action.table} passes {check}: its INSERT or UPDATE fails else",
        "" if node.skip_validation else remedies.validated(action.table, name, check),
    )


RULE = Rule("add-check", ("AddConstraint:CHECK",), _judge)
