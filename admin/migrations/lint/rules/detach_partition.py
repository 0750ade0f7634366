"""A partition is taken away: its rows are gone from the table."""

from admin.migrations.lint import remedies
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, breaking
from admin.migrations.lint.sqltext import name_of


def _judge(action: Action, _: Scene) -> Verdict:
    part = name_of(getattr(action.node, "def").partition_cmd.name)
    return breaking(
        f"the old version doesn't find the rows of {part} in {action.table} any more, and its INSERTs into that range fail",
        remedies.later(
            "turnout:transaction off",
            f"ALTER TABLE {action.table} DETACH PARTITION {part} CONCURRENTLY;",
        ),
    )


RULE = Rule("detach-partition", ("AT_DetachPartition", "AT_DetachPartitionFinalize"), _judge)
