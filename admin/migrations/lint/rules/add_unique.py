"""A value that may be there once only: the old version may write it twice."""

from admin.migrations.lint import defaults, remedies
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, conditional
from admin.migrations.lint.sqltext import bare, quoted, strings


def _judge(action: Action, _: Scene) -> Verdict | None:
    if action.kind == "Index" and not action.node.unique:
        return None
    if action.kind == "UsingIndex:UNIQUE":
        return None
    filled = action.kind == "NewColumn:UNIQUE" and defaults.of(
        getattr(action.node, "def").column_def
    )
    if action.kind == "NewColumn:UNIQUE" and not filled:
        return None
    return conditional(
        f"safe if the old version never writes the same value twice to {action.table}: its INSERT or UPDATE fails then, "
        "and so does this statement if there are doubles already",
        _remedy(action),
    )


def _remedy(action: Action) -> str:
    """Doubles are looked for first; then the index, built beside the traffic."""
    if action.kind == "Index":
        elements = [each.index_elem.name for each in action.node.index_params]
        names = elements if all(elements) else []
    else:
        names = strings(action.also.keys) or [action.column]
    columns = ", ".join(map(quoted, names)) or "COLUMNS"
    look = f"""\
-- Doubles that are there already; the new version must not make more, nor the old one:
SELECT {columns}, count(*) FROM {action.table} GROUP BY {columns} HAVING count(*) > 1;
"""
    if action.kind == "Index":
        return look.rstrip()
    name = quoted(action.also.conname or "_".join([bare(action.table), *names, "key"]))
    return look + remedies.unique(action.table, name, columns)


RULE = Rule(
    "add-unique", ("AddConstraint:UNIQUE", "UsingIndex:UNIQUE", "NewColumn:UNIQUE", "Index"), _judge
)
