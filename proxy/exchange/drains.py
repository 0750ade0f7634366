"""Whom a drain means, and what lasts on a client's connection.

Pure. Whom a drain means is said in `proxy.routing.lasting`. Rules:
1. Only what may be ended in good order is ended at the drain's pace, who has been silent longest
   first. A request ends by itself: it counts as left until then, and only a drain in a hurry
   cuts it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from proxy.routing.lasting import is_meant
from proxy.routing.model import RoutingTable, Slot

Held = TypeVar("Held")


@dataclass(frozen=True, slots=True)
class Lasting:
    """What is under way in a slot on one client's connection. kind: of `lasting.KINDS`.

    tenant: whose; None: nobody's. idle_since: when the last byte went by, monotonic seconds.
    may_end: it can be ended in good order now; not so a request, nor what is ending already.
    """

    kind: str
    slot: Slot
    tenant: str | None
    idle_since: float
    may_end: bool


class Meaning:
    """Which drains of a table mean a tenant on a slot. Asked for each connection: it remembers."""

    def __init__(self, table: RoutingTable) -> None:
        self._table = table
        self._known: dict[tuple[Slot, str | None], tuple[str, ...]] = {}

    def of(self, lasting: Lasting) -> tuple[str, ...]:
        """The names of the drains that mean it."""
        place = (lasting.slot, lasting.tenant)
        known = self._known.get(place)
        if known is None:
            known = self._known[place] = tuple(
                name
                for name, drain in self._table.drains.items()
                if is_meant(drain, self._table, lasting.slot, lasting.tenant)
            )
        return known


def longest_idle_first(found: Iterable[tuple[Lasting, Held]]) -> list[tuple[Lasting, Held]]:
    """Those that may be ended, in the order in which they are."""
    return sorted(
        [(lasting, held) for lasting, held in found if lasting.may_end],
        key=lambda each: each[0].idle_since,
    )
