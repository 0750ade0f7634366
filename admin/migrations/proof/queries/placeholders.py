"""The placeholders of drivers and libraries, turned into PostgreSQL's. Pure.

`?` (JDBC), `%s` and `%(name)s` (psycopg), `:name` (SQLAlchemy, psql), `@name` (Npgsql) become $n; what
stands in a string, a quoted name or a comment is left, and so is `::type`.
"""

import re

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


def with_casts(text: str) -> str:
    """The statistics turn INTERVAL '1 day' into INTERVAL $1, which is none: into a cast."""
    return _TYPED.sub(r"CAST(\2 AS \1)", text)
