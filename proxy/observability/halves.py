"""What a worker tells in words, in memory that the management process reads.

Rules: a text is written to one of two halves in turn, each with a number and a checksum: a half
that is being written, or whose writer died meanwhile, is not believed. One writes, others read.
"""

from typing import Final
from zlib import crc32

_HEAD: Final = 16  # checksum, length, number


def room(area: "memoryview[int]") -> int:
    """How long a text may be, in bytes."""
    return len(area) // 2 - _HEAD


def write(area: "memoryview[int]", number: int, text: bytes) -> None:
    """Write a text. number: one more than the last one's."""
    body = number.to_bytes(8, "little") + text
    head = crc32(body).to_bytes(4, "little") + len(text).to_bytes(4, "little")
    half = _halves(area)[number % 2]
    half[: len(head) + len(body)] = head + body


def read(area: "memoryview[int]") -> tuple[int, bytes]:
    """The number and the text that were written last; 0 and nothing if none was."""
    halves = [half for half in map(_read, _halves(area)) if half is not None]
    return max(halves, default=(0, b""))


def _halves(area: "memoryview[int]") -> "tuple[memoryview[int], memoryview[int]]":
    middle = len(area) // 2
    return area[:middle], area[middle:]


def _read(half: "memoryview[int]") -> tuple[int, bytes] | None:
    """Its number and text, if it is whole."""
    head = bytes(half[:8])
    length = int.from_bytes(head[4:], "little")
    if not 0 < length <= len(half) - _HEAD:
        return None
    body = bytes(half[8 : _HEAD + length])
    if crc32(body) != int.from_bytes(head[:4], "little"):
        return None
    return int.from_bytes(body[:8], "little"), body[8:]
