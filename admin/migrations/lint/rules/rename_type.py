"""A type or a domain under another name."""

from admin.migrations.lint import remedies
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, breaking
from admin.migrations.lint.sqltext import object_name, quoted


def _judge(action: Action, _: Scene) -> Verdict:
    old, new = object_name(action.node.object), quoted(action.node.newname)
    return breaking(
        f"casts and parameters of the old version that name {old} fail, and drivers look it up by name",
        f"""\
-- Nothing but a name is won. If it must be: a domain by the former name, for casts.
ALTER TYPE {old} RENAME TO {new};
CREATE DOMAIN {old} AS {new};
{remedies.later(f"DROP DOMAIN {old};")}""",
    )


RULE = Rule("rename-type", ("Rename:OBJECT_TYPE", "Rename:OBJECT_DOMAIN"), _judge)
