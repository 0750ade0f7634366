"""A primary key: no doubles, and no NULL."""

from admin.migrations.lint import remedies
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, breaking, conditional
from admin.migrations.lint.sqltext import bare, quoted, strings


def _judge(action: Action, scene: Scene) -> Verdict | None:
    if action.kind == "NewColumn:PRIMARY":
        return None
    if action.kind == "UsingIndex:PRIMARY":
        return _by_index(action, scene)
    names = strings(action.also.keys)
    unheld = [each for each in names if not scene.schema.holds_not_null(action.table, each)]
    columns = ", ".join(map(quoted, names))
    name = quoted(action.also.conname or f"{bare(action.table)}_pkey")
    remedy = ""
    if names:
        steps = [remedies.not_null(action.table, quoted(each)) for each in unheld]
        remedy = "\n".join([*steps, remedies.unique(action.table, name, columns, "PRIMARY KEY")])
    return conditional(
        f"safe if the old version never leaves a key of {action.table} out, as NULL, nor writes one twice: its INSERT "
        "fails then",
        remedy,
    )


def _by_index(action: Action, scene: Scene) -> Verdict | None:
    """The index was judged for doubles; NULL is left."""
    columns = scene.schema.indexes.get(action.also.indexname)
    if columns is None:
        return conditional(
            f"safe if the columns of {quoted(action.also.indexname)} are NOT NULL already"
        )
    unheld = [each for each in columns if not scene.schema.holds_not_null(action.table, each)]
    if not unheld:
        return None
    steps = [remedies.not_null(action.table, quoted(each)) for each in unheld]
    named = ", ".join(map(quoted, unheld))
    return breaking(
        f"the old version's INSERTs that leave {named} out fail: no NULL", "\n".join(steps)
    )


RULE = Rule(
    "add-primary-key", ("AddConstraint:PRIMARY", "UsingIndex:PRIMARY", "NewColumn:PRIMARY"), _judge
)
