"""TOML files of the user's own (checks, requests, checklists, templates), and what is wrong with them."""

import re
import tomllib
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from config.positions import KeyPath, positions
from config.words import in_words, like

Shape = TypeVar("Shape", bound=msgspec.Struct)
_PLACE = re.compile(r" - at `\$([^`]*)`$")
_PART = re.compile(r"\.([A-Za-z_0-9-]+)|\[(\d+)\]")
_UNKNOWN = re.compile(r"Object contains unknown field `([^`]*)`")
_MISSING = re.compile(r"Object missing required field `([^`]*)`")
_OWN = ("Expected", "Invalid")
"""How msgspec's own messages begin."""
_LINE = re.compile(r" \(at line (\d+), column \d+\)$")


class FileFault(Exception):  # noqa: N818 - the file's, not this program's
    """The file can't be used. The message has file, line and key, and no value."""


def read(path: Path | Traversable, shape: type[Shape]) -> Shape:
    """What the file says, checked. FileFault."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise FileFault(f"{path} can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise FileFault(f"{path} is not UTF-8") from None
    return parse(text, shape, str(path))


def parse(text: str, shape: type[Shape], name: str) -> Shape:
    """What a text says. name: of the file, for messages. FileFault."""
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        found = _LINE.search(str(error))
        line = f":{found[1]}" if found else ""
        raise FileFault(f"{name}{line}: is not valid TOML: {_LINE.sub('', str(error))}") from None
    try:
        return msgspec.convert(document, shape)
    except msgspec.ValidationError as error:
        message = _named(document, shape, str(error))
        raise FileFault(_told(message, shape, text, name)) from None


def _named(document: Any, shape: type[msgspec.Struct], message: str) -> str:
    """The message with the key in place of msgspec's `[...]`, which it has for keys of the user's own."""
    found = _PLACE.search(message)
    above, dots, _ = found[1].partition("[...]") if found else ("", "", "")
    if not dots:
        return message
    parts = [part[1] or int(part[2]) for part in _PART.finditer(above)]
    table = document
    for part in parts:
        table = table[part]
    keys = dict(table)
    for key, value in keys.items():
        table.clear()
        table[key] = value
        try:
            msgspec.convert(document, shape)
        except msgspec.ValidationError as error:
            return str(error).replace("[...]", f".{key}", 1)
    return message


def _told(message: str, shape: type[msgspec.Struct], text: str, name: str) -> str:
    """file:line: key: what is wrong, as settings are told of."""
    found = _PLACE.search(message)
    path: KeyPath = tuple(
        part[1] if part[1] is not None else int(part[2])
        for part in _PART.finditer(found[1] if found else "")
    )
    message = _PLACE.sub("", message)
    if unknown := _UNKNOWN.search(message):
        known = _fields(shape)
        close = like(unknown[1], known)
        path = (*path, unknown[1])
        message = f"unknown key{f'; did you mean {close}?' if close else ''}"
    elif missing := _MISSING.search(message):
        message = f"needs `{missing[1]}`"
    elif message.startswith(_OWN):  # the others are our own structs', and in words already
        message = in_words(message, str)
    lines = positions(text)
    line = next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), 0)
    place = f"{name}:{line}" if line else name
    return ": ".join(filter(None, [place, _key(path), message]))


def _key(path: KeyPath) -> str:
    """`check[2].expect.status`: items count from 1, as people do."""
    text = ""
    for part in path:
        text += f"[{part + 1}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _fields(shape: type[msgspec.Struct]) -> set[str]:
    """The keys of a struct and of all below it."""
    found: set[str] = set()
    todo: list[object] = [shape]
    while todo:
        kind = todo.pop()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            for field in msgspec.structs.fields(kind):
                found.add(field.encode_name)
                todo.append(field.type)
        else:
            todo += getattr(kind, "__args__", ())
    return found
