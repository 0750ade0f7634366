"""A foreign key: the old version may write or delete against it."""

from admin.migrations.lint import remedies
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Cost, Verdict
from admin.migrations.lint.rule import Rule, Scene, advice, conditional
from admin.migrations.lint.sqltext import bare, name_of, quoted, strings

_REFUSING = {"a", "r", ""}
"""NO ACTION and RESTRICT."""


def _judge(action: Action, scene: Scene) -> Verdict | None:
    node = action.also
    if not node.is_enforced:
        return None
    parent = name_of(node.pktable)
    if action.kind in {"Reference", "NewColumn:FOREIGN"}:
        if node.fk_del_action not in _REFUSING or scene.schema.is_new(parent):
            return None
        if action.kind == "NewColumn:FOREIGN" and scene.locking.cost is Cost.SCAN:
            return conditional(
                f"safe if the row of {parent} that the default names is there, and the old version doesn't delete it"
            )
        return advice(
            f"safe if the old version deletes no row of {parent} that a new row refers to: its DELETE fails then",
            "-- ON DELETE CASCADE or SET NULL lets it delete; or leave the constraint for the release after.",
        )
    columns = ", ".join(map(quoted, strings(node.fk_attrs)))
    name = quoted(node.conname or "_".join([bare(action.table), *strings(node.fk_attrs), "fkey"]))
    to = f" ({', '.join(map(quoted, strings(node.pk_attrs)))})" if node.pk_attrs else ""
    return conditional(
        f"safe if the old version writes no row to {action.table} without its row in {parent}, and deletes none there that is "
        f"referred to; {parent} is locked too (ShareRowExclusiveLock)",
        ""
        if node.skip_validation
        else remedies.validated(
            action.table, name, f"FOREIGN KEY ({columns}) REFERENCES {parent}{to}"
        ),
    )


RULE = Rule("add-foreign-key", ("AddConstraint:FOREIGN", "NewColumn:FOREIGN", "Reference"), _judge)
