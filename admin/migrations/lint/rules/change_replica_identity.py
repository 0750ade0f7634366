"""What logical replication tells of a changed row."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, advice, conditional


def _judge(action: Action, _: Scene) -> Verdict:
    nothing = getattr(action.node, "def").replica_identity_stmt.identity_type == "n"
    said = (
        "with NOTHING, UPDATE and DELETE fail while the table is published"
        if nothing
        else "subscribers get other keys"
    )
    verdict = conditional if nothing else advice
    return verdict(f"safe if nobody follows the changes of {action.table}: {said}")


RULE = Rule("change-replica-identity", ("AT_ReplicaIdentity",), _judge)
