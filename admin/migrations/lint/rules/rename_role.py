"""A role under another name: whoever logs in by the former can't."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, breaking
from admin.migrations.lint.sqltext import quoted


def _judge(action: Action, _: Scene) -> Verdict:
    old, new = quoted(action.node.subname), quoted(action.node.newname)
    return breaking(
        f"the old version can't log in as {old} any more, and an MD5 password is lost",
        f"-- A second role with the rights of the first:\nCREATE ROLE {new} LOGIN IN ROLE {old};",
    )


RULE = Rule("rename-role", ("Rename:OBJECT_ROLE",), _judge)
