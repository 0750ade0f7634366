"""A schema under another name."""

from admin.migrations.lint import remedies
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, breaking
from admin.migrations.lint.sqltext import quoted


def _judge(action: Action, _: Scene) -> Verdict:
    old, new = quoted(action.node.subname), quoted(action.node.newname)
    return breaking(
        f"whatever the old version names in {old}, or finds there by its search_path, is gone",
        f"""\
-- Both schemas, and views by the former names for the old version:
CREATE SCHEMA {new};
-- for each table:
-- ALTER TABLE {old}.some_table SET SCHEMA {new};
-- CREATE VIEW {old}.some_table AS SELECT * FROM {new}.some_table;
{remedies.later(f"DROP SCHEMA {old} CASCADE;")}""",
    )


RULE = Rule("rename-schema", ("Rename:OBJECT_SCHEMA",), _judge)
