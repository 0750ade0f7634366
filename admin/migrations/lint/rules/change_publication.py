"""What is published to subscribers changes."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, conditional


def _judge(action: Action, _: Scene) -> Verdict:
    if action.kind == "CreatePublication":
        return conditional(
            "safe if each published table has a replica identity: UPDATE and DELETE of one without fail, the old version's too",
            "-- A primary key first, or: ALTER TABLE … REPLICA IDENTITY FULL;",
        )
    return conditional("safe if no subscriber of the old version needs what is taken away")


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
