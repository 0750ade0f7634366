"""Each worker takes its share of the connections.

All workers wait at one socket, and who is awake first would take a whole burst before the others
have got up. So a worker that has more connections than another leaves the next one to it, for a
moment: PAUSE_S, and at most MAX_PAUSES times in a row, so that nobody waits long for a worker
that can't. Counting is by the cells that all workers share (proxy.observability.telemetry).
"""

from collections.abc import Sequence
from typing import Final

from proxy.observability import telemetry
from proxy.observability.telemetry import Block

PAUSE_S: Final = 0.001
MAX_PAUSES: Final = 5
_SLACK_SHIFT: Final = 4  # by a sixteenth more than another is even enough
_FRESH_MS: Final = 1000  # who has stood still for longer takes none, however few it has


class Share:
    """own: this worker's block; blocks: those of all."""

    __slots__ = ("_others", "_own", "_pauses")

    def __init__(self, own: Block, blocks: Sequence[Block]) -> None:
        self._own = own
        self._others = tuple(block for block in blocks if block is not own)
        self._pauses = 0

    def leaves_it(self) -> bool:
        """Whether the connection that waits is rather another worker's."""
        cells = self._own.cells
        own = cells[telemetry.CONNECTIONS]
        if own and self._pauses < MAX_PAUSES:
            most = own - (own >> _SLACK_SHIFT) - 1
            oldest = cells[telemetry.BEAT] - _FRESH_MS
            for block in self._others:
                other = block.cells
                if (
                    other[telemetry.STATE] == telemetry.SERVING
                    and other[telemetry.CONNECTIONS] <= most
                    and other[telemetry.BEAT] >= oldest
                ):
                    self._pauses += 1
                    return True
        self._pauses = 0
        return False
