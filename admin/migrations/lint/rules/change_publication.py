"""What is published to subscribers changes."""

import re

from admin.migrations.catalogue.transactions import word
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, advice, conditional


def _judge(action: Action, _: Scene) -> Verdict | None:
    if action.kind == "CreatePublication":
        published = [
            each.def_elem.arg.string.sval
            for each in action.node.options
            if each.def_elem.defname == "publish"
        ]
        if published and not {"update", "delete"} & set(re.split(r"[,\s]+", published[0])):
            return None
        return conditional(
            "safe if each published table has a replica identity: UPDATE and DELETE of one without fail, the old version's too",
            "-- A primary key first, or: ALTER TABLE … REPLICA IDENTITY FULL;",
        )
    if action.kind == "AlterPublication" and word(action.node, "action") == "AP_AddObjects":
        return conditional("safe if each published table has a replica identity")
    return advice("subscribers get nothing any more of what is taken away, or of the former name")


RULE = Rule(
    "change-publication",
    (
        "AlterPublication",
        "CreatePublication",
        "Drop:OBJECT_PUBLICATION",
        "Rename:OBJECT_PUBLICATION",
    ),
    _judge,
)
