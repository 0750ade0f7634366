"""Whom a drain ends next: a line of what may be ended, who has been silent longest first.

Pure. Rules:
1. Without a pace for each tenant the line goes as it stands.
2. With one, a tenant puts no more forward at a time than its pace could grant, and one that was
   granted less rests until it has something again: those behind it are not kept waiting.
3. What is granted is taken from the line in its order.
"""

from collections.abc import Callable, Iterable
from math import ceil
from typing import Generic

from proxy.exchange.drains import Held, Lasting, longest_idle_first
from proxy.routing.model import Drain

MAX_ASKED = 256
"""Tenants that one drain asks the pace for at a time."""


class Line(Generic[Held]):
    """Those of one drain that wait for their turn. found: all that it means."""

    def __init__(self, found: Iterable[tuple[Lasting, Held]]) -> None:
        self._waiting = longest_idle_first(found)

    def __len__(self) -> int:
        return len(self._waiting)

    def __repr__(self) -> str:
        return f"<Line {len(self._waiting)}>"

    def forward(
        self, drain: Drain, ahead_s: float, rests: Callable[[str], bool]
    ) -> list[tuple[str, int]]:
        """Tenant → how many it puts forward, in order. Empty: of whom doesn't matter, or nobody's.

        ahead_s: for which time the pace may grant at once. rests: whether a tenant does.
        """
        pace = drain.tenant_per_second
        if not pace:
            return [("", len(self._waiting))] if self._waiting else []
        most, of_one = _in(ahead_s, drain.per_second), _in(ahead_s, pace)
        found: dict[str, int] = {}
        for lasting, _ in self._waiting:
            tenant = lasting.tenant or ""
            count = found.get(tenant, 0)
            if count < of_one and (count or not rests(tenant)):
                found[tenant] = count + 1
                most -= 1
            if not most or len(found) == MAX_ASKED:
                break
        return list(found.items())

    def take(self, tenant: str | None, wanted: Callable[[Held], bool], count: int) -> list[Held]:
        """The first of this tenant (None: of whom doesn't matter) that are wanted still.

        Those that aren't leave the line, too.
        """
        taken: list[Held] = []
        left = []
        for at, (lasting, held) in enumerate(self._waiting):
            if len(taken) == count:
                left += self._waiting[at:]
                break
            if tenant is not None and (lasting.tenant or "") != tenant:
                left.append((lasting, held))
            elif wanted(held):
                taken.append(held)
        self._waiting = left
        return taken


def _in(seconds: float, per_second: float) -> int:
    return ceil(min(seconds * per_second, 1e9)) + 1
