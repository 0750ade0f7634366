"""Rights are taken away."""

from admin.migrations.lint import remedies
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, conditional


def _judge(_: Action, __: Scene) -> Verdict:
    return conditional(
        "what the old version does by these rights is refused from now on, unless it has them in another way",
        remedies.later("REVOKE …;"),
    )


RULE = Rule("revoke", ("Revoke",), _judge)
