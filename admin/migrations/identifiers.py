"""Names and texts as they stand in SQL. Pure."""

from typing import Final

MAX_NAME_BYTES: Final = 63
"""PostgreSQL cuts a longer identifier off (NAMEDATALEN - 1), so that two could be one."""


def quoted(identifier: str) -> str:
    """An identifier for SQL. ValueError: it can't be one."""
    if not identifier or "\0" in identifier or len(identifier.encode()) > MAX_NAME_BYTES:
        raise ValueError("an identifier has 1 to 63 bytes, none of them NUL")
    return '"' + identifier.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text for SQL where no parameter can stand. ValueError: it can't be one."""
    if "\0" in text:
        raise ValueError("a text holds no NUL")
    # E'' is read the same whatever standard_conforming_strings says.
    return "E'" + text.replace("\\", "\\\\").replace("'", "''") + "'"
