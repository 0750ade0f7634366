"""The chunked transfer coding (RFC 9112 §7.1), read strictly.

Rules: sizes are 1 to 16 hexadecimal digits; lines end in CRLF; extensions follow the grammar
and are dropped, as trailers are. What is neither content nor a plain chunk size is counted, so
that its amount can be bounded.
"""

import re
from typing import Final

from proxy.http1.fields import TOKEN, Malformed, is_token, is_value
from proxy.http1.reply import BAD_REQUEST, CHUNK_OVERHEAD

_SIZE: Final = 0  # at a chunk's size
_DATA: Final = 1  # within its content
_DATA_END: Final = 2  # at the line end behind its content
_TRAILERS: Final = 3  # behind the last chunk

_QUOTED: Final = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"'
_CHUNK_SIZE = re.compile(
    rb"([0-9A-Fa-f]{1,16})((?:;" + TOKEN + rb"(?:=(?:" + TOKEN + rb"|" + _QUOTED + rb"))?)*)"
)


class ChunkedBody:
    """One body. limit: how many bytes extensions and trailers may take.

    pieces: content that was read and not yet taken. done: the body is complete.
    """

    __slots__ = ("_left", "_limit", "_line", "_overhead", "_state", "done", "pieces")

    def __init__(self, limit: int) -> None:
        self.pieces: list[bytes] = []
        self.done = False
        self._limit = limit
        self._state = _SIZE
        self._left = 0
        self._line = b""
        self._overhead = 0

    def feed(self, data: bytes, start: int) -> int:
        """Read on from `start`; how far it got: the end of the data, or of the body. Malformed."""
        position, size = start, len(data)
        while position < size and not self.done:
            if self._state == _DATA:
                end = min(size, position + self._left)
                self.pieces.append(data[position:end])
                self._left -= end - position
                position = end
                if self._left == 0:
                    self._state = _DATA_END
            else:
                position = self._feed_line(data, position)
        return position

    def take(self) -> bytes:
        """What was read since the last call, in one piece."""
        pieces = self.pieces
        if len(pieces) == 1:
            piece = pieces.pop()
        else:
            piece = b"".join(pieces)
            pieces.clear()
        return piece

    def _feed_line(self, data: bytes, position: int) -> int:
        """Read on within a line; nothing is done before its end."""
        end = data.find(b"\n", position)
        if end < 0:
            self._line += data[position:]
            self._check_part()
            return len(data)
        line = data[position : end + 1]
        if self._line:
            line = self._line + line
            self._line = b""
        if not line.endswith(b"\r\n"):
            raise Malformed(BAD_REQUEST, "a line end that is not CRLF")
        self._take_line(line[:-2])
        return end + 1

    def _check_part(self) -> None:
        line = self._line
        if self._state == _DATA_END and line != b"\r":
            raise Malformed(BAD_REQUEST, "a chunk longer than its size")
        if b"\r" in line[:-1]:
            raise Malformed(BAD_REQUEST, "a line end that is not CRLF")
        if self._overhead + len(line) > self._limit + 18:  # a size with its line end
            raise Malformed(CHUNK_OVERHEAD)

    def _take_line(self, line: bytes) -> None:
        if self._state == _DATA_END:
            if line:
                raise Malformed(BAD_REQUEST, "a chunk longer than its size")
            self._state = _SIZE
        elif self._state == _SIZE:
            self._take_size(line)
        elif line:
            self._take_trailer(line)
        else:
            self.done = True

    def _take_size(self, line: bytes) -> None:
        found = _CHUNK_SIZE.fullmatch(line)
        if found is None:
            raise Malformed(BAD_REQUEST, "a chunk size out of form")
        self._add_overhead(len(found[2]))
        self._left = int(found[1], 16)
        self._state = _DATA if self._left else _TRAILERS

    def _take_trailer(self, line: bytes) -> None:
        name, colon, value = line.partition(b":")
        if not (colon and is_token(name) and is_value(value)):
            raise Malformed(BAD_REQUEST, "a trailer out of form")
        self._add_overhead(len(line) + 2)

    def _add_overhead(self, size: int) -> None:
        self._overhead += size
        if self._overhead > self._limit:
            raise Malformed(CHUNK_OVERHEAD)
