"""The placeholders of drivers and libraries, turned into PostgreSQL's. Pure.

`?` (JDBC), `%s` and `%(name)s` (psycopg), `:name` (SQLAlchemy, psql), `@name` (Npgsql) become $n; what
stands in a string, a quoted name or a comment is left, and so is `::type`.
"""

import re
from collections.abc import Sequence

import postgast

_PIECES = re.compile(
    r"""
    (?P<kept>
        '(?:[^']|'')*'                     # a string
      | "(?:[^"]|"")*"                     # a quoted name
      | --[^\n]*                           # comments
      | /\*.*?\*/
      | \$(?P<tag>[A-Za-z_]\w*|)\$.*?\$(?P=tag)\$
      | ::                                 # a cast
      | %%
    )
    | (?P<plain>\?(?![|&?-]) | %s)
    | (?P<named>%\(\w+\)s | (?<![:\w]):[A-Za-z_]\w* | (?<![\w@<>])@[A-Za-z_]\w*)
    """,
    re.VERBOSE | re.DOTALL,
)
_TYPED = re.compile(r"\b(interval|date|time|timestamp|timestamptz)\s+(\$\d+)", re.IGNORECASE)


def numbered(text: str) -> str:
    """The text with $n for each placeholder; the same name is the same number."""
    numbers: dict[str, int] = {}

    def put(found: re.Match[str]) -> str:
        if found["kept"] is not None:
            return "%" if found["kept"] == "%%" else found["kept"]
        key = found["named"] or f"#{len(numbers)}"
        return f"${numbers.setdefault(key, len(numbers) + 1)}"

    return _PIECES.sub(put, text)


def with_values(text: str, literals: Sequence[str]) -> str:
    """The text with a literal in place of each $n that is a parameter."""
    raw = text.encode()
    for start, end, number in reversed(parameters(text)):
        raw = raw[:start] + literals[number - 1].encode() + raw[end:]
    return raw.decode()


def parameters(text: str) -> list[tuple[int, int, int]]:
    """Where each $n begins and ends, in bytes, and its number."""
    raw = text.encode()
    spots = [(each.start, each.end) for each in postgast.scan(text).tokens]
    return [
        (start, end, int(raw[start + 1 : end]))
        for start, end in spots
        if raw[start : start + 1] == b"$" and raw[start + 1 : end].isdigit()
    ]


def with_casts(text: str) -> str:
    """The statistics turn INTERVAL '1 day' into INTERVAL $1, which is none: into a cast."""
    return _TYPED.sub(r"CAST(\2 AS \1)", text)
