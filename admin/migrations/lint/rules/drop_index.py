"""An index is dropped: queries may become slow, and a unique one may be needed."""

from admin.migrations.lint import remedies
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, advice, conditional
from admin.migrations.lint.sqltext import literal


def _judge(action: Action, scene: Scene) -> Verdict:
    verdict = advice if scene.schema.is_plain_index(action.table) else conditional
    return verdict(
        f"safe if no query of the old version needs {action.table} to be fast, and, if it is unique, none says "
        "ON CONFLICT with its columns, which would fail",
        f"""\
-- Is it used? idx_scan counts since the statistics were reset; look at every replica too.
SELECT idx_scan, last_idx_scan FROM pg_stat_user_indexes WHERE indexrelid = {literal(action.table)}::regclass;
{remedies.later("turnout:transaction off", f"DROP INDEX CONCURRENTLY {action.table};")}""",
    )


RULE = Rule("drop-index", ("Drop:OBJECT_INDEX",), _judge)
