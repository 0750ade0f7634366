"""Compares the reference of settings, config/turnout.toml, with the structs that read it.

Rules of the reference: it lists every setting of a section and nothing else, each with its default,
each under a comment of its own. TOML has no null: a setting whose default is None is listed
commented out (`# name = …`).
"""

import re
import tomllib
from collections.abc import Iterator
from typing import Any

import msgspec

_HEADER = re.compile(r"\s*\[([A-Za-z0-9_.-]+)\]\s*(#.*)?$")
_SETTING = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=")
_COMMENTED_OUT = re.compile(r"\s*#\s*([a-z0-9_]+)\s*=")
_MISSING = object()


def differences(of: type[msgspec.Struct], text: str, section: str = "") -> list[str]:
    """What is wrong with the reference of one section, a sentence each; empty if nothing is.

    of: the section's struct, all of whose settings have defaults. text: the whole TOML file.
    section: its table, "" for the keys at the top. Tables at the top belong to other sections.
    """
    document: dict[str, Any] = tomllib.loads(text)
    if section and section not in document:
        return [f"there is no [{section}]"]
    own = document[section] if section else _without_tables(document)
    optional = set(_places(text, _COMMENTED_OUT))
    return [
        *_lax(of, section),
        *_compared(of(), own, section, optional),
        *_without_comment(text, section),
    ]


def _without_tables(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if not isinstance(value, dict)}


def _lax(of: type[msgspec.Struct], where: str) -> Iterator[str]:
    """A struct that passes over unknown keys would pass over a misspelt setting."""
    if not of.__struct_config__.forbid_unknown_fields:
        yield f"[{where}]: {of.__name__} does not forbid unknown fields"
    for field in msgspec.structs.fields(of):
        if _is_struct(field.type):
            yield from _lax(field.type, _join(where, field.encode_name))


def _compared(
    defaults: msgspec.Struct, listed: dict[str, Any], where: str, optional: set[str]
) -> Iterator[str]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(defaults)}
    for name in listed.keys() - fields.keys():
        yield f"{_join(where, name)}: there is no such setting"
    for name, field in fields.items():
        place = _join(where, name)
        default = getattr(defaults, field.name)
        value = listed.get(name, _MISSING)
        if default is None and value is _MISSING and place in optional:
            continue
        if value is _MISSING:
            yield f"{place}: is not listed"
        elif isinstance(default, msgspec.Struct) and isinstance(value, dict):
            yield from _compared(default, value, place, optional)
        elif not _same(value, default):
            yield f"{place}: is listed as {value!r} and defaults to {default!r}"


def _same(listed: Any, default: Any) -> bool:
    """Equal and of one type, for true is not 1 here and 3 is not 3.0."""
    plain = msgspec.json.decode(msgspec.json.encode(default))
    return type(listed) is type(plain) and bool(listed == plain)


def _without_comment(text: str, section: str) -> Iterator[str]:
    lines = text.splitlines()
    for place, number in _places(text, _SETTING).items():
        if _lies_in(place, section) and not (number and lines[number - 1].lstrip().startswith("#")):
            yield f"{place}: has no comment above it"


def _places(text: str, pattern: re.Pattern[str]) -> dict[str, int]:
    """Dotted name of each setting that the pattern finds at the start of a line → line number."""
    table, found = "", {}
    for number, line in enumerate(text.splitlines()):
        if header := _HEADER.match(line):
            table = header[1]
        elif setting := pattern.match(line):
            found[_join(table, setting[1])] = number
    return found


def _lies_in(place: str, section: str) -> bool:
    return place.startswith(f"{section}.") if section else "." not in place


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)
