"""Who may be under way in a slot, and who waits for it.

Rules:
1. A request is under way, or it waits, or it was refused: each is counted in the step in which
   it becomes so. A tenant's limit counts both, so that whoever waits may go when its turn comes.
2. Nobody overtakes: while somebody waits, who comes waits too.
3. Turns go round the tenants that have somebody waiting; within a tenant, in order of arrival.
   So a tenant that fills the queue waits for itself, not the others for it.
4. Every step costs the same, however many wait; to leave the line too.
This is one slot's in one worker. It knows of numbers, not of endpoints: see `cluster`.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol

ADMITTED: Final = 0
WAIT: Final = 1  # the slot is full: stand in line, if there is room
TENANT_BUSY: Final = 2  # the tenant has all that one tenant may have
QUEUE_FULL: Final = 3


class Waiter(Protocol):
    """An exchange that stands in line. Only who waits is called, so it may cost a little."""

    def turn(self) -> None:
        """Its turn has come: it counts as under way from now on."""

    def waited_too_long(self) -> None:
        """The time is over: it is in line no more."""


class Place:
    """A place in the line. until: the loop's seconds at which it is given up."""

    __slots__ = ("tenant", "until", "waiter")

    def __init__(self, waiter: Waiter, tenant: bytes, until: float) -> None:
        self.waiter = waiter
        self.tenant = tenant
        self.until = until


class AdmissionLimits:
    """Each 0: no limit; but no queue at all for `queue`.

    slot: requests under way. tenant: of one tenant, under way and waiting. queue: that wait.
    tenant_queue: of one tenant.
    """

    __slots__ = ("queue", "slot", "tenant", "tenant_queue")

    def __init__(self, *, slot: int, tenant: int, queue: int, tenant_queue: int) -> None:
        self.slot = slot
        self.tenant = tenant
        self.queue = queue
        self.tenant_queue = tenant_queue


class Admission:
    """See the module. in_flight: how many are under way. waiting: how many stand in line.

    tenants: how many of each are under way or wait; those of which there are none are left out.
    emptied: called with a tenant of whom there are none any more, where somebody wants to know.
    """

    __slots__ = (
        "_arrivals",
        "_limits",
        "_lines",
        "emptied",
        "in_flight",
        "tenants",
        "waiting",
    )

    def __init__(self, limits: AdmissionLimits) -> None:
        self._limits = limits
        self.tenants: dict[bytes, int] = {}
        self.emptied: Callable[[bytes], None] | None = None
        self._lines: OrderedDict[bytes, OrderedDict[Place, None]] = OrderedDict()
        self._arrivals: OrderedDict[Place, None] = OrderedDict()
        self.in_flight = 0
        self.waiting = 0

    def __repr__(self) -> str:
        return f"<Admission in_flight={self.in_flight} waiting={self.waiting}>"

    @property
    def has_room(self) -> bool:
        """Whether the slot's limit lets one more be under way."""
        limit = self._limits.slot
        return not limit or self.in_flight < limit

    def has_room_for(self, tenant: bytes) -> bool:
        """Whether one more of this tenant would be let in at once."""
        limit = self._limits.tenant
        is_free = not limit or self.tenants.get(tenant, 0) < limit
        return is_free and self.has_room and not self.waiting

    @property
    def counts_nobody(self) -> bool:
        """Whether nothing is left of anybody."""
        return not (self.in_flight or self.waiting or self.tenants or self._lines)

    def admit(self, tenant: bytes) -> int:
        """ADMITTED: it is under way. WAIT or TENANT_BUSY: nothing is counted."""
        limits = self._limits
        count = self.tenants.get(tenant, 0)
        if limits.tenant and count >= limits.tenant:
            return TENANT_BUSY
        if self.waiting or (limits.slot and self.in_flight >= limits.slot):
            return WAIT
        self.tenants[tenant] = count + 1
        self.in_flight += 1
        return ADMITTED

    def leave(self, tenant: bytes) -> None:
        """One that was under way is over."""
        self.in_flight -= 1
        left = self.tenants[tenant] - 1
        if left:
            self.tenants[tenant] = left
            return
        del self.tenants[tenant]
        if self.emptied is not None:
            self.emptied(tenant)

    def wait(self, place: Place) -> int:
        """WAIT: it stands in line. QUEUE_FULL or TENANT_BUSY: nothing is counted."""
        limits = self._limits
        if self.waiting >= limits.queue:
            return QUEUE_FULL
        line = self._lines.get(place.tenant)
        if line is None:
            line = self._lines[place.tenant] = OrderedDict()
        elif limits.tenant_queue and len(line) >= limits.tenant_queue:
            return TENANT_BUSY
        line[place] = None
        self._arrivals[place] = None
        self.waiting += 1
        self.tenants[place.tenant] = self.tenants.get(place.tenant, 0) + 1
        return WAIT

    def next(self) -> Place:
        """Whose turn it is: it is under way from now on. Somebody must be waiting."""
        tenant, line = next(iter(self._lines.items()))
        place, _ = line.popitem(last=False)
        if line:
            self._lines.move_to_end(tenant)
        else:
            del self._lines[tenant]
        del self._arrivals[place]
        self.waiting -= 1
        self.in_flight += 1
        return place

    def give_up(self, place: Place) -> None:
        """One that waits goes away."""
        line = self._lines[place.tenant]
        del line[place]
        if not line:
            del self._lines[place.tenant]
        del self._arrivals[place]
        self.waiting -= 1
        self.in_flight += 1  # as if its turn had come
        self.leave(place.tenant)

    def first(self) -> Place | None:
        """Who has waited longest of all."""
        return next(iter(self._arrivals), None)
