"""What a worker remembers of affinities: bounded in number, the least used forgotten first. PURE.

Times are monotonic seconds, given by the caller.
"""

from collections import OrderedDict

from proxy.routing.model import Slot


class Affinity:
    """A key's slot. version: of the table by which it was made. trusted: until when the store need
    not be asked. until: when it ends, if it isn't used.
    """  # noqa: D205 - one sentence a field

    __slots__ = ("slot", "trusted", "until", "version")

    def __init__(self, slot: Slot, version: int, trusted: float, until: float) -> None:
        self.slot = slot
        self.version = version
        self.trusted = trusted
        self.until = until

    def counts(self, since: tuple[int, int]) -> bool:
        """Whether it was made late enough. since: `RoutingTable.affinity_counts_since`."""
        return self.version >= (since[0] if self.slot is Slot.BLUE else since[1])


class Memory:
    """At most so many, by the keys' digests."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: OrderedDict[str, Affinity] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, digest: str, now: float) -> Affinity | None:
        """What is known of a key, unless its time is over. Used means kept longer."""
        found = self._known.get(digest)
        if found is None:
            return None
        if now >= found.until:
            del self._known[digest]
            return None
        self._known.move_to_end(digest)
        return found

    def put(self, digest: str, affinity: Affinity) -> None:
        """Know it from now on."""
        self._known[digest] = affinity
        self._known.move_to_end(digest)
        if len(self._known) > self._limit:
            self._known.popitem(last=False)

    def forget(self, digest: str) -> None:
        """Know it no more."""
        self._known.pop(digest, None)
