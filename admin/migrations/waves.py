"""Waves: who comes first, and when the next one comes. Pure.

Rules:
1. Tenants come in the order in which the canary would draw them: the same buckets, the same salt.
   So whom traffic reaches first is whose schema was migrated first.
2. What all tenants share comes last: a fault in it would be everybody's.
3. A wave is over when none of its jobs waits or runs; it stops when more of it has failed than the
   budget allows. Failures that somebody has resumed over no longer count.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from admin.migrations.states import JobState, WaveEvent, WaveState
from admin.migrations.targets import Target
from proxy.routing.canary import bucket
from proxy.routing.values import percent

PILOTS: Final = "pilots"
REST: Final = "rest"
SHARES: Final = (100, 1000)
"""The rings between the pilots and the rest, in basis points: 1 %, 10 %."""
LAST: Final = 10_000
"""The rank of what is nobody's: after every bucket."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a target comes in a plan. wave: from 0. rank: its order there, lowest first."""

    target: Target
    wave: int
    rank: int


@dataclass(frozen=True, slots=True)
class Waves:
    """The waves of a plan: their names, and each target's place."""

    names: tuple[str, ...]
    places: tuple[Place, ...]


def arrange(
    targets: Iterable[Target], pilots: Collection[str], shares: Sequence[int], salt: str
) -> Waves:
    """Put the targets into waves; a wave of nobody is left out.

    pilots: tenants, or names of targets. shares: rising, in basis points of all tenants. salt: the
    canary's.
    """
    names = [PILOTS, *(f"{percent(share):g} %" for share in shares), REST]
    placed = [_place(target, pilots, shares, salt) for target in targets]
    used = sorted({place.wave for place in placed})
    number = {wave: index for index, wave in enumerate(used)}
    places = [Place(place.target, number[place.wave], place.rank) for place in placed]
    places.sort(key=lambda place: (place.wave, place.rank, place.target.name))
    return Waves(tuple(names[wave] for wave in used), tuple(places))


def _place(target: Target, pilots: Collection[str], shares: Sequence[int], salt: str) -> Place:
    rank = LAST if target.tenant is None else bucket(salt, target.tenant)
    if target.name in pilots or target.tenant in pilots:
        return Place(target, 0, rank)
    rings = [share for share in shares if rank >= share]
    return Place(target, 1 + len(rings), rank)


@dataclass(frozen=True, slots=True)
class Wave:
    """How a wave stands. jobs: how many of it in each state. forgiven: failures that don't count."""

    number: int
    state: WaveState
    jobs: Mapping[JobState, int]
    forgiven: int = 0

    @property
    def failures(self) -> int:
        """How many have failed since somebody resumed it."""
        return max(0, self.jobs.get(JobState.FAILED, 0) - self.forgiven)

    @property
    def left(self) -> int:
        """How many wait or run."""
        return self.jobs.get(JobState.QUEUED, 0) + self.jobs.get(JobState.RUNNING, 0)


def judge(waves: Sequence[Wave], budget: int) -> list[tuple[int, WaveEvent]]:
    """What happens to the waves of a running plan now, by number; nothing: it goes on as it is.

    waves: all of them, in order. When all are over, the plan is.
    """
    spent = [w for w in waves if w.state is WaveState.OPEN and w.failures > budget]
    if spent:
        return [(wave.number, WaveEvent.SPENT) for wave in spent]
    over = [w.number for w in waves if w.state is WaveState.OPEN and not w.left]
    found = [(number, WaveEvent.FINISHED) for number in over]
    if any(w.state in {WaveState.OPEN, WaveState.STOPPED} and w.number not in over for w in waves):
        return found
    following = [w.number for w in waves if w.state is WaveState.WAITING]
    return [*found, *((number, WaveEvent.OPENED) for number in following[:1])]
