"""In what a query behaves otherwise after the migrations than before. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from admin.migrations.proof.model import Difference, Error, FindingKind, Severity
from admin.migrations.proof.trials import Origin

HARMLESS: Final = frozenset({("varchar", "text"), ("text", "varchar"), ("int2", "int4")})
"""Types that may take another's place: whoever reads the one reads the other."""
_NOT_NULL: Final = "23502"
_TWICE: Final = "23505"
_PARENT: Final = "23503"
_OF_DATA: Final = ("22", "23")
"""Classes of errors that depend on the values: a data exception, a violated constraint."""
_NO_ANSWER: Final = ("57", "55P03", "53", "40")
_WHOSE: Final = {
    Origin.SEEN: "as it was seen",
    Origin.ROW: "with the values of a row that is there",
    Origin.NULL: "with NULL where NULL was allowed",
    Origin.MADE_UP: "with made-up values",
    Origin.TWICE: "when the same values are written twice",
}


@dataclass(frozen=True, slots=True)
class State:
    """How a query stands. error: why it doesn't plan. parameters: types. columns: name and type of each.

    trials: number → why that trial fails; None: it works. Those that were not tried are not in it.
    """

    error: Error | None = None
    parameters: tuple[str, ...] = ()
    columns: tuple[tuple[str, str], ...] = ()
    trials: Mapping[int, Error | None] = field(default_factory=dict)


def differences(before: State, after: State, origins: Sequence[Origin]) -> list[Difference]:
    """All of them, worst first. origins: of the trials, by number."""
    if after.error:
        if has_no_answer(after.error):
            return []
        return [
            Difference(
                FindingKind.QUERY_FAILS,
                f"plan {after.error.sqlstate}",
                f"it no longer plans: {after.error.message}",
                error=after.error,
            )
        ]
    return [
        *_columns(before, after),
        *_parameters(before, after),
        *_writes(before, after, origins),
    ]


def _columns(before: State, after: State) -> list[Difference]:
    """By place, for drivers read them so; more of them at the end are no difference."""
    found = []
    for place, (name, kind) in enumerate(before.columns):
        now = after.columns[place] if place < len(after.columns) else None
        if now is None or now[0] != name:
            instead = f": {now[0]} stands in its place" if now else ""
            said = f"column {place + 1} of its result was {name}{instead or ', and is gone'}"
            found.append(Difference(FindingKind.COLUMN_MISSING, f"column {name}", said))
            break  # all that follow are moved by it
        if now[1] != kind and (kind, now[1]) not in HARMLESS:
            said = f"{name} in its result was {kind}, and is {now[1]}"
            found.append(Difference(FindingKind.RESULT_TYPE, f"type {name}", said))
    return found


def _parameters(before: State, after: State) -> list[Difference]:
    return [
        Difference(
            FindingKind.PARAMETER_TYPE,
            f"parameter {number}",
            f"its parameter ${number} was {was}, and is {now}",
        )
        for number, (was, now) in enumerate(
            zip(before.parameters, after.parameters, strict=False), 1
        )
        if was != now and (was, now) not in HARMLESS
    ]


def _writes(before: State, after: State, origins: Sequence[Origin]) -> list[Difference]:
    """The surest of each cause."""
    found: dict[str, Difference] = {}
    for number, error in after.trials.items():
        if error is None or has_no_answer(error) or before.trials.get(number, error) is not None:
            continue
        origin = origins[number]
        sure = is_sure(error, origin)
        each = Difference(
            FindingKind.RUN_FAILS,
            f"write {error.sqlstate} {error.about}",
            f"{_WHOSE[origin]} it worked, and fails: {error.message}",
            Severity.ERROR if sure else Severity.WARNING,
            error,
        )
        other = found.get(each.id)
        if other is None or (sure and other.severity is Severity.WARNING):
            found[each.id] = each
    return list(found.values())


def has_no_answer(error: Error) -> bool:
    """Whether it says nothing of the query: a time-out, a lock, a lack of memory."""
    return error.sqlstate.startswith(_NO_ANSWER)


def is_sure(error: Error, origin: Origin) -> bool:
    """Whether the old version surely meets the error, or may meet it, if it writes such values.

    NULL in a column that took NULL is what the old schema says that it may write; and a column that it
    doesn't name at all is NULL whatever it writes.
    """
    if not error.sqlstate.startswith(_OF_DATA):
        return True
    if error.sqlstate == _PARENT:
        return False  # the row that it points to may be missing in the clone only
    if origin is Origin.SEEN:
        return True
    if origin is Origin.ROW:
        # What is in one row may well be written again, but not where it must be the only one.
        return error.sqlstate != _TWICE
    return error.sqlstate == _NOT_NULL
