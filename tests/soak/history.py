"""Which slots a request may reach: the tables that were published, and when.

Invariants 1 and 2 of a switch: from its acknowledgement on a table decides all; while it is on
its way either may. A request that was under way across changes may have met each of them.
"""

from dataclasses import dataclass
from math import inf

from proxy.routing.decision import Forward, Policy, decide
from proxy.routing.model import RoutingTable

KEEP_S = 120.0


@dataclass(slots=True)
class Span:
    """A table, from when it was sent until its follower was acknowledged."""

    table: RoutingTable
    sent: float
    until: float = inf


class History:
    """The spans, the oldest first."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.changes = 0

    def sent(self, table: RoutingTable, at: float) -> None:
        """A table is about to be published."""
        self.spans.append(Span(table, at))
        self.changes += 1
        while self.spans[0].until < at - KEEP_S:
            del self.spans[0]

    def acked(self, at: float) -> None:
        """Every worker serves the last table that was sent."""
        for span in self.spans[:-1]:
            span.until = min(span.until, at)

    def allowed(self, tenant: str, began: float, ended: float) -> frozenset[str]:
        """The slots that decided for this tenant at some time from `began` to `ended`."""
        return frozenset(
            slot_of(span.table, tenant)
            for span in self.spans
            if span.sent <= ended and span.until >= began
        )


def slot_of(table: RoutingTable, tenant: str) -> str:
    """Where the table sends the tenant."""
    decision = decide(table, Policy(), tenant)
    if not isinstance(decision, Forward):
        raise TypeError(f"{tenant} is refused")
    return str(decision.slot)
