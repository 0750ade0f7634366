"""A sequence under another name: nextval finds it by the former."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, breaking
from admin.migrations.lint.sqltext import quoted


def _judge(action: Action, _: Scene) -> Verdict:
    new = quoted(action.node.newname)
    return breaking(
        f"the old version's nextval('{action.table}') fails; defaults of columns go on, they know it by its number",
        f"-- Leave the name: nothing but a name is won. New code may use {new} through a function.",
    )


RULE = Rule("rename-sequence", ("Rename:OBJECT_SEQUENCE",), _judge)
