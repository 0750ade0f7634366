"""Where each key of a TOML document stands, for messages that name the line.

tomllib gives values and no positions. This reads only as much of TOML 1.0 as is needed to find
the keys, and relies on tomllib having accepted the text: what must be skipped is skipped, nothing
is checked. A key's path has the names of the tables above it, and numbers for items of arrays:
("proxy", "tcp", 0, "listen").
"""

import tomllib
from bisect import bisect_right
from typing import Final

KeyPath = tuple[str | int, ...]

_BLANK: Final = " \t"
_SPACE: Final = " \t\r\n"
_ENDS_SCALAR: Final = ",]}#\r\n"
_BARE: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")


def positions(text: str) -> dict[KeyPath, int]:
    """The line, from 1, on which each key and each table of a valid document is first named."""
    scan = _Scan(text)
    scan.document()
    return scan.lines


class _Scan:
    """One pass over the text. `at`: the next character."""

    def __init__(self, text: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._text = text + "\n"  # so that there is a next character to look at
        self._at = 0
        self._starts = [0, *(i + 1 for i, letter in enumerate(text) if letter == "\n")]
        self._items: dict[KeyPath, int] = {}  # array of tables → how many it has

    def document(self) -> None:
        table: KeyPath = ()
        while self._blank_lines():
            if self._text[self._at] == "[":
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> KeyPath:
        line = self._line()
        array = self._text.startswith("[[", self._at)
        self._at += 1 + array
        *above, last = self._key()
        self._at += 1 + array
        path = self._resolve((), above, line)
        path = (*path, last)
        self.lines.setdefault(path, line)
        if not array:
            return self._current(path)
        self._items[path] = self._items.get(path, 0) + 1
        item = self._current(path)
        self.lines.setdefault(item, line)
        return item

    def _resolve(self, path: KeyPath, names: list[str], line: int) -> KeyPath:
        """Go down from a table; a name of an array of tables means its last item."""
        for name in names:
            path = (*path, name)
            self.lines.setdefault(path, line)
            path = self._current(path)
        return path

    def _current(self, path: KeyPath) -> KeyPath:
        return (*path, self._items[path] - 1) if path in self._items else path

    def _pair(self, table: KeyPath) -> None:
        line = self._line()
        *above, last = self._key()
        path = (*self._resolve(table, above, line), last)
        self.lines.setdefault(path, line)
        self._at += 1  # =
        self._skip(_BLANK)
        self._value(path)

    # ── keys ──────────────────────────────────────────────────────────────────────────────────

    def _key(self) -> list[str]:
        """A dotted key, and the white space around it."""
        names = []
        while True:
            self._skip(_BLANK)
            names.append(self._simple_key())
            self._skip(_BLANK)
            if self._text[self._at] != ".":
                return names
            self._at += 1

    def _simple_key(self) -> str:
        start = self._at
        if self._text[start] in "\"'":
            self._string()
            quoted: str = tomllib.loads(f"key = {self._text[start : self._at]}")["key"]
            return quoted
        while self._text[self._at] in _BARE:
            self._at += 1
        return self._text[start : self._at]

    # ── values ────────────────────────────────────────────────────────────────────────────────

    def _value(self, path: KeyPath) -> None:
        first = self._text[self._at]
        if first in "\"'":
            self._string()
        elif first == "[":
            self._array(path)
        elif first == "{":
            self._inline_table(path)
        else:
            while self._text[self._at] not in _ENDS_SCALAR:
                self._at += 1

    def _array(self, path: KeyPath) -> None:
        self._at += 1
        index = 0
        while self._blank_lines() and self._text[self._at] != "]":
            self.lines[*path, index] = self._line()
            self._value((*path, index))
            index += 1
            self._blank_lines()
            if self._text[self._at] == ",":
                self._at += 1
        self._at += 1

    def _inline_table(self, path: KeyPath) -> None:
        self._at += 1
        self._skip(_BLANK)
        while self._text[self._at] != "}":
            self._pair(path)
            self._skip(_BLANK)
            if self._text[self._at] == ",":
                self._at += 1
                self._skip(_BLANK)
        self._at += 1

    def _string(self) -> None:
        quote = self._text[self._at]
        if self._text.startswith(quote * 3, self._at):
            self._to_end_of_string(quote, quote * 3)
            # The last quotes of a string may stand right before the three that end it.
            for _ in range(2):
                self._at += self._text[self._at] == quote
        else:
            self._to_end_of_string(quote, quote)

    def _to_end_of_string(self, quote: str, end: str) -> None:
        self._at += len(end)
        while not self._text.startswith(end, self._at):
            self._at += 2 if quote == '"' and self._text[self._at] == "\\" else 1
        self._at += len(end)

    # ── between them ──────────────────────────────────────────────────────────────────────────

    def _line(self) -> int:
        return bisect_right(self._starts, self._at)

    def _skip(self, letters: str) -> None:
        while self._text[self._at] in letters:
            self._at += 1

    def _blank_lines(self) -> bool:
        """Pass white space, line ends and comments; whether anything is left."""
        while self._at < len(self._text):
            if self._text[self._at] == "#":
                self._at = self._text.index("\n", self._at)
            elif self._text[self._at] in _SPACE:
                self._at += 1
            else:
                return True
        return False
