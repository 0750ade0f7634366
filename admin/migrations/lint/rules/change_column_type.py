"""A column of another type."""

from collections.abc import Callable

from admin.migrations.lint import remedies
from admin.migrations.lint.action import Action
from admin.migrations.lint.model import Verdict
from admin.migrations.lint.retyping import Change, Retyping, retyping
from admin.migrations.lint.rule import Rule, Scene, breaking, conditional
from admin.migrations.lint.sqltext import quoted


def _judge(action: Action, scene: Scene) -> Verdict | None:
    change = retyping(action, scene.schema)
    column = quoted(action.column)
    old, new = change.old, change.new
    if change.change in {Change.SAME, Change.WIDER, Change.COPIED}:
        return None
    beside = quoted(f"{action.column}_{new.name}")
    remedy = remedies.second_column(
        action.table,
        column,
        beside,
        str(new),
        str(old) if old else f"/* the type of {column} */ text",
    )
    where = f"{action.table}.{column}"
    verdict, said = _said(change, where)
    return verdict(said, remedy)


def _said(change: Retyping, where: str) -> tuple[Callable[[str, str], Verdict], str]:
    """How grave it is, and in what words."""
    old, new = change.old, change.new
    match change.change:
        case Change.LARGER:
            return breaking, (
                f"the old version is told {new} of {where} in place of {old}: what it writes fits, but what it "
                "reads is of another form, and may be too large for it"
            )
        case Change.RESHAPED:
            return conditional, (
                f"safe if the old version bears the values of {where} in another form: more digits, or no blanks "
                "at the end, or what the expression makes of them"
            )
        case Change.LOOSER:
            return conditional, (
                f"safe if the old version counts neither on rounding by {old} nor on the order of {where}"
            )
        case Change.NARROWER:
            return conditional, (
                f"safe if all that is in {where}, and all that the old version writes there, fits {new}"
            )
        case Change.UNKNOWN:
            return conditional, (
                f"the type that {where} has isn't known: no earlier migration says it. It is safe if {new} takes all "
                "that it takes now and reads the same; give --database, or the folder with all migrations"
            )
    return breaking, (
        f"the old version expects {old or 'the former type'} in {where} and gets {new}: its comparisons, parameters and "
        "code may fail"
    )


RULE = Rule("change-column-type", ("AT_AlterColumnType",), _judge)
