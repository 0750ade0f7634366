"""Row security decides which rows the old version sees."""

from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, conditional


def _judge(action: Action, _: Scene) -> Verdict:
    if action.kind in {"AT_EnableRowSecurity", "AT_ForceRowSecurity"}:
        return conditional(
            f"whom no policy of {action.table} lets pass sees no row, and writes none: the old version too, unless it owns the "
            "table (and FORCE isn't said) or policies let it",
            f"""\
-- Policies first, that let the old version's role do what it does; then switch it on.
CREATE POLICY old_version ON {action.table} TO the_application USING (true) WITH CHECK (true);
ALTER TABLE {action.table} ENABLE ROW LEVEL SECURITY;""",
        )
    if action.kind in {"AT_DisableRowSecurity", "AT_NoForceRowSecurity"}:
        return conditional(
            f"safe if the old version filters the rows of {action.table} itself: it sees those of all now"
        )
    return conditional(
        f"safe if the old version may still see and write the rows of {action.table} that it needs; without row security on "
        "the table a policy does nothing"
    )


RULE = Rule(
    "change-row-security",
    (
        "CreatePolicy",
        "AlterPolicy",
        "Drop:OBJECT_POLICY",
        "AT_EnableRowSecurity",
        "AT_DisableRowSecurity",
        "AT_ForceRowSecurity",
        "AT_NoForceRowSecurity",
    ),
    _judge,
)
