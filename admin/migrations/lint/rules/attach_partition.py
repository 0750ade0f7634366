"""A table becomes a partition: its rows appear, and its bounds hold."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, conditional
from admin.migrations.lint.sqltext import bare, name_of, quoted


def _judge(action: Action, scene: Scene) -> Verdict | None:
    part = name_of(getattr(action.node, "def").partition_cmd.name)
    if scene.schema.is_new(part):
        return None
    return conditional(
        f"safe if the old version bears the rows of {part} in {action.table}, and writes to {part} nothing beyond its bounds. "
        f"{part} is locked (AccessExclusiveLock) and scanned, unless a valid CHECK proves the bounds",
        f"""\
-- A CHECK that says what the bounds say spares the scan under the lock:
ALTER TABLE {part} ADD CONSTRAINT {quoted(bare(part) + "_bounds")} CHECK (/* the bounds */ true) NOT VALID;
-- Then, in a migration of its own:
ALTER TABLE {part} VALIDATE CONSTRAINT {quoted(bare(part) + "_bounds")};""",
    )


RULE = Rule("attach-partition", ("AT_AttachPartition",), _judge)
