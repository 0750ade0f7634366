"""A view under another name."""

from admin.migrations.lint import remedies
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, breaking
from admin.migrations.lint.sqltext import quoted


def _judge(action: Action, _: Scene) -> Verdict:
    old, new = action.table, quoted(action.node.newname)
    return breaking(
        f"the old version's queries of {old} fail",
        f"""\
-- A second view beside the first:
CREATE VIEW {new} AS SELECT * FROM {old};
{remedies.later(f"-- define {new} by itself, then:", f"DROP VIEW {old};")}""",
    )


RULE = Rule("rename-view", ("Rename:OBJECT_VIEW", "Rename:OBJECT_MATVIEW"), _judge)
