"""Another owner: the former loses what only owners may."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, conditional


def _judge(action: Action, _: Scene) -> Verdict:
    name = action.table or "it"
    return conditional(
        f"safe if the old version's role isn't the former owner of {name}, or has its rights by a grant: an owner's rights go "
        "with the ownership, and a view reads by its owner's",
        f"-- Rights first:\nGRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO the_application;"
        if action.kind == "AT_ChangeOwner"
        else "",
    )


RULE = Rule(
    "change-owner",
    (
        "AT_ChangeOwner",
        "Owner:OBJECT_SCHEMA",
        "Owner:OBJECT_FUNCTION",
        "Owner:OBJECT_PROCEDURE",
        "Owner:OBJECT_TYPE",
        "Owner:OBJECT_DOMAIN",
        "Owner:OBJECT_DATABASE",
        "Owner:OBJECT_PUBLICATION",
        "OBJECT_VIEW:AT_ChangeOwner",
        "OBJECT_MATVIEW:AT_ChangeOwner",
        "OBJECT_SEQUENCE:AT_ChangeOwner",
    ),
    _judge,
)
