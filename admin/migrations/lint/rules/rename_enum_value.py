"""A value of an enum under another name."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, breaking
from admin.migrations.lint.sqltext import literal, quoted, strings


def _judge(action: Action, _: Scene) -> Verdict | None:
    if not action.node.old_val:
        return None
    name = ".".join(map(quoted, strings(action.node.type_name)))
    old, new = action.node.old_val, action.node.new_val
    return breaking(
        f"the old version fails when it writes or compares {old!r}, and reads {new!r}, which it doesn't know",
        f"""\
-- A second value; the new version reads both, and writes the new one once the old version is gone.
ALTER TYPE {name} ADD VALUE {literal(new)} AFTER {literal(old)};""",
    )


RULE = Rule("rename-enum-value", ("AlterEnum",), _judge)
