"""What is published to subscribers changes."""

import re

from admin.migrations.catalogue.transactions import word
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, advice, breaking, conditional


def _judge(action: Action, scene: Scene) -> Verdict | None:
    if action.kind == "Published":
        return _published(action, scene)
    if action.kind in {"CreatePublication", "AlterPublication"}:
        return _of_all(action)
    return advice("subscribers get nothing any more of what is taken away, or of the former name")


def _published(action: Action, scene: Scene) -> Verdict | None:
    """A table that is published."""
    if action.node.DESCRIPTOR.name == "CreatePublicationStmt" and not _has_changes(action):
        return None
    table = scene.schema.table(action.table)
    if table.primary:
        return None
    said = "UPDATE and DELETE of a published table without a primary key or replica identity fail"
    remedy = f"ALTER TABLE {action.table} REPLICA IDENTITY FULL; -- or a primary key first"
    if table.columns and table.is_whole:
        return breaking(f"the old version's {said}: {action.table} has none", remedy)
    return conditional(f"safe if {action.table} has one: {said}, the old version's too", remedy)


def _of_all(action: Action) -> Verdict | None:
    """A publication itself."""
    if action.node.DESCRIPTOR.name == "AlterPublicationStmt":
        if word(action.node, "action") != "AP_AddObjects":
            return advice("subscribers get nothing any more of what is taken away")
        return None
    if not action.node.for_all_tables or not _has_changes(action):
        return None
    return conditional("safe if every table has a primary key or a replica identity")


def _has_changes(action: Action) -> bool:
    """Whether UPDATE and DELETE are published."""
    published = [
        each.def_elem.arg.string.sval
        for each in action.node.options
        if each.def_elem.defname == "publish"
    ]
    return not published or bool({"update", "delete"} & set(re.split(r"[,\s]+", published[0])))


RULE = Rule(
    "change-publication",
    (
        "AlterPublication",
        "Published",
        "CreatePublication",
        "Drop:OBJECT_PUBLICATION",
        "Rename:OBJECT_PUBLICATION",
    ),
    _judge,
)
