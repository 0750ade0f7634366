"""A column under another name: the old version asks for the former."""

from admin.migrations.catalogue.transactions import word
from admin.migrations.lint import remedies
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, breaking
from admin.migrations.lint.sqltext import quoted


def _judge(action: Action, scene: Scene) -> Verdict:
    old, new = quoted(action.node.subname), quoted(action.node.newname)
    known = scene.schema.column(action.table, action.node.subname)
    type_ = str(known.type) if known else f"/* the type of {old} */ text"
    remedy = ""
    if word(action.node, "relation_type") == "OBJECT_TABLE":
        remedy = remedies.second_column(action.table, old, new, type_)
    return breaking(
        f"the old version's queries of {action.table}.{old} fail: it is called {new} now", remedy
    )


RULE = Rule("rename-column", ("Rename:OBJECT_COLUMN",), _judge)
