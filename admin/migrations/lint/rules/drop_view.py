"""A view or a materialized view is dropped."""

from admin.migrations.lint import remedies
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, breaking


def _judge(action: Action, _: Scene) -> Verdict:
    what = "MATERIALIZED VIEW" if action.kind.endswith("MATVIEW") else "VIEW"
    return breaking(
        f"the old version's queries of {action.table} fail; if it is made anew, its rights are to be granted again",
        remedies.later(f"DROP {what} {action.table};"),
    )


RULE = Rule("drop-view", ("Drop:OBJECT_VIEW", "Drop:OBJECT_MATVIEW"), _judge)
