"""How the fetching of key sets goes, issuer by issuer, and how others read of it.

Rules: issuers are settings, and few; their names come from nowhere else. A worker goes on from
what an earlier one in its block has counted for the issuers that it has too, and writes after
each fetch: fetches are seldom. The names are cut, and the last left out, where there is no room.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

import orjson

from proxy.observability import halves
from proxy.observability.telemetry import Block

_MAX_NAME: Final = 256


class Fetches(NamedTuple):
    """Of one issuer's set. failures: fetches that failed. failing: whether the last one did."""

    failures: int = 0
    failing: int = 0


class KeySets:
    """One worker's. area: its block's, for this."""

    def __init__(self, area: "memoryview[int]") -> None:
        self._area = area
        self._number = 0
        self._fetches: dict[str, Fetches] = {}

    def adopt(self, issuers: Iterable[str]) -> None:
        """Have these, each with what was counted for it before."""
        self._number = halves.read(self._area)[0]
        before = read(self._area)
        for issuer in issuers:
            failures = before.get(issuer[:_MAX_NAME], Fetches()).failures
            self._fetches[issuer[:_MAX_NAME]] = Fetches(failures)
        self._write()

    def fetched(self, issuer: str, *, well: bool) -> None:
        """A fetch has ended."""
        name = issuer[:_MAX_NAME]
        failures = self._fetches.get(name, Fetches()).failures
        self._fetches[name] = Fetches(failures + (not well), int(not well))
        self._write()

    def _write(self) -> None:
        rows = [(name, *fetches) for name, fetches in self._fetches.items()]
        text = orjson.dumps(rows)
        while len(text) > halves.room(self._area):
            rows.pop()
            text = orjson.dumps(rows)
        self._number += 1
        halves.write(self._area, self._number, text)


def read(area: "memoryview[int]") -> dict[str, Fetches]:
    """What was written last, by issuer."""
    _, text = halves.read(area)
    return {name: Fetches(*fetches) for name, *fetches in orjson.loads(text or b"[]")}


def total(blocks: Iterable[Block]) -> dict[str, Fetches]:
    """Of all workers, past and present; only those that live fail now."""
    found: dict[str, Fetches] = {}
    for block in blocks:
        for name, each in read(block.key_sets).items():
            before = found.get(name, Fetches())
            failing = each.failing if block.lives else 0
            found[name] = Fetches(before.failures + each.failures, before.failing + failing)
    return found
