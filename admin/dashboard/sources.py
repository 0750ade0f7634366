"""What the board shows and no call of the API gives: figures by second.

It is a function that the composition root hands in (`dashboard.add(…, sources=Sources(…))`); without
it the rows say "not measured".
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from admin.dashboard.model.figures import Second


@dataclass(frozen=True, slots=True)
class Sources:
    """windows: the last so many seconds, of every node."""

    windows: Callable[[int], Awaitable[Sequence[Second]]] | None = None
