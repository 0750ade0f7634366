"""Splitting a file into statements, by PostgreSQL's own grammar (libpg_query 18). Pure.

Its positions are of bytes in UTF-8; ours are of characters, and from 1.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

import postgast

from admin.migrations.catalogue.model import Node

_COMMENT = "SQL_COMMENT"


class GrammarError(ValueError):
    """PostgreSQL would not understand it. line, column: where it says so."""

    def __init__(self, message: str, line: int, column: int) -> None:
        super().__init__(message)
        self.line, self.column = line, column


@dataclass(frozen=True, slots=True)
class Piece:
    """A statement or a comment. line, column: where it begins."""

    text: str
    line: int
    column: int
    node: Node | None = None

    @property
    def last_line(self) -> int:
        """Where it ends."""
        return self.line + self.text.count("\n")


class _Positions:
    """Lines and columns of a text."""

    def __init__(self, text: str) -> None:
        self._bytes = text.encode()
        self._starts = [0]
        for at, byte in enumerate(self._bytes):
            if byte == 0x0A:
                self._starts.append(at + 1)

    def piece(self, start: int, end: int, node: Node | None = None) -> Piece:
        """What lies between two positions of bytes."""
        line = bisect_right(self._starts, start)
        before = self._bytes[self._starts[line - 1] : start].decode()
        return Piece(self._bytes[start:end].decode(), line, len(before) + 1, node)

    @property
    def end(self) -> int:
        return len(self._bytes)


def statements(text: str) -> list[Piece]:
    """The statements, in order, without their semicolons. GrammarError."""
    if "\0" in text:
        before = text[: text.index("\0")]
        raise GrammarError("a NUL byte", *_position(before))
    try:
        parsed = postgast.parse(text)
    except postgast.PgQueryError as error:
        # Its cursor counts characters, from 1; 0: it doesn't know.
        before = text[: max(error.cursorpos - 1, 0)]
        raise GrammarError(_words(error, text), *_position(before)) from None
    positions = _Positions(text)
    found = []
    for raw in parsed.stmts:
        end = raw.stmt_location + raw.stmt_len if raw.stmt_len else positions.end
        node = getattr(raw.stmt, raw.stmt.WhichOneof("node"))
        found.append(_trimmed(positions.piece(raw.stmt_location, end, node)))
    return found


def comments(text: str) -> Iterator[Piece]:
    """The comments that begin with two dashes. The text must be one that `statements` takes."""
    positions = _Positions(text)
    kinds = postgast.pg_query_pb2.Token.DESCRIPTOR.values_by_name
    for token in postgast.scan(text).tokens:
        if token.token == kinds[_COMMENT].number:
            yield positions.piece(token.start, token.end)


def _trimmed(piece: Piece) -> Piece:
    return Piece(piece.text.rstrip(), piece.line, piece.column, piece.node)


def _position(before: str) -> tuple[int, int]:
    """Of what comes after this."""
    return before.count("\n") + 1, len(before) - before.rfind("\n")


def _words(error: postgast.PgQueryError, text: str) -> str:
    at = error.cursorpos - 1
    if 0 <= at < len(text) and text[at] == "\\":
        return f"{error}: commands of psql are not SQL"
    return str(error)
