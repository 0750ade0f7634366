"""What a change would do: who would move, from where to where and why, and with how much traffic. Pure.

The tenants that are known are looked at: pinned, registered, or seen in the last hour's traffic. It
is `decision.routed` that says where each goes, so this can't say anything else than what workers do.

Rule: where a canary draws by session or request, a tenant goes to both slots. Then a part of its
traffic moves: the measure of the buckets that lead elsewhere afterwards, which is exact while unit
and salt stay, and an expectation otherwise. Who is held, or bound by an affinity, is not looked at.
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter

from proxy.routing.decision import Forward, Reason, routed
from proxy.routing.model import BASIS_POINTS, RoutingTable, Slot, Unit
from proxy.routing.traffic import Traffic


@dataclass(frozen=True, slots=True)
class Way:
    """Where a tenant goes. low, high: of the buckets that lead to green, the first and the end.

    drawn_by: what has a bucket (unit and salt); None: the tenant goes to one slot, whole.
    """

    forward: Forward
    low: int
    high: int
    drawn_by: tuple[Unit, str] | None = None

    @property
    def green(self) -> int:
        """How much goes to green, in basis points."""
        return self.high - self.low


@dataclass(frozen=True, slots=True)
class Move:
    """A tenant that would move. part: of its traffic, above 0 and at most 1. requests: of the last
    hour, all of them.
    """  # noqa: D205 - one sentence a field

    tenant: str
    before: Forward
    after: Forward
    part: float
    requests: int


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What a change would do. moves: those with the most requests first. known: tenants looked at.

    moving: requests of the last hour that would go elsewhere. others: those of which isn't known
    who made them; moving_others: how many of them may be expected to move. total: all.
    """

    moves: Sequence[Move]
    known: int
    moving: float
    others: int
    moving_others: float
    total: int


def what_if(before: RoutingTable, after: RoutingTable, traffic: Traffic) -> WhatIf:
    """What the change from one table to the other does."""
    looking = portions(before, after, traffic, max(1, len(before.tenants)))
    while True:
        try:
            next(looking)
        except StopIteration as end:
            found: WhatIf = end.value
            return found


def portions(
    before: RoutingTable, after: RoutingTable, traffic: Traffic, portion: int
) -> Generator[None, None, WhatIf]:
    """The same in portions of so many tenants: between two of them others can have their turn."""
    names = before.pins.keys() | after.pins.keys() | before.tenants | after.tenants
    names |= traffic.requests.keys()
    moves: list[Move] = []
    remaining, look = iter(names), _looker(before, after)
    while some := list(islice(remaining, portion)):
        for name in some:
            found = look(name)
            if found is not None:
                moves.append(Move(name, *found, traffic.requests.get(name, 0)))
        yield
    # By name first: sorting is stable, and each of the two has a key that is cheap.
    moves.sort(key=_NAME)
    moves.sort(key=lambda move: -move.requests * move.part)
    total_moving = sum(move.requests * move.part for move in moves)
    moving_others = traffic.others * _part_of_others(before, after)
    return WhatIf(moves, len(names), total_moving, traffic.others, moving_others, traffic.total)


_NAME = attrgetter("tenant")
_Look = Callable[[str], tuple[Forward, Forward, float] | None]


def _looker(before: RoutingTable, after: RoutingTable) -> _Look:
    """Says of a tenant from where to where it moves, and which part of it; None: it stays."""

    def whole(name: str) -> tuple[Forward, Forward, float] | None:
        was, is_then = routed(before, name), routed(after, name)
        return None if was.slot is is_then.slot else (was, is_then, 1.0)

    def split(name: str) -> tuple[Forward, Forward, float] | None:
        was, is_then = way(before, name), way(after, name)
        part = moving(was, is_then)
        return (*_ends(was, is_then), part) if part else None

    is_whole = all(
        table.canary.unit is Unit.TENANT or not table.canary.basis_points
        for table in (before, after)
    )
    return whole if is_whole else split


def way(table: RoutingTable, tenant: str) -> Way:
    """Where a tenant goes."""
    canary = table.canary
    is_drawn = canary.unit is not Unit.TENANT and tenant not in table.pins
    if not is_drawn or not canary.basis_points or not canary.may_draw(tenant):
        forward = routed(table, tenant)
        return Way(forward, 0, BASIS_POINTS if forward.slot is Slot.GREEN else 0)
    return _split(table, (canary.unit, canary.salt))


def moving(was: Way, is_then: Way) -> float:
    """Which part of a tenant's traffic leads elsewhere afterwards: 0 to 1."""
    if was.drawn_by and is_then.drawn_by and was.drawn_by != is_then.drawn_by:
        one, other = was.green / BASIS_POINTS, is_then.green / BASIS_POINTS
        return one * (1 - other) + other * (1 - one)
    both = max(0, min(was.high, is_then.high) - max(was.low, is_then.low))
    return (was.green + is_then.green - 2 * both) / BASIS_POINTS


def _split(table: RoutingTable, drawn_by: tuple[Unit, str]) -> Way:
    """The way of who is drawn key by key."""
    weight = table.canary.basis_points
    slot = table.standby if weight == BASIS_POINTS else table.active
    forward = Forward(slot, Reason.CANARY)
    if table.standby is Slot.GREEN:
        return Way(forward, 0, weight, drawn_by)
    return Way(forward, weight, BASIS_POINTS, drawn_by)


def _ends(was: Way, is_then: Way) -> tuple[Forward, Forward]:
    """From where to where it moves, on the whole, and why it went and would go there."""
    if was.green == is_then.green:  # drawn anew, in another order
        return was.forward, Forward(was.forward.slot.other, is_then.forward.reason)
    to = Slot.GREEN if is_then.green > was.green else Slot.BLUE
    return Forward(to.other, was.forward.reason), Forward(to, is_then.forward.reason)


def _part_of_others(before: RoutingTable, after: RoutingTable) -> float:
    """Which part may be expected to move of tenants that nobody has named."""
    return moving(_of_a_stranger(before), _of_a_stranger(after))


def _of_a_stranger(table: RoutingTable) -> Way:
    """Drawn as if by key, whatever the unit: a canary takes its weight of many small tenants."""
    canary = table.canary
    if canary.basis_points and not canary.allow:
        return _split(table, (canary.unit, canary.salt))
    active = Forward(table.active, Reason.ACTIVE)
    return Way(active, 0, BASIS_POINTS if table.active is Slot.GREEN else 0)
