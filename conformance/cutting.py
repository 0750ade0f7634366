"""How bytes are fed: whole, byte by byte, and cut at random places."""

import random
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Final

Cut = Callable[[bytes], list[bytes]]
_LONG: Final = 4096


def whole(data: bytes) -> list[bytes]:
    """In one piece."""
    return [data] if data else []


def byte_by_byte(data: bytes) -> list[bytes]:
    """The long middle of a body or of a field is left in one piece: nothing in it is decided."""
    if len(data) > _LONG:
        middle = data[1024:-256]
        return [*byte_by_byte(data[:1024]), middle, *byte_by_byte(data[-256:])]
    return [data[index : index + 1] for index in range(len(data))]


def at_random(source: random.Random) -> Cut:
    """In up to eight pieces."""

    def cut(data: bytes) -> list[bytes]:
        places = sorted(source.randrange(len(data) + 1) for _ in range(source.randrange(1, 8)))
        edges = [0, *places, len(data)]
        return [data[a:b] for a, b in pairwise(edges) if a < b]

    return cut


CUTS: Final[Mapping[str, Callable[[random.Random], Cut]]] = {
    "whole": lambda _: whole,
    "bytes": lambda _: byte_by_byte,
    "random": at_random,
}
"""name → the way of cutting, made from the run's seed and the row's id."""
