"""What a change of a column's type means, from the type that it had. Pure.

Confirmed on PostgreSQL 18 by tests/integration/migrations/test_lint_locks.py: whether the table's file is another one.
"""

from dataclasses import dataclass
from enum import StrEnum

from admin.migrations.catalogue.model import Node
from admin.migrations.lint.action import Action
from admin.migrations.lint.schema import Schema
from admin.migrations.lint.sqltext import Type, strings, type_of


class Change(StrEnum):
    """What becomes of the values, and of what the old version writes.

    same: nothing. wider: all old values and writes fit, no rewrite. copied: the same, by a rewrite.
    looser: the same with less care, no rewrite. reshaped: the same values in another form, by a
    rewrite. larger: the same kind of value with more room, by a rewrite.
    relabeled: another type of the same bytes, no rewrite. narrower: what the old
    version writes may not fit. other: another kind of value. unknown: the former type isn't known.
    """

    SAME = "same"
    COPIED = "copied"
    WIDER = "wider"
    LOOSER = "looser"
    RESHAPED = "reshaped"
    LARGER = "larger"
    RELABELED = "relabeled"
    NARROWER = "narrower"
    OTHER = "other"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Retyping:
    """old: None if it isn't known."""

    change: Change
    old: Type | None
    new: Type


_TEXTS = {"varchar", "text"}
_LADDERS = (("int2", "int4", "int8"), ("float4", "float8"))
_BITS = {"varbit"}
_SAME_BYTES = {
    ("cidr", "inet"),
    ("bit", "varbit"),
    ("int4", "oid"),
    ("xml", "text"),
    ("xml", "varchar"),
}
"""Casts that do nothing: in pg_cast with the method `b`."""
_PRECISE = {"timestamp", "timestamptz", "time", "timetz", "interval"}
_MOST_PRECISE = 6


def retyping(action: Action, schema: Schema) -> Retyping:
    """What an AT_AlterColumnType does."""
    given = getattr(action.node, "def").column_def
    new = type_of(given.type_name)
    known = schema.column(action.table, action.column)
    old = known.type if known else None
    if given.HasField("raw_default") and not _is_plain_cast(given.raw_default, action.column, new):
        same = old is not None and is_seen_the_same(old, new)
        return Retyping(Change.RESHAPED if same else Change.OTHER, old, new)
    if old is None:
        return Retyping(Change.UNKNOWN, None, new)
    if schema.domains.get(old.name) == new:
        return Retyping(Change.WIDER, old, new)
    below = schema.domains.get(new.name)
    if below is not None and change_of(old, below) in {Change.SAME, Change.WIDER}:
        # Who reads it is told the type below.
        checked = new.name in schema.constrained_domains
        return Retyping(Change.NARROWER if checked else Change.WIDER, old, new)
    change = change_of(old, new)
    if given.HasField("coll_clause") and change in {Change.SAME, Change.WIDER}:
        change = Change.LOOSER
    return Retyping(change, old, new)


def change_of(old: Type, new: Type) -> Change:
    """What happens between two types."""
    if old == new:
        return Change.SAME
    if old.is_array or new.is_array:
        return _arrays(old, new)
    if {old.name, new.name} <= _TEXTS:
        return _longer(old, new)
    if old.name == new.name:
        return _same_name(old, new)
    return _other_name(old, new)


def is_seen_the_same(old: Type | None, new: Type | None) -> bool:
    """Whether a reader is told nothing else, as far as both types are known."""
    same = {Change.SAME, Change.WIDER, Change.COPIED}
    return old is None or new is None or change_of(old, new) in same


def _arrays(old: Type, new: Type) -> Change:
    """Of arrays, whose elements are each looked at."""
    if not (old.is_array and new.is_array):
        return Change.OTHER
    inner = change_of(Type(old.name, old.modifiers), Type(new.name, new.modifiers))
    if old.name == new.name and not new.modifiers:
        return inner
    # PostgreSQL converts each element, also where that changes nothing.
    return {Change.WIDER: Change.COPIED, Change.LOOSER: Change.RESHAPED}.get(inner, inner)


def _other_name(old: Type, new: Type) -> Change:
    """Of two types that aren't the same."""
    for ladder in _LADDERS:
        if old.name in ladder and new.name in ladder:
            grows = ladder.index(new.name) > ladder.index(old.name)
            return Change.LARGER if grows else Change.OTHER
    if (old.name, new.name) in _SAME_BYTES and not new.modifiers:
        return Change.RELABELED
    if old.name == "bpchar" and new.name in _TEXTS:
        fits = not new.modifiers or new.modifiers >= (old.modifiers or (1,))
        return Change.RESHAPED if fits else Change.NARROWER
    return Change.OTHER


def _longer(old: Type, new: Type) -> Change:
    """Of varchar, varchar(n) and text."""
    if not new.modifiers:
        return Change.WIDER
    return Change.WIDER if old.modifiers and new.modifiers >= old.modifiers else Change.NARROWER


def _same_name(old: Type, new: Type) -> Change:
    """Of one type with other modifiers."""
    if old.name == "numeric":
        return _numeric(old, new)
    if old.name in _PRECISE:
        before = old.modifiers[0] if old.modifiers else _MOST_PRECISE
        after = new.modifiers[0] if new.modifiers else _MOST_PRECISE
        # What was rounded is so no longer.
        looser = Change.LOOSER if after > before else Change.WIDER
        return looser if after >= before else Change.NARROWER
    if old.name in _BITS:
        wider = not new.modifiers or (old.modifiers and new.modifiers >= old.modifiers)
        return Change.WIDER if wider else Change.NARROWER
    if old.name == "bpchar":
        grows = (new.modifiers or (1,)) >= (old.modifiers or (1,))
        return Change.LARGER if grows else Change.NARROWER
    return Change.OTHER


def _numeric(old: Type, new: Type) -> Change:
    """Of numeric(p, s): no rewrite if s stays and p doesn't shrink, or both go away."""
    if not new.modifiers:
        return Change.LOOSER
    if not old.modifiers:
        return Change.NARROWER
    precision, scale = (*old.modifiers, 0)[:2]
    new_precision, new_scale = (*new.modifiers, 0)[:2]
    if new_scale == scale:
        return Change.WIDER if new_precision >= precision else Change.NARROWER
    room = new_precision - new_scale >= precision - scale
    return Change.RESHAPED if new_scale > scale and room else Change.NARROWER


def _is_plain_cast(node: Node, column: str, new: Type) -> bool:
    """Whether USING says nothing more than PostgreSQL would by itself."""
    if node.HasField("type_cast"):
        cast = node.type_cast
        return type_of(cast.type_name) == new and _is_plain_cast(cast.arg, column, new)
    reference = node.column_ref
    return strings(reference.fields)[-1:] == [column]
