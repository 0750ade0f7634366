"""What the board shows and no call of the API gives yet: figures by second, signals, a verdict.

Each is a function that the composition root hands in (`dashboard.add(…, sources=Sources(…))`); one
that is missing makes its rows say "not measured".
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from admin.dashboard.model.board import Second, Signal


@dataclass(frozen=True, slots=True)
class Sources:
    """windows: the last so many seconds, of every node. signals: by name, as "database-connections".
    verdict: the monitor's as plain JSON, None while it judges nothing; without this source it is that of
    the release that runs.
    """  # noqa: D205 - one sentence a field

    windows: Callable[[int], Awaitable[Sequence[Second]]] | None = None
    signals: Callable[[], Awaitable[Mapping[str, Signal]]] | None = None
    verdict: Callable[[], Awaitable[Mapping[str, Any] | None]] | None = None

    async def ask(self, name: str, *given: Any) -> Any:
        """What the source says; None if there is none."""
        source = getattr(self, name)
        return None if source is None else await source(*given)
