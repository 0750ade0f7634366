"""A table under another name: the old version asks for the former."""

from admin.migrations.lint import remedies
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, breaking, conditional
from admin.migrations.lint.sqltext import name_of, quoted


def _judge(action: Action, scene: Scene) -> Verdict:
    new = quoted(action.node.newname)
    remedy = f"""\
-- In one migration: a view by the former name, which the old version can read and write.
ALTER TABLE {action.table} RENAME TO {new};
CREATE VIEW {action.table} AS SELECT * FROM {new};
{remedies.later(f"DROP VIEW {action.table};")}"""
    if _has_view(action.table, scene):
        return conditional(
            f"the view {action.table} stands in for the table; ON CONFLICT, COPY FROM, TRUNCATE, "
            "and changes of the schema by that name fail. Try what the old version sends",
            remedies.later(f"DROP VIEW {action.table};"),
        )
    return breaking(
        f"the old version's queries of {action.table} fail: it is called {new} now", remedy
    )


def _has_view(table: str, scene: Scene) -> bool:
    """Whether a view by the former name comes right after, in the same file."""
    views = (each.node.view for each in scene.following if each.node.DESCRIPTOR.name == "ViewStmt")
    return any(name_of(view) == table for view in views)


RULE = Rule("rename-table", ("Rename:OBJECT_TABLE", "Rename:OBJECT_FOREIGN_TABLE"), _judge)
