"""Which values a write is tried with. Pure.

Rule: a trial that works before the migrations and not after them is a difference. How sure that is depends
on where the value came from: seen in a log, there already in a row, NULL where NULL was allowed, or made up.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from admin.migrations.proof.columns import Column, Table
from admin.migrations.proof.queries.model import Query, Values
from admin.migrations.proof.queries.shape import Shape
from admin.migrations.proof.values import at_the_edge, made_up


class Origin(StrEnum):
    """Where a trial's values came from."""

    SEEN = "seen"
    ROW = "row"
    NULL = "null"
    MADE_UP = "made-up"
    TWICE = "twice"


@dataclass(frozen=True, slots=True)
class Trial:
    """One try: statements with the values of their parameters, one after the other."""

    origin: Origin
    steps: tuple[tuple[str, Values], ...]


def trials(
    query: Query, form: Shape, types: Sequence[str], table: Table | None, most: int
) -> list[Trial]:
    """Those of one write. form, types: of its text with parameters. most: at most so many made up."""
    found = _seen(query, types)
    if types:
        text = query.text if query.has_parameters else query.shown
        found += islice(_made_up(text, _Parameters(form, types, table)), most)
    return found


def _seen(query: Query, types: Sequence[str]) -> list[Trial]:
    """What was seen: each for itself, and all of it, for what may be there only once."""
    if query.has_parameters:
        steps = [(query.text, each) for each in query.samples if len(each) == len(types)]
    else:
        steps = [(text, ()) for text in (query.text, *query.written)]
    found = [Trial(Origin.SEEN, (each,)) for each in steps]
    return [*found, Trial(Origin.SEEN, tuple(steps))] if len(steps) > 1 else found


class _Parameters:
    """The parameters of a write, and the column that each is for."""

    def __init__(self, form: Shape, types: Sequence[str], table: Table | None) -> None:
        self.types = types
        columns: Mapping[str, Column] = table.columns if table else {}
        order = table.order if table else ()
        self.written = {
            **{number: columns.get(name) for number, name in form.writes.items()},
            **{
                number: columns[order[place]]
                for number, place in form.positions.items()
                if place < len(order)
            },
        }
        self.compared = {number: columns.get(name) for number, name in form.compares.items()}
        self.keys = table.keys if table else frozenset()
        self.inserts = form.kind == "InsertStmt"

    def column(self, number: int) -> Column | None:
        return self.written.get(number) or self.compared.get(number)

    def values(self, n: int, row: int | None = None) -> Values:
        """One of each. n: which made-up ones. row: take those of a row, where there is one."""
        return tuple(self._value(number, n, row) for number in range(1, len(self.types) + 1))

    def _value(self, number: int, n: int, row: int | None) -> str | None:
        column = self.column(number)
        # A key that is written must be new; one that is compared should be found.
        is_new = column and self.inserts and column.name in self.keys
        if row is not None and column and not is_new and row < len(column.values):
            return column.values[row]
        return made_up(self.types[number - 1], n, column)


def _made_up(text: str, own: _Parameters) -> Iterator[Trial]:
    bases = [(Origin.MADE_UP, own.values(1))]
    has_rows = any(each and each.values for each in (*own.written.values(), *own.compared.values()))
    if has_rows:
        bases.append((Origin.ROW, own.values(1, row=0)))
    for origin, values in bases:
        yield Trial(origin, ((text, values),))
    for number, column in own.written.items():
        if column and not column.not_null:
            for _, values in bases:
                yield Trial(Origin.NULL, ((text, _with(values, number, None)),))
    if own.inserts:
        yield Trial(Origin.TWICE, ((text, own.values(1)), (text, _twin(own))))
    for number, column in own.written.items():
        for edge in at_the_edge(own.types[number - 1], column) if column else ():
            yield Trial(Origin.MADE_UP, ((text, _with(bases[-1][1], number, edge)),))


def _twin(own: _Parameters) -> Values:
    """The same again, but for what had to be unique before."""
    first, other = own.values(1), own.values(2)
    return tuple(
        other[place]
        if (column := own.column(place + 1)) and column.name in own.keys
        else first[place]
        for place in range(len(first))
    )


def _with(values: Values, number: int, value: str | None) -> Values:
    return (*values[: number - 1], value, *values[number:])
