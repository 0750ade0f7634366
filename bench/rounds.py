"""Paired rounds: each proxy's turn directly after the one before, A B C A B C….

Rule: within a round what the machine's other tenants do in that second meets all of them. A
reading with a fault is kept and shown, but no ratio is made with it.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Reading:
    """One proxy's turn in one round.

    values: by the measure's name; less is better. faults: why it can't be used, empty when it
    can. beside: what else was seen, by name.
    """

    values: Mapping[str, float]
    faults: tuple[str, ...] = ()
    beside: Mapping[str, float] = field(default_factory=dict)

    @property
    def valid(self) -> bool:
        """Whether a ratio may be made with it."""
        return not self.faults


Round = Mapping[str, Reading]
"""One round: proxy's name → its reading, in the order of the turns."""
Turn = Callable[[], Reading]


def failed(fault: str) -> Reading:
    """A reading of nothing but a fault."""
    return Reading({}, (fault,))


def paired(turns: Mapping[str, Turn], count: int, told: Callable[[str], None]) -> Iterator[Round]:
    """So many rounds. turns: proxy's name → takes its reading. told: before each turn, whose."""
    for number in range(1, count + 1):
        readings = {}
        for name, turn in turns.items():
            told(f"round {number}: {name}")
            readings[name] = turn()
        yield readings
