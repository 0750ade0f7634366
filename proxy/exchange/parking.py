"""Requests that wait for a switch to end, or for a lease: in order, within bounds, let go at a pace.

Rules:
1. A request of a tenant that is held (`Router.holds`) waits, whole or not: no more of its body is read than a
   bound. Past a bound (number, bytes, time) it is refused; a client that leaves frees its place.
2. Of one tenant nobody overtakes: while some of its requests still wait, those that come wait
   behind them, even if the table holds the tenant no more (see `Router.lingering`).
3. Those that were parked go as their slot has room for them, so that what a switch has parked
   isn't refused by the bounds of a slot's line when it is over. Tenants take turns.
"""

import asyncio
from collections import OrderedDict
from typing import Final, Protocol

from proxy.config import ParkingSettings
from proxy.http1.reply import LocalReply
from proxy.router import Router

FULL: Final = LocalReply(503, "parking-full", "too many requests wait to be let go", 1)
TOO_LONG: Final = LocalReply(503, "parked-too-long", "it could not be let go in time", 1)
_AGAIN_S: Final = 0.002
"""How soon those are asked again for whom there was no room."""


class Parked(Protocol):
    """Who waits here. Only who waits is called, so it may cost a little."""

    def unpark(self) -> bool:
        """Go on, as the table has it now. False: there is no room in the slot yet."""


class Parking:
    """See the module. count, size: how many wait in this worker, and their bytes."""

    __slots__ = ("_lines", "_router", "_timer", "count", "limits", "size")

    def __init__(self, limits: ParkingSettings, router: Router) -> None:
        self.limits = limits
        self._router = router
        self._lines: OrderedDict[str | None, OrderedDict[Parked, int]] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None
        self.count = 0
        self.size = 0

    def __repr__(self) -> str:
        return f"<Parking count={self.count} size={self.size} tenants={len(self._lines)}>"

    def takes(self, size: int) -> bool:
        """Whether one more of this size, in bytes, may wait."""
        limits = self.limits
        return self.count < limits.requests and self.size + size <= limits.total_bytes

    def park(self, parked: Parked, tenant: str | None, size: int) -> None:
        """It waits from now on. `takes` was asked before."""
        line = self._lines.get(tenant)
        if line is None:
            line = self._lines[tenant] = OrderedDict()
            self._router.lingering.add(tenant)
        line[parked] = size
        self.count += 1
        self.size += size

    def grow(self, parked: Parked, tenant: str | None, size: int) -> bool:
        """More of it came, in bytes. False: that is over the bound, and it is not counted."""
        if self.size + size > self.limits.total_bytes:
            return False
        self._lines[tenant][parked] += size
        self.size += size
        return True

    def leave(self, parked: Parked, tenant: str | None) -> None:
        """It waits no more."""
        line = self._lines[tenant]
        self.size -= line.pop(parked)
        self.count -= 1
        if not line:
            del self._lines[tenant]
            self._router.lingering.discard(tenant)

    def look(self) -> None:
        """Table or lease have changed: who is no more held may go."""
        if any(not self._router.holds(tenant) for tenant in self._lines):
            self._let_go()

    def _let_go(self) -> None:
        """As many as there is room for; a tenant each in turn."""
        self._timer = None
        ready = [tenant for tenant in self._lines if not self._router.holds(tenant)]
        waiting = False
        while ready:
            ready, asked = [], ready
            for tenant in asked:
                line = self._lines.get(tenant)
                if line is None:
                    continue
                if next(iter(line)).unpark():
                    ready.append(tenant)
                else:
                    waiting = True
        if waiting and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_AGAIN_S, self._let_go)

    def close(self) -> None:
        """Nobody is let go any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
