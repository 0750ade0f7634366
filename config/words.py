"""What is said of a wrong setting, in the words of its file: TOML's types, and the likely name."""

import difflib
import re
from collections.abc import Iterable
from typing import Any, Final

from config.load import choices

_TYPES: Final = {
    "int": "integer",
    "float": "number",
    "str": "string",
    "bool": "true or false",
    "array": "array",
    "object": "table",
    "null": "nothing",
}
_AT: Final = re.compile(r" - at `([^`]*)`$")


def in_words(message: str, of: Any) -> str:
    """What msgspec says, in TOML's words, without the value that some of its messages repeat."""
    place = _AT.search(message)
    item = re.search(r"\[(\d+)\]", place[1]) if place else None
    message = _AT.sub("", message)
    if message.startswith("Invalid enum value"):
        message = f"not one of {choices(of)}"
    message = re.sub(r"`([a-z| ]+)`", lambda found: _types(found[1]), message)
    message = message[:1].lower() + message[1:]
    return f"item {int(item[1]) + 1}: {message}" if item else message


def _types(named: str) -> str:
    """The names that msgspec gives types, `int | null`, in TOML's."""
    return " or ".join(_TYPES.get(name, name) for name in named.split(" | "))


def about(message: str, name: str) -> str:
    """A message without the name at its start, where that stands before it already."""
    return re.sub(rf"^`(?:[a-z_0-9]+\.)*{name}`:? ", "", message) if name else message


def type_of(value: Any) -> str:
    """The type of a value that was read."""
    kinds = {bool: "bool", int: "int", float: "float", str: "str", list: "array", dict: "object"}
    return _TYPES.get(kinds.get(type(value), ""), type(value).__name__)


def like(name: str, known: Iterable[str]) -> str:
    """The known name that was likely meant; empty if none is close."""
    found = difflib.get_close_matches(name, sorted(known), 1, 0.7)
    return found[0] if found else ""
