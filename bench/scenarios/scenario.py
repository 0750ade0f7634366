"""What a scenario is: what is asked of which proxies, and the figures that come of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from bench.peers.peer import Work
from bench.rounds import Round
from proxy.routing.model import Slot

if TYPE_CHECKING:
    from bench.job import Job
    from bench.progress import Watch

TENANT_HEADER = "X-Tenant-ID"
TENANTS = 1_000
ENOUGH_ROUNDS = 8
"""Fewer valid rounds than this are a try, not a figure."""
TURNOUTS = ("turnout", "turnout-compiled")


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure may be at most. of: the proxies that it is set for.

    against: the proxy that the figure is divided by, round by round; None for the figure itself.
    """

    of: tuple[str, ...]
    at_most: float
    against: str | None = None


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure of a scenario; less is better.

    name: in a reading's values. label: in the table, short. unit, digits: how it is printed.
    """

    name: str
    label: str
    unit: str
    digits: int
    targets: tuple[Target, ...] = ()


class Scenario(Protocol):
    """One kind of work, measured in paired rounds."""

    @property
    def name(self) -> str:
        """Its short name, for options and files."""

    @property
    def title(self) -> str:
        """What is asked, in a line."""

    @property
    def measures(self) -> Sequence[Measure]:
        """The figures that each reading carries."""

    @property
    def peers(self) -> frozenset[str] | None:
        """Who is measured; None for all."""

    @property
    def work(self) -> Work:
        """What it asks of a proxy."""

    @property
    def lenient(self) -> bool:
        """Whether who can't do all of the work is measured with less, and said so."""

    @property
    def enough(self) -> int:
        """Valid rounds that make a figure more than a try: ENOUGH_ROUNDS as a rule."""

    def lasts(self, job: "Job") -> tuple[int, int]:
        """(rounds, seconds of a sample) of this job."""

    def rounds(self, job: "Job", watch: "Watch") -> Iterator[Round]:
        """Measure. A proxy that does not come up is a fault in each of its readings."""


def pins() -> dict[str, Slot]:
    """The tenants, every other one on green."""
    slots = (Slot.BLUE, Slot.GREEN)
    return {tenant(index): slots[index % 2] for index in range(TENANTS)}


def tenant(index: int) -> str:
    """The id of the index-th tenant."""
    return f"tenant-{index:04d}"
