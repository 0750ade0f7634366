"""A function or procedure under another name."""

from admin.migrations.lint import remedies
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, breaking
from admin.migrations.lint.sqltext import object_name, quoted


def _judge(action: Action, _: Scene) -> Verdict:
    old, new = object_name(action.node.object), quoted(action.node.newname)
    return breaking(
        f"the old version's calls of {old} fail",
        f"""\
-- Create {new} beside it, with the same body, and drop {old} later:
-- CREATE FUNCTION {new}(…) …
{remedies.later(f"DROP FUNCTION {old};")}""",
    )


RULE = Rule(
    "rename-function",
    (
        "Rename:OBJECT_FUNCTION",
        "Rename:OBJECT_PROCEDURE",
        "Rename:OBJECT_ROUTINE",
        "Rename:OBJECT_AGGREGATE",
    ),
    _judge,
)
