"""An answer to one of the load's requests, read as it comes. Pure."""

import re
from dataclasses import dataclass

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection:[^\r]*\bclose\b", re.IGNORECASE)
_SLOT = re.compile(rb"\r\nx-slot:[ \t]*(\w+)", re.IGNORECASE)
HEAD_BYTES = 65_536
"""A head longer than this is no answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. size: its bytes on the wire. closes: the connection is done with."""

    status: int
    body: bytes
    size: int
    closes: bool


class OddAnswerError(Exception):
    """What came is not an answer that the endpoint or a proxy would give."""


def read(buffer: bytes | bytearray) -> Answer | None:
    """The answer at the buffer's beginning; None while it isn't whole. OddAnswerError."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        if len(buffer) > HEAD_BYTES:
            raise OddAnswerError("a head without an end")
        return None
    head = bytes(buffer[: end + 2])
    length = _LENGTH.search(head)
    if not head.startswith(b"HTTP/1.1 ") or not head[9:12].isdigit() or length is None:
        raise OddAnswerError(f"not an answer with a length: {head[:40]!r}")
    size = end + 4 + int(length[1])
    if len(buffer) < size:
        return None
    body = bytes(buffer[end + 4 : size])
    return Answer(int(head[9:12]), body, size, _CLOSE.search(head) is not None)


def slot_of(head: bytes) -> str:
    """The slot that a 101 names, empty if none."""
    found = _SLOT.search(head)
    return found[1].decode() if found else ""


def fault_of(answer: Answer, tenant: bytes, path: bytes) -> tuple[str, str]:
    """(slot, fault): who answered, and what is wrong with it; the fault is empty if nothing is."""
    if answer.status != 200:
        return "", f"status {answer.status}"
    slot, _, rest = answer.body.partition(b" ")
    if rest != tenant + b" " + path:
        return "", "somebody else's answer"
    return slot.decode("ascii", "replace"), ""
