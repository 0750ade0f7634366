"""Values for writes that are tried: made up by type, always the same for the same column. Pure."""

from typing import Final

from admin.migrations.proof.columns import Column

_BY_TYPE: Final = {
    "int2": "30001",
    "int4": "1900000001",
    "int8": "1900000001",
    "numeric": "1",
    "float4": "1",
    "float8": "1",
    "money": "1",
    "bool": "true",
    "uuid": "00000000-0000-4000-8000-00000000000{n}",
    "date": "2001-02-0{n}",
    "time": "01:02:0{n}",
    "timetz": "01:02:0{n}+00",
    "timestamp": "2001-02-03 04:05:0{n}",
    "timestamptz": "2001-02-03 04:05:0{n}+00",
    "interval": "{n} days",
    "json": "{{}}",
    "jsonb": "{{}}",
    "bytea": "\\x0{n}",
    "inet": "192.0.2.{n}",
    "cidr": "192.0.2.{n}/32",
    "macaddr": "02:00:00:00:00:0{n}",
    "xml": "<a/>",
    "tsvector": "turnout",
    "bit": "1",
    "varbit": "1",
    "oid": "1",
    "point": "({n},{n})",
}
_ALIASES: Final = {
    "integer": "int4",
    "bigint": "int8",
    "smallint": "int2",
    "boolean": "bool",
    "real": "float4",
    "double precision": "float8",
    "timestamp with time zone": "timestamptz",
    "timestamp without time zone": "timestamp",
    "time without time zone": "time",
    "character varying": "varchar",
    "character": "bpchar",
}
_WHOLE = frozenset({"int2", "int4", "int8"})
_NUMBERS = frozenset({*_WHOLE, "numeric", "float4", "float8"})
_TEXTS = frozenset({"text", "varchar", "bpchar", "citext", "name", "unknown"})
_SHORT = 4
_EMPTY: Final = {"A": "{}", "R": "empty"}
"""By the type's category: arrays and ranges."""


def made_up(base: str, n: int = 1, column: Column | None = None) -> str | None:
    """A value of the type; another one for another n (1 to 9). None: none is known, so NULL.

    column: what it is for: of an enum, or a text that must be short.
    """
    base = _ALIASES.get(base, base)
    if base.startswith("_") or base.endswith("[]"):
        return "{}"
    if column and column.label is not None:
        return column.label
    if column and column.category in _EMPTY:
        return _EMPTY[column.category]
    return _plain(base, n, column)


def _plain(base: str, n: int, column: Column | None) -> str | None:
    if base in _WHOLE:
        return str(int(_BY_TYPE[base]) + n)
    if base in _BY_TYPE:
        return str(n) if base in _NUMBERS else _BY_TYPE[base].format(n=n)
    return _text(n, column) if base in _TEXTS else None


def _text(n: int, column: Column | None) -> str:
    length = column.length if column else None
    if length is None:
        return f"turnout-{n}"
    return f"turnout-{n}"[:length] if length > len("turnout-1") else str(n) * min(length, _SHORT)


def at_the_edge(base: str, column: Column) -> list[str]:
    """What a column takes that a constraint may be about to refuse."""
    base = _ALIASES.get(base, base)
    if base in _NUMBERS:
        return ["0", "-1"]
    if base in _TEXTS:
        longest = ["x" * column.length] if column.length else ["x" * 300]
        return ["", *longest]
    return []
