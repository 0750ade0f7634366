"""An object that moves to another schema."""

from admin.migrations.lint import remedies
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, breaking
from admin.migrations.lint.sqltext import bare, object_name, quoted


def _judge(action: Action, _: Scene) -> Verdict:
    old = action.table or object_name(action.node.object)
    new = f"{quoted(action.node.newschema)}.{bare(old)}"
    remedy = ""
    if action.kind == "SetSchema:OBJECT_TABLE":
        remedy = f"""\
-- In one migration: a view where the table was.
ALTER TABLE {old} SET SCHEMA {quoted(action.node.newschema)};
CREATE VIEW {old} AS SELECT * FROM {new};
{remedies.later(f"DROP VIEW {old};")}"""
    return breaking(f"the old version looks for {old}, which is {new} now", remedy)


RULE = Rule(
    "move-to-schema",
    (
        "SetSchema:OBJECT_TABLE",
        "SetSchema:OBJECT_VIEW",
        "SetSchema:OBJECT_MATVIEW",
        "SetSchema:OBJECT_SEQUENCE",
        "SetSchema:OBJECT_FOREIGN_TABLE",
        "SetSchema:OBJECT_FUNCTION",
        "SetSchema:OBJECT_PROCEDURE",
        "SetSchema:OBJECT_ROUTINE",
        "SetSchema:OBJECT_AGGREGATE",
        "SetSchema:OBJECT_TYPE",
        "SetSchema:OBJECT_DOMAIN",
        "SetSchema:OBJECT_EXTENSION",
    ),
    _judge,
)
