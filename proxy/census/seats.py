"""Who is connected for long, as of the last look, and what of it the store has not been told. PURE.

Rules:
1. A seat is taken since the first look that saw it; another connection of the same device, on the
   same slot and by the same kind, goes on with it.
2. No more than `most` seats are told; of the rest the devices are left out, so that only their
   number counts. Who has been told stays.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from proxy.routing.census import Seat


class Held(NamedTuple):
    """connections: how many. since: monotonic seconds."""

    connections: int
    since: float


class Batch(NamedTuple):
    """What is to be told next. last: nothing is left then."""

    taken: Sequence[tuple[Seat, Held]]
    free: Sequence[Seat]
    last: bool


class Seats:
    """See the module."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held: dict[Seat, Held] = {}
        self._untold: dict[Seat, None] = {}

    def __repr__(self) -> str:
        return f"<Seats {len(self._held)}, untold {len(self._untold)}>"

    @property
    def has_news(self) -> bool:
        """Whether something is to be told."""
        return bool(self._untold)

    def look(self, found: Iterable[Seat], now: float) -> None:
        """These are connected now, each as often as it has connections. now: monotonic seconds."""
        counts = Counter(found)
        if len(counts) > self._most:
            counts = self._bounded(counts)
        for seat in [seat for seat in self._held if seat not in counts]:
            del self._held[seat]
            self._untold[seat] = None
        for seat, connections in counts.items():
            before = self._held.get(seat)
            if before is None or before.connections != connections:
                since = now if before is None else before.since
                self._held[seat] = Held(connections, since)
                self._untold[seat] = None

    def _bounded(self, counts: Counter[Seat]) -> Counter[Seat]:
        known_first = sorted(counts, key=lambda seat: seat not in self._held)
        kept = Counter({seat: counts[seat] for seat in known_first[: self._most]})
        for seat in known_first[self._most :]:
            kept[seat._replace(tenant="", device="")] += counts[seat]
        return kept

    def batch(self, most: int) -> Batch:
        """The next changes, so many at most."""
        named = list(self._untold)[:most]
        taken = [(seat, self._held[seat]) for seat in named if seat in self._held]
        free = [seat for seat in named if seat not in self._held]
        return Batch(taken, free, last=len(named) == len(self._untold))

    def told(self, batch: Batch) -> None:
        """The store has it."""
        for seat in (*(seat for seat, _ in batch.taken), *batch.free):
            self._untold.pop(seat, None)

    def forget(self) -> None:
        """The store has nothing, as far as is known: all of it is to be told."""
        self._untold = dict.fromkeys(self._held)
