"""One input of the fuzzer: what a client sends and what endpoints answer, and what must hold.

An input is a byte of flags, the client's bytes, and, after MARK, the bytes that every request is
answered with. Any bytes are an input.
"""

import random
from collections.abc import Callable, Iterable

from tests.support.through import OK, Passed, through, wrong_with, wrong_with_answers
from tests.support.wire import at_random, byte_by_byte, whole

MARK = b"\n-- the endpoint --\n"
TRUSTED, ENDS, BYTES, PIECES = 1, 2, 4, 8
MAX_BYTES = 8192
_SWITCHED = b"HTTP/1.1 101 "


def encode(client: bytes, answer: bytes = b"", flags: int = 0) -> bytes:
    """An input. answer: empty for an ordinary one."""
    return bytes([flags]) + client + (MARK + answer if answer else b"")


def play(data: bytes) -> Passed:
    """Put one input through; AssertionError, or what the data plane raises, if it is at fault."""
    flags, (client, _, answer) = data[0] if data else 0, data[1:MAX_BYTES].partition(MARK)
    ends = bool(flags & ENDS)
    passed = through(
        client, cut=_cut(flags, data), trusted=bool(flags & TRUSTED), answer=answer or OK, ends=ends
    )
    if _SWITCHED not in passed.client:  # a tunnel's bytes are not HTTP
        wrong = wrong_with(client, passed)
        wrong += wrong_with_answers(client, passed, answer or OK, ends=ends)
        assert not wrong, (wrong, data)
    return passed


def _cut(flags: int, data: bytes) -> Callable[[bytes], Iterable[bytes]]:
    if flags & BYTES:
        return byte_by_byte
    return at_random(random.Random(data)) if flags & PIECES else whole
