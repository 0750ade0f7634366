"""A query of an application version, with values that it was seen with. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

import postgast

from admin.migrations.catalogue.model import Node
from admin.migrations.proof.queries.translate import translated

Values = tuple[str | None, ...]
"""Of $1, $2, … as PostgreSQL writes them; None is NULL."""
TRIED = frozenset({"SelectStmt", "InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt", "CallStmt"})
WRITES = frozenset({"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"})
_OF_PG_DUMP = re.compile(
    r"COPY \S+\.\S+ \(.*\) TO stdout|LOCK TABLE .* IN ACCESS SHARE MODE", re.DOTALL
)
"""As it writes them, small letters and all: a backup is no query of the application."""


@dataclass(frozen=True, slots=True)
class Query:
    """One of them.

    text: with $n for what varies, or as it was written. source: a file and its line, or the statistics.
    shown: the text without values. samples: values of $n that it was seen with. written: other texts
    of the same shape, with values in them. kind: of the grammar's node.
    """

    text: str
    source: str
    shown: str
    kind: str
    calls: int = 1
    samples: tuple[Values, ...] = ()
    written: tuple[str, ...] = ()

    @property
    def writes(self) -> bool:
        """Whether it changes rows by itself."""
        return self.kind in WRITES

    @property
    def can_plan(self) -> bool:
        """Whether EXPLAIN takes it: CALL is looked up by PREPARE alone."""
        return self.kind != "CallStmt"

    @property
    def functions(self) -> frozenset[str]:
        """The names of the functions that it calls, without their schemas."""
        names = postgast.extract_functions(postgast.parse(self.text))
        return frozenset(name.rpartition(".")[2] for name in names)

    @property
    def has_parameters(self) -> bool:
        """Whether something in it varies by $n."""
        return "$1" in self.text


@dataclass(frozen=True, slots=True)
class Untried:
    """A statement that can't be prepared, and why that is so."""

    text: str
    source: str
    reason: str


def parsed(text: str) -> tuple[str, Node]:
    """The kind of the one statement in the text, and its node. ValueError: it isn't one."""
    try:
        statements = postgast.parse(text).stmts
    except postgast.PgQueryError as error:
        raise ValueError(f"PostgreSQL's grammar doesn't take it: {error}") from None
    if len(statements) != 1:
        raise ValueError(f"{len(statements)} statements in place of one")
    kind = statements[0].stmt.WhichOneof("node")
    node = getattr(statements[0].stmt, kind)
    return node.DESCRIPTOR.name, node


def query(text: str, source: str, calls: int = 1, values: Values | None = None) -> Query | Untried:
    """What a text is. values: what it was seen with; None: that isn't known."""
    text = text.strip().rstrip(";").strip()
    if _OF_PG_DUMP.fullmatch(text):
        return Untried(_shown(text), source, "it looks like pg_dump's, which asks what there is")
    try:
        kind, node = parsed(text)
        text = translated(kind, node) or text
        kind, _ = parsed(text)
    except ValueError as error:
        return Untried("".join(text.split(maxsplit=1)[:1]), source, str(error))
    if kind not in TRIED:
        return Untried(_shown(text), source, f"not a query ({kind.removesuffix('Stmt')})")
    samples = (values,) if values else ()
    return Query(text, source, _shown(text), kind, calls, samples)


def merged(found: Iterable[Query], samples: int) -> list[Query]:
    """One of each shape, called most first. samples: values that are kept of each, at most."""
    by_shape: dict[str, Query] = {}
    for each in found:
        shape = each.shown + ("$" if each.has_parameters else "")
        first = by_shape.get(shape)
        by_shape[shape] = each if first is None else _with(first, each, samples)
    return sorted(by_shape.values(), key=lambda each: -each.calls)


def _with(first: Query, other: Query, samples: int) -> Query:
    values = tuple(dict.fromkeys((*first.samples, *other.samples)))[:samples]
    written = first.written
    if other.text != first.text and not first.has_parameters:
        written = tuple(dict.fromkeys((*written, other.text)))[:samples]
    return replace(first, calls=first.calls + other.calls, samples=values, written=written)


def _shown(text: str) -> str:
    """Without values, on one line: a text with values may hold a customer's."""
    try:
        text = postgast.normalize(text)
    except postgast.PgQueryError:
        return text.split(maxsplit=1)[0]
    return " ".join(text.split())
