"""An index on an expression: what fails for a value fails the old version's writes."""

import postgast

from admin.migrations.lint import defaults
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.rule import Rule, Scene, conditional

_FAILING = {"/", "%", "^"}
"""Operators that fail for some values."""


def _judge(action: Action, _: Scene) -> Verdict | None:
    kinds = postgast.pg_query_pb2
    operators = {
        each.string.sval
        for found in postgast.find_nodes(action.node, kinds.A_Expr)
        for each in found.name
    }
    casts = any(True for _ in postgast.find_nodes(action.node, kinds.TypeCast))
    if not (operators & _FAILING or casts or defaults.unsteady(action.node)):
        return None
    return conditional(
        f"safe if the expression fails for nothing that the old version writes to {action.table}: its INSERT or UPDATE "
        "fails then"
    )


RULE = Rule("index-on-expression", ("Index",), _judge)
